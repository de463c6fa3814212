//! The ConfigMap `extension-apiserver-authentication` of `kube-system`: whose client certificates this server believes, and
//! which proxies, so that API servers behind it believe the same (upstream's cluster authentication trust controller).
//!
//! What other servers wrote stays; what is missing is added; certificates that have ended go.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sampan_apiserver::registry::Existing;
use sampan_apiserver::server::Server;
use sampan_model::meta::ObjectMeta as _;
use sampan_model::{Map, Status, Value};
use sampan_store::Error;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// For how long a certificate that has ended is kept.
const SLACK_SECONDS: i64 = 300;

/// What this server believes.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Published {
    /// The authorities of client certificates (PEM).
    pub client_authorities: String,
    /// The authorities of proxies (PEM); empty: there are none, and the rest does not count.
    pub proxy_authorities: String,
    pub allowed_names: Vec<String>,
    pub username_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_headers_prefix: Vec<String>,
}

/// Keeps the ConfigMap up until the store is closed.
pub async fn follow(server: Server, published: Published) {
    let key = format!("/registry/configmaps/{NAMESPACE}/{NAME}");
    let published = Arc::new(published);
    loop {
        let store = server.registry().store();
        let mut watcher = match store.watch(&key, store.snapshot().revision()) {
            Ok(watcher) => watcher,
            Err(Error::Compacted { .. }) => continue,
            Err(_) => return,
        };
        loop {
            // What is written here comes back as a change; then there is nothing to write.
            if let Err(status) = write(&server, &published).await {
                tracing::warn!(%status, "the ConfigMap {NAME} cannot be written");
            }
            match watcher.next().await {
                Ok(_) => {}
                Err(Error::Closed) => return,
                Err(_) => break,
            }
        }
    }
}

async fn write(server: &Server, published: &Arc<Published>) -> Result<(), Status> {
    let registry = server.registry();
    let resource = registry.catalog().resource("", "v1", "configmaps").cloned();
    let resource = resource.ok_or_else(Status::path_not_found)?;
    let now = registry.now();
    let data = published.combined(&Map::new(), now);
    let meta: Map = [("name", NAME), ("namespace", NAMESPACE)].into_iter().collect();
    let object: Map = [
        ("apiVersion", Value::from("v1")),
        ("kind", "ConfigMap".into()),
        ("metadata", meta.into()),
        ("data", data.into()),
    ]
    .into_iter()
    .collect();
    let published = Arc::clone(published);
    let reconcile = move |_: &_, existing: &Value, _: &Value| {
        let none = Map::new();
        let before = existing.get("data").and_then(Value::as_object).unwrap_or(&none);
        let data = published.combined(before, now);
        if data == *before || existing.is_deleting() {
            return Existing::Keep;
        }
        let mut changed = existing.clone();
        if let Value::Object(map) = &mut changed {
            map.insert("data", data);
        }
        Existing::Update(changed)
    };
    registry.ensure(vec![(resource, object.into())], &reconcile).await.map(|_| ())
}

impl Published {
    /// The content of the ConfigMap: what is there, and what this server believes.
    fn combined(&self, before: &Map, now: Timestamp) -> Map {
        let text = |field: &str| before.get(field).and_then(Value::as_str).unwrap_or_default();
        let mut data = Map::new();
        let clients = certificates(&[text("client-ca-file"), &self.client_authorities], now);
        if !clients.is_empty() {
            data.insert("client-ca-file", clients);
        }
        let proxies = certificates(&[text("requestheader-client-ca-file"), &self.proxy_authorities], now);
        if proxies.is_empty() {
            return data;
        }
        let lists = [
            ("requestheader-allowed-names", &self.allowed_names),
            ("requestheader-extra-headers-prefix", &self.extra_headers_prefix),
            ("requestheader-group-headers", &self.group_headers),
            ("requestheader-uid-headers", &self.uid_headers),
            ("requestheader-username-headers", &self.username_headers),
        ];
        for (field, own) in lists {
            let mut list: Vec<String> = serde_json::from_str(text(field)).unwrap_or_default();
            for word in own {
                if !list.contains(word) {
                    list.push(word.clone());
                }
            }
            data.insert(field, serde_json::json!(list).to_string());
        }
        data.insert("requestheader-client-ca-file", proxies);
        data
    }
}

/// The certificates of several texts, each once, without those that have ended.
fn certificates(texts: &[&str], now: Timestamp) -> String {
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    for text in texts {
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()).flatten() {
            let end = x509_parser::parse_x509_certificate(&certificate)
                .map_or(i64::MIN, |(_, parsed)| parsed.validity().not_after.timestamp());
            if end > now.as_second() - SLACK_SECONDS && !found.contains(&certificate) {
                found.push(certificate);
            }
        }
    }
    found.iter().map(|certificate| pem(certificate)).collect()
}

/// A certificate as PEM.
pub fn pem(certificate: &[u8]) -> String {
    let encoded = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn authority(until: i32) -> String {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn what_is_there_stays_what_is_missing_is_added_and_what_has_ended_goes() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let [own, other, ended, proxy] = [2100, 2100, 2020, 2100].map(authority);
        let published = Published {
            client_authorities: own.clone(),
            proxy_authorities: proxy,
            username_headers: vec!["X-Remote-User".into()],
            ..Published::default()
        };
        let before: Map = [
            ("client-ca-file", Value::from(format!("{other}{ended}"))),
            ("requestheader-username-headers", r#"["X-Other"]"#.into()),
        ]
        .into_iter()
        .collect();
        let data = published.combined(&before, now);
        let clients = data.get("client-ca-file").and_then(Value::as_str).unwrap();
        let count = |text: &str| CertificateDer::pem_slice_iter(text.as_bytes()).count();
        assert_eq!(count(clients), 2);
        assert!(clients.replace('\r', "").contains(other.replace('\r', "").trim()));
        let field = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        assert_eq!(field("requestheader-username-headers"), r#"["X-Other","X-Remote-User"]"#);
        assert_eq!(field("requestheader-allowed-names"), "[]");
        assert_eq!(published.combined(&data, now), data, "a second time nothing changes");
        let none = Published { client_authorities: own, ..Published::default() };
        assert_eq!(none.combined(&Map::new(), now).len(), 1, "without proxies there is nothing of them");
    }
}
