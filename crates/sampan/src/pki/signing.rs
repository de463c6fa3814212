//! Certificates that others ask for, signed by the cluster's authority. Who may have one is not decided here.

use std::error::Error;
use std::net::IpAddr;

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber, SigningKey as _, SubjectPublicKeyInfo,
};
use rustls::crypto::aws_lc_rs;
use sampan_auth::authentication::published::pem;
use sampan_controllers::Order;
use time::OffsetDateTime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

use super::Authority;

impl sampan_controllers::Authority for Authority {
    fn end(&self) -> Timestamp {
        self.end
    }

    fn sign(&self, order: &Order<'_>) -> Result<String, Box<dyn Error + Send + Sync>> {
        signed(self, order).map_err(|error| format!("{error:#}").into())
    }
}

/// As upstream's `PermissiveSigningPolicy`: subject, alternative names and key are those of the request, its other extensions are not looked at.
fn signed(authority: &Authority, order: &Order<'_>) -> Result<String> {
    let (_, request) = X509CertificationRequest::from_der(order.request).context("it cannot be read")?;
    request.verify_signature().context("unable to verify certificate request signature")?;
    let info = &request.certification_request_info;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            params.subject_alt_names.extend(alternative_name(name)?);
        }
    }
    for usage in order.usages {
        match purpose(usage)? {
            Purpose::Key(purpose) if !params.key_usages.contains(&purpose) => params.key_usages.push(purpose),
            Purpose::Extended(purpose) if !params.extended_key_usages.contains(&purpose) => {
                params.extended_key_usages.push(purpose);
            }
            _ => {}
        }
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial_number()?);
    params.not_before = date(order.not_before)?;
    params.not_after = date(order.not_after)?;
    let is_named = info.subject.iter_rdn().next().is_some();
    if is_named {
        // It stands for the subject until that takes its place: without one, alternative names would be critical.
        params.distinguished_name.push(DnType::CommonName, "subject");
    }
    let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).context("its key cannot be used")?;
    let made = params.signed_by(&key, authority.issuer()).context("it cannot be signed")?;
    if !is_named {
        return Ok(made.pem());
    }
    let der = with_subject(made.der(), info.subject.as_raw(), authority.issuer().key())?;
    Ok(pem(&der))
}

/// The certificate with another subject. rcgen knows one value of each attribute, and subjects have several organizations (groups).
#[allow(
    clippy::redundant_closure_for_method_calls,
    reason = "the method is for one lifetime, the closure for any"
)]
fn with_subject(certificate: &[u8], subject: &[u8], key: &KeyPair) -> Result<Vec<u8>> {
    /// The places of a certificate's algorithm and its subject (RFC 5280, 4.1).
    const ALGORITHM: usize = 2;
    const SUBJECT: usize = 5;
    let mut parts = yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|reader| {
            let parts = reader.next().read_sequence(|reader| {
                let mut parts = Vec::new();
                while let Some(part) = reader.read_optional(|reader| reader.read_der())? {
                    parts.push(part);
                }
                Ok(parts)
            })?;
            reader.next().read_der()?;
            reader.next().read_der()?;
            Ok(parts)
        })
    })
    .context("what was signed cannot be read")?;
    subject.clone_into(parts.get_mut(SUBJECT).context("a certificate has a subject")?);
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| parts.iter().for_each(|part| writer.next().write_der(part)));
    });
    let signature = key.sign(&content).context("it cannot be signed")?;
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&content);
            writer.next().write_der(&parts[ALGORITHM]);
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

/// A name as rcgen has it; those that Go does not know are left out.
fn alternative_name(name: &GeneralName<'_>) -> Result<Option<SanType>> {
    let text = |text: &str| Ia5String::try_from(text).context("a name of it is not ASCII");
    Ok(match name {
        GeneralName::DNSName(name) => Some(SanType::DnsName(text(name)?)),
        GeneralName::RFC822Name(name) => Some(SanType::Rfc822Name(text(name)?)),
        GeneralName::URI(name) => Some(SanType::URI(text(name)?)),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            Some(SanType::IpAddress(v4.or(v6).context("an address of it has no length of one")?))
        }
        _ => None,
    })
}

/// What a certificate is for.
enum Purpose {
    Key(KeyUsagePurpose),
    Extended(ExtendedKeyUsagePurpose),
}

