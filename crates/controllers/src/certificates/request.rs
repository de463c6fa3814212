//! What a request asks a certificate for. Pure.

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};
use x509_parser::x509::AttributeTypeAndValue;

/// A request, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The request as DER.
    pub(super) der: Vec<u8>,
    pub(super) common_name: String,
    pub(super) organizations: Vec<String>,
    /// Alternative names, counted by kind.
    pub(super) dns_names: usize,
    pub(super) emails: usize,
    pub(super) addresses: usize,
    pub(super) uris: usize,
}

/// Reads `spec.request` (PEM). Its signature is not looked at.
pub(super) fn read(pem: &[u8]) -> Result<Asked, String> {
    const BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| BLOCK)?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(BLOCK.into());
    }
    let (_, request) =
        X509CertificationRequest::from_der(&block.contents).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    let text = |a: &AttributeTypeAndValue<'_>| a.as_str().unwrap_or_default().to_owned();
    let mut asked = Asked {
        // Of several common names Go takes the last.
        common_name: subject.iter_common_name().last().map(text).unwrap_or_default(),
        organizations: subject.iter_organization().map(text).collect(),
        ..Asked::default()
    };
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(_) => asked.dns_names += 1,
                GeneralName::RFC822Name(_) => asked.emails += 1,
                GeneralName::IPAddress(_) => asked.addresses += 1,
                GeneralName::URI(_) => asked.uris += 1,
                // Go does not look at the others, and they are not signed.
                _ => {}
            }
        }
    }
    asked.der.clone_from(&block.contents);
    Ok(asked)
}
