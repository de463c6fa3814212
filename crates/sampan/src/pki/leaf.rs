//! Certificates that the authority signs, and when they are made anew.

use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

use super::{Authority, Pair, ServerNames};

/// How long a certificate lives.
const LIFETIME: Duration = Duration::days(365);
/// How long before its end it is replaced.
const RENEW_BEFORE: Duration = Duration::days(60);
/// By how much the clock of a client may be behind.
pub(super) const CLOCK_SKEW: Duration = Duration::minutes(5);

/// Whom a certificate speaks for.
pub(super) enum Subject<'a> {
    /// The API server, under these names.
    Server(&'a ServerNames),
    /// The administrator.
    Administrator,
    /// The server of a node, under these names.
    Node {
        /// The node.
        name: &'a str,
        /// Where it is reached.
        names: &'a ServerNames,
    },
    /// The API server, to nodes.
    KubeletClient,
}

/// Reads `name.crt` and `name.key`, or makes them.
pub(super) fn open(
    dir: &Path,
    name: &str,
    authority: &Authority,
    subject: &Subject<'_>,
    now: OffsetDateTime,
) -> Result<Pair> {
    let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
    if let (Some(certificate), Some(key)) =
        (super::read(&dir.join(&certificate))?, super::read(&dir.join(&key))?)
        && still_good(&certificate, &key, authority, subject, now)
    {
        return Ok(Pair { certificate, key });
    }
    let pair =
        make(authority, subject, now).with_context(|| format!("cannot make the certificate {name}"))?;
    super::write(dir, &key, &pair.key)?;
    super::write(dir, &certificate, &pair.certificate)?;
    Ok(pair)
}

fn make(authority: &Authority, subject: &Subject<'_>, now: OffsetDateTime) -> Result<Pair> {
    let key = super::new_key()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    match subject {
        Subject::Server(names) => {
            params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
            serve_as(&mut params, names)?;
        }
        Subject::Node { name, names } => {
            params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
            params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
            serve_as(&mut params, names)?;
        }
        Subject::Administrator | Subject::KubeletClient => {
            let name = match subject {
                Subject::KubeletClient => "kube-apiserver-kubelet-client",
                _ => "kubernetes-admin",
            };
            params.distinguished_name.push(DnType::OrganizationName, "system:masters");
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + LIFETIME;
    let certificate = params.signed_by(&key, authority.issuer())?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

fn serve_as(params: &mut CertificateParams, names: &ServerNames) -> Result<()> {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in &names.dns {
        params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(name.as_str())?));
    }
    params.subject_alt_names.extend(names.addresses.iter().map(|a| SanType::IpAddress(*a)));
    Ok(())
}

/// Whether a certificate is of this authority, belongs to its key, lives long enough and has the right names.
fn still_good(
    certificate: &str,
    key: &str,
    authority: &Authority,
    subject: &Subject<'_>,
    now: OffsetDateTime,
) -> bool {
    let Some(der) = super::first_certificate(certificate) else { return false };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&der) else { return false };
    let Ok(key) = KeyPair::from_pem(key) else { return false };
    parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
        && parsed.validity().not_after.to_datetime() - RENEW_BEFORE > now
        && parsed.validity().not_before.to_datetime() <= now
        && signed_by(&parsed, authority)
        && match subject {
            Subject::Server(names) | Subject::Node { names, .. } => ServerNames::of(&parsed) == **names,
            Subject::Administrator | Subject::KubeletClient => true,
        }
}

fn signed_by(certificate: &X509Certificate<'_>, authority: &Authority) -> bool {
    certificate.iter_extensions().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            id.key_identifier.as_ref().is_some_and(|id| id.0 == authority.key_identifier())
        }
        _ => false,
    })
}