/// By the words of the API (`certificates.k8s.io/v1`, `KeyUsage`).
fn purpose(usage: &str) -> Result<Purpose> {
    use ExtendedKeyUsagePurpose as Extended;
    use KeyUsagePurpose as Key;
    const SECURITY: [u64; 8] = [1, 3, 6, 1, 5, 5, 7, 3];
    let ipsec = |number: u64| Extended::Other(SECURITY.into_iter().chain([number]).collect());
    Ok(match usage {
        "signing" | "digital signature" => Purpose::Key(Key::DigitalSignature),
        "content commitment" => Purpose::Key(Key::ContentCommitment),
        "key encipherment" => Purpose::Key(Key::KeyEncipherment),
        "key agreement" => Purpose::Key(Key::KeyAgreement),
        "data encipherment" => Purpose::Key(Key::DataEncipherment),
        "cert sign" => Purpose::Key(Key::KeyCertSign),
        "crl sign" => Purpose::Key(Key::CrlSign),
        "encipher only" => Purpose::Key(Key::EncipherOnly),
        "decipher only" => Purpose::Key(Key::DecipherOnly),
        "any" => Purpose::Extended(Extended::Any),
        "server auth" => Purpose::Extended(Extended::ServerAuth),
        "client auth" => Purpose::Extended(Extended::ClientAuth),
        "code signing" => Purpose::Extended(Extended::CodeSigning),
        "email protection" | "s/mime" => Purpose::Extended(Extended::EmailProtection),
        "ipsec end system" => Purpose::Extended(ipsec(5)),
        "ipsec tunnel" => Purpose::Extended(ipsec(6)),
        "ipsec user" => Purpose::Extended(ipsec(7)),
        "timestamping" => Purpose::Extended(Extended::TimeStamping),
        "ocsp signing" => Purpose::Extended(Extended::OcspSigning),
        "microsoft sgc" => Purpose::Extended(Extended::Other(vec![1, 3, 6, 1, 4, 1, 311, 10, 3, 3])),
        "netscape sgc" => Purpose::Extended(Extended::Other(vec![2, 16, 840, 1, 113_730, 4, 1])),
        other => return Err(anyhow!("unrecognized usage values: {other:?}")),
    })
}

/// 127 random bits: two certificates of one key are two.
fn serial_number() -> Result<SerialNumber> {
    let mut bytes = [0; 16];
    let filled = aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| anyhow!("there are no random numbers"))?;
    bytes[0] &= 0x7f;
    Ok(SerialNumber::from_slice(&bytes))
}

fn date(time: Timestamp) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(time.as_second()).context("a time is out of range")
}

#[cfg(test)]
mod tests {
    use sampan_controllers::Authority as _;
    use x509_parser::certificate::X509Certificate;

    use super::*;
    use crate::pki::{Pki, first_certificate};

    /// A request with two organizations, a DNS name, an address, and the wish to be an authority.
    fn request(key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // It knows one value of each type: this is another name of the same.
        params.distinguished_name.push(DnType::OrganizationName, "one");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 10]), "two");
        params.distinguished_name.push(DnType::CommonName, "jane");
        params.subject_alt_names =
            vec![SanType::DnsName("n1".try_into().unwrap()), SanType::IpAddress([192, 0, 2, 1].into())];
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.serialize_request(key).unwrap().der().to_vec()
    }

    fn order<'a>(request: &'a [u8], usages: &'a [String]) -> Order<'a> {
        let at = |second| Timestamp::from_second(second).unwrap();
        Order { request, usages, not_before: at(1_800_000_000), not_after: at(1_800_086_400) }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_certificate_says_what_was_asked_for_and_is_never_an_authority() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), OffsetDateTime::now_utc()).unwrap();
        let key = KeyPair::generate().unwrap();
        let (request, usages) =
            (request(&key), words(&["digital signature", "client auth", "signing", "ipsec user"]));
        let authority = pki.signer();
        let pem = authority.sign(&order(&request, &usages)).unwrap();
        let der = first_certificate(&pem).unwrap();
        let (_, made) = X509Certificate::from_der(&der).unwrap();
        let ca = first_certificate(pki.authority()).unwrap();
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        made.verify_signature(Some(ca.public_key())).expect("it is the authority's");
        assert_eq!(made.subject().to_string(), "O=one, O=two, CN=jane");
        assert_eq!(made.issuer(), ca.subject());
        assert_eq!(made.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
        assert!(!made.is_ca());
        assert_eq!(made.validity().not_before.timestamp(), 1_800_000_000);
        assert_eq!(made.validity().not_after.timestamp(), 1_800_086_400);
        let names = made.subject_alternative_name().unwrap().unwrap();
        assert!(!names.critical && names.value.general_names.len() == 2, "{names:?}");
        let usage = made.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.flags.is_power_of_two(), "{usage}");
        let extended = made.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && !extended.server_auth && extended.other.len() == 1, "{extended:?}");
        let again = authority.sign(&order(&request, &usages)).unwrap();
        assert_ne!(again, pem, "each has a number of its own");
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), OffsetDateTime::now_utc()).unwrap();
        let usages = words(&["client auth"]);
        let mut forged = request(&KeyPair::generate().unwrap());
        let at = forged.windows(4).position(|four| four == b"jane").unwrap();
        forged[at] = b'J';
        let refusal = pki.signer().sign(&order(&forged, &usages)).unwrap_err().to_string();
        assert!(refusal.starts_with("unable to verify certificate request signature"), "{refusal}");
        assert!(pki.signer().sign(&order(b"x", &usages)).is_err());
        let good = request(&KeyPair::generate().unwrap());
        let refusal = pki.signer().sign(&order(&good, &words(&["flying"]))).unwrap_err().to_string();
        assert_eq!(refusal, "unrecognized usage values: \"flying\"");
    }
}
