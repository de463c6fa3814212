//! What a CertificateSigningRequest asks a certificate for.

use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

/// The subject of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) common_name: String,
    pub(super) organizations: Vec<String>,
}

/// Reads `spec.request`: PEM in base64.
pub(super) fn subject(request: &str) -> Result<Subject, &'static str> {
    use base64::Engine as _;
    const BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = base64::engine::general_purpose::STANDARD.decode(request).map_err(|_| BLOCK)?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).map_err(|_| BLOCK)?;
    if pem.label != "CERTIFICATE REQUEST" {
        return Err(BLOCK);
    }
    let (_, request) =
        X509CertificationRequest::from_der(&pem.contents).map_err(|_| "asn1: structure error")?;
    let subject = &request.certification_request_info.subject;
    let text = |a: &x509_parser::x509::AttributeTypeAndValue<'_>| a.as_str().unwrap_or("").to_owned();
    Ok(Subject {
        // Of several common names Go takes the last.
        common_name: subject.iter_common_name().last().map(text).unwrap_or_default(),
        organizations: subject.iter_organization().map(text).collect(),
    })
}
