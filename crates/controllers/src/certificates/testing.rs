//! For the tests of these controllers: requests, and an authority that signs whatever it is given.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use super::{Authority, Order};

pub(super) const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// The request of a node for its client certificate, as PEM.
pub(super) fn node_request(node: &str) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    params.serialize_request(&key).expect("a request").pem().expect("PEM")
}

/// A request as the API has it.
pub(super) fn object(name: &str, signer: &str, pem: &str, usages: &[&str]) -> Value {
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"signerName": signer, "request": STANDARD.encode(pem), "usages": usages}})
}

/// A certificate with this end, as PEM.
pub(super) fn certificate_until(end: Timestamp) -> String {
    let mut params = CertificateParams::default();
    params.not_after = std::time::SystemTime::from(end).into();
    params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").pem()
}

/// Signs whatever it is given, for ever.
#[derive(Debug)]
pub(super) struct Signs;

impl Authority for Signs {
    fn end(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn sign(&self, order: &Order<'_>) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(certificate_until(order.not_after))
    }
}
