//! Requests for certificates: who approves and signs those of the cluster's own signers, and what becomes of old requests.
//!
//! `request` reads what is asked for, `checks` says what each signer gives (both pure); `approving`, `signing` and `cleaner` are the controllers. None of them knows a key:
//! what signs is an [`Authority`], which their caller brings.

pub(crate) mod approving;
mod checks;
pub(crate) mod cleaner;
mod request;
pub(crate) mod signing;
#[cfg(test)]
mod testing;

use std::error::Error;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};

/// A certificate to be made.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The request (PKCS #10, DER). Its subject, its alternative names and its key are those of the certificate; its signature is still to be verified.
    pub request: &'a [u8],
    /// What the certificate is for, in the words of the API (`client auth`).
    pub usages: &'a [String],
    /// From when it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// Signs certificates in the name of a cluster.
pub trait Authority: Debug + Send + Sync {
    /// When its own certificate ends: none that it signs may live longer.
    fn end(&self) -> Timestamp;

    /// Makes a certificate, as PEM. An error is one of the request: the same would fail again.
    fn sign(&self, order: &Order<'_>) -> Result<String, Box<dyn Error + Send + Sync>>;
}

fn condition<'a>(
    request: &'a CertificateSigningRequest,
    kind: &str,
) -> Option<&'a CertificateSigningRequestCondition> {
    request.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

fn certificate(request: &CertificateSigningRequest) -> Option<&[u8]> {
    let bytes = request.status.as_ref()?.certificate.as_ref()?.0.as_slice();
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// The request with one more condition.
fn with_condition(
    request: &CertificateSigningRequest,
    kind: &str,
    reason: &str,
    message: &str,
) -> CertificateSigningRequest {
    let mut request = request.clone();
    let conditions = request.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..CertificateSigningRequestCondition::default()
    });
    request
}
