//! The user that a proxy in front of the server has authenticated, in headers (`--requestheader-*`).
//!
//! They are believed only of a client whose certificate is of the authority that is set aside for such proxies.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use rustls_pki_types::UnixTime;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::{Authenticated, Authenticator, PeerCertificates, Rejected};
use sampan_apiserver::request_info::decode_path;

use super::client_certificate::{Authorities, common_name};

/// Which headers say what.
#[derive(Debug, Clone)]
pub struct Headers {
    /// The user's name: the first of these that is there.
    pub username: Vec<HeaderName>,
    /// The user's uid: the first of these that is there.
    pub uid: Vec<HeaderName>,
    /// The groups: all values of all these.
    pub group: Vec<HeaderName>,
    /// What the names of extra fields begin with, in lower case.
    pub extra_prefix: Vec<String>,
}

/// Believes a proxy.
#[derive(Debug)]
pub struct RequestHeader {
    /// The authorities of proxies.
    pub authorities: Authorities,
    /// The common names that proxies may have; empty: any.
    pub allowed_names: Vec<String>,
    /// The headers.
    pub headers: Headers,
}

#[async_trait]
impl Authenticator for RequestHeader {
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Authenticated>, Rejected> {
        let Some(peer) = parts.extensions.get::<PeerCertificates>() else { return Ok(None) };
        let name = first(&parts.headers, &self.headers.username);
        if name.is_empty() {
            return Ok(None);
        }
        self.authorities.verify(peer.chain(), UnixTime::now())?;
        let proxy = common_name(&peer.chain()[0]);
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&proxy) {
            return Err(Rejected(format!("x509: subject with cn={proxy} is not in the allowed list")));
        }
        let values = |name: &HeaderName| -> Vec<String> {
            parts.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
        };
        let groups: Vec<String> = self.headers.group.iter().flat_map(values).collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in &self.headers.extra_prefix {
            for header in parts.headers.keys() {
                let Some(key) = header.as_str().strip_prefix(prefix.as_str()) else { continue };
                let key = decode_path(key).unwrap_or_else(|| key.to_owned());
                extra.entry(key).or_default().extend(values(header));
            }
        }
        let uid = first(&parts.headers, &self.headers.uid);
        let mut user = User { name, uid, groups, extra };
        user.count_as_authenticated();
        Ok(Some(Arc::new(user).into()))
    }

    fn forget(&self, headers: &mut HeaderMap) {
        let names = [&self.headers.username, &self.headers.uid, &self.headers.group];
        for name in names.into_iter().flatten() {
            headers.remove(name);
        }
        let of_extra =
            |name: &&HeaderName| self.headers.extra_prefix.iter().any(|p| name.as_str().starts_with(p));
        let extra: Vec<HeaderName> = headers.keys().filter(of_extra).cloned().collect();
        for name in extra {
            headers.remove(name);
        }
    }
}

fn first(headers: &HeaderMap, names: &[HeaderName]) -> String {
    let texts = names.iter().filter_map(|name| headers.get(name)?.to_str().ok());
    texts.map(str::to_owned).find(|text| !text.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::client_certificate::tests::{authority, client};
    use super::*;

    fn proxy(authorities: Authorities, allowed: &[&str]) -> RequestHeader {
        let names = |list: &[&'static str]| list.iter().map(|n| HeaderName::from_static(n)).collect();
        RequestHeader {
            authorities,
            allowed_names: allowed.iter().map(|n| (*n).to_owned()).collect(),
            headers: Headers {
                username: names(&["x-remote-user"]),
                uid: names(&["x-remote-uid"]),
                group: names(&["x-remote-group"]),
                extra_prefix: vec!["x-remote-extra-".into()],
            },
        }
    }

    fn request(certificate: Option<rustls_pki_types::CertificateDer<'static>>) -> Parts {
        let request = http::Request::builder()
            .header("X-Remote-User", "jane")
            .header("X-Remote-Uid", "7")
            .header("X-Remote-Group", "a")
            .header("X-Remote-Group", "b")
            .header("X-Remote-Extra-Acme.io%2fscopes", "view");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(peer) = certificate.and_then(|c| PeerCertificates::new(vec![c])) {
            parts.extensions.insert(peer);
        }
        parts
    }

    #[tokio::test]
    async fn a_proxy_of_the_right_authority_says_who_it_is() {
        let ca = authority("proxies");
        let authorities = Authorities::from_pem([ca.pem.as_bytes()]).unwrap();
        // The test's client certificates are for "jane".
        let proxy = proxy(authorities, &["jane"]);
        let mut parts = request(Some(client(&ca, |_| {})));
        let user = proxy.authenticate(&parts).await.unwrap().unwrap().user;
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "7"));
        assert_eq!(user.groups, ["a", "b", "system:authenticated"]);
        assert_eq!(user.extra["acme.io/scopes"], ["view"]);
        proxy.forget(&mut parts.headers);
        assert!(parts.headers.is_empty(), "{:?}", parts.headers);
    }

    #[tokio::test]
    async fn headers_of_anybody_else_are_not_believed() {
        let (ca, other) = (authority("proxies"), authority("clients"));
        let authorities = Authorities::from_pem([ca.pem.as_bytes()]).unwrap();
        let any = proxy(authorities.clone(), &[]);
        let named = proxy(authorities, &["front-proxy"]);
        assert_eq!(any.authenticate(&request(None)).await, Ok(None));
        let error = any.authenticate(&request(Some(client(&other, |_| {})))).await.unwrap_err();
        assert!(error.0.contains("UnknownIssuer"), "{error}");
        let error = named.authenticate(&request(Some(client(&ca, |_| {})))).await.unwrap_err();
        assert_eq!(error.0, "x509: subject with cn=jane is not in the allowed list");
        let mut silent = request(Some(client(&ca, |_| {})));
        silent.headers.remove("x-remote-user");
        assert_eq!(named.authenticate(&silent).await, Ok(None));
    }
}
