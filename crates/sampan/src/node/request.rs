//! Asks the API server for a certificate (`certificates.k8s.io`), and waits until somebody has decided. The requests are the kubelet's.

use std::pin::pin;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use sha2::Digest as _;

use super::credentials::Credentials;
use crate::pki::ServerNames;

/// What a certificate is to be for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// The node, to the API server.
    Client,
    /// The node's own API, under these names.
    Serving(ServerNames),
}

/// A certificate that a node wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) node: String,
    pub(super) purpose: Purpose,
}

impl Wanted {
    fn signer(&self) -> &'static str {
        match self.purpose {
            Purpose::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Purpose::Serving(_) => "kubernetes.io/kubelet-serving",
        }
    }

    /// Those of a key that cannot encipher: it is ECDSA.
    fn usages(&self) -> Vec<String> {
        let purpose = match self.purpose {
            Purpose::Client => "client auth",
            Purpose::Serving(_) => "server auth",
        };
        vec!["digital signature".into(), purpose.into()]
    }

    /// The request itself, as PEM.
    fn request(&self, key: &KeyPair) -> Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{}", self.node));
        if let Purpose::Serving(names) = &self.purpose {
            for name in &names.dns {
                params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(name.as_str())?));
            }
            params.subject_alt_names.extend(names.addresses.iter().map(|a| SanType::IpAddress(*a)));
        }
        Ok(params.serialize_request(key)?.pem()?)
    }

    /// A name that the same key has again, so that a node that was killed finds the request that it made.
    pub(super) fn name_of(&self, key: &KeyPair) -> String {
        let mut hash = sha2::Sha256::new();
        hash.update(key.public_key_raw());
        hash.update(self.node.as_bytes());
        format!("node-csr-{}", BASE64_URL_SAFE_NO_PAD.encode(hash.finalize()))
    }
}

/// Makes the request, under this name or one of the server's choice; its name. One that is there already under that name is the same.
pub(super) async fn ask(
    client: &kube::Client,
    wanted: &Wanted,
    key: &KeyPair,
    name: Option<String>,
) -> Result<String, Error> {
    let request = wanted.request(key).context("cannot make a request for a certificate")?;
    let request = CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: name.is_none().then(|| "csr-".into()),
            name: name.clone(),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: wanted.signer().into(),
            usages: Some(wanted.usages()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    match (Api::all(client.clone()).create(&PostParams::default(), &request).await, name) {
        (Ok(made), _) => Ok(made.metadata.name.unwrap_or_default()),
        (Err(kube::Error::Api(status)), Some(name)) if status.code == 409 => Ok(name),
        (Err(error), _) => Err(Error::Api(error)),
    }
}

/// Why nothing was asked.
pub(super) enum Error {
    /// What the API server said, or that it cannot be reached.
    Api(kube::Error),
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Error> for anyhow::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(error) => Self::new(error).context("cannot create certificate signing request"),
            Error::Other(error) => error,
        }
    }
}

/// Waits until the request is decided; by a watch, however long it takes.
pub(super) async fn wait(client: &kube::Client, name: &str, key: &KeyPair) -> Result<Credentials> {
    let requests = Api::<CertificateSigningRequest>::all(client.clone());
    let mut looks = pin!(watch_object(requests, name).default_backoff());
    loop {
        match looks.next().await {
            Some(Ok(Some(request))) => {
                if let Some(certificate) = decided(&request)? {
                    return Credentials::new(certificate, key.serialize_pem())
                        .with_context(|| format!("what was signed for the request {name} cannot be used"));
                }
            }
            Some(Ok(None)) => bail!("the certificate signing request {name} was deleted"),
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, request = name, "the request for a certificate cannot be watched");
            }
            None => bail!("the watch of the certificate signing request {name} has ended"),
        }
    }
}

/// The certificate, if there is one; an error, if there will be none.
fn decided(request: &CertificateSigningRequest) -> Result<Option<String>> {
    let status = request.status.clone().unwrap_or_default();
    for condition in status.conditions.iter().flatten() {
        let said = match condition.type_.as_str() {
            "Denied" => "is denied",
            "Failed" => "failed",
            _ => continue,
        };
        let [reason, message] =
            [&condition.reason, &condition.message].map(|text| text.as_deref().unwrap_or_default());
        bail!("certificate signing request {said}, reason: {reason:?}, message: {message:?}");
    }
    let certificate = status.certificate.map(|bytes| bytes.0).filter(|bytes| !bytes.is_empty());
    certificate
        .map(|bytes| String::from_utf8(bytes).map_err(|_| anyhow!("what was signed is no PEM")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

    use super::*;

    #[test]
    fn a_request_is_decided_by_its_certificate_or_its_refusal() {
        let rows = [
            ("nothing yet", json!({}), Ok(None)),
            ("approved", json!({"conditions": [{"type": "Approved", "status": "True"}]}), Ok(None)),
            ("signed", json!({"certificate": "UEVN"}), Ok(Some("PEM".to_owned()))),
            (
                "denied",
                json!({"conditions": [{"type": "Denied", "status": "True", "reason": "No", "message": "who?"}]}),
                Err("certificate signing request is denied, reason: \"No\", message: \"who?\""),
            ),
            (
                "failed",
                json!({"conditions": [{"type": "Failed", "status": "True", "reason": "R"}]}),
                Err("certificate signing request failed, reason: \"R\", message: \"\""),
            ),
        ];
        for (name, status, expected) in rows {
            let request =
                json!({"metadata": {}, "spec": {"request": "", "signerName": "s"}, "status": status});
            let found = decided(&serde_json::from_value(request).unwrap());
            assert_eq!(found.map_err(|e| e.to_string()), expected.map_err(str::to_owned), "{name}");
        }
    }

    #[test]
    fn a_node_asks_for_itself_and_for_its_names() {
        let key = crate::pki::new_key().unwrap();
        let names = ServerNames::of_node_for_others("n1", &["192.0.2.7".parse().unwrap()]);
        for (purpose, count) in [(Purpose::Client, 0), (Purpose::Serving(names), 2)] {
            let wanted = Wanted { node: "n1".into(), purpose };
            let pem = wanted.request(&key).unwrap();
            let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
            let (_, request) = X509CertificationRequest::from_der(&block.contents).unwrap();
            let subject = request.certification_request_info.subject.to_string();
            assert_eq!(subject, "O=system:nodes, CN=system:node:n1");
            let names = request.requested_extensions().into_iter().flatten().find_map(|e| match e {
                x509_parser::extensions::ParsedExtension::SubjectAlternativeName(names) => {
                    Some(names.general_names.len())
                }
                _ => None,
            });
            assert_eq!(names.unwrap_or_default(), count);
        }
        let wanted = |node: &str| Wanted { node: node.into(), purpose: Purpose::Client };
        assert_eq!(wanted("n1").name_of(&key), wanted("n1").name_of(&key));
        assert_ne!(wanted("n1").name_of(&key), wanted("n2").name_of(&key));
    }
}
