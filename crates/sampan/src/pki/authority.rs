//! The certificate authority of the cluster.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

/// How long the authority lives (kubeadm's ten years).
const LIFETIME: Duration = Duration::days(3650);

/// The authority, ready to sign. What is shown of it in logs has no key.
#[derive(Debug)]
pub(crate) struct Authority {
    certificate: String,
    key_identifier: Vec<u8>,
    /// When its certificate ends.
    pub(super) end: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads the authority, or makes it.
    pub(super) fn open(dir: &Path, now: OffsetDateTime) -> Result<Self> {
        let (certificate, key) = (super::read(&dir.join("ca.crt"))?, super::read(&dir.join("ca.key"))?);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Self::read(dir, certificate, &key, now),
            // The key is written first, so a key alone is what a first start that was killed has left; an empty
            // one is left by a loss of power.
            (None, _) => Self::make(dir, now),
            (Some(_), None) if dir.join("ca.key").exists() => Self::make(dir, now),
            (Some(_), None) => bail!(
                "{0}/ca.key is missing: put it back, or remove {0} to have all certificates made anew",
                dir.display()
            ),
        }
    }

    /// The certificate as PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The identifier of its key, which everything that it signed repeats.
    pub(super) fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    fn make(dir: &Path, now: OffsetDateTime) -> Result<Self> {
        let key = super::new_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.not_before = now - super::leaf::CLOCK_SKEW;
        params.not_after = now + LIFETIME;
        let certificate = params.self_signed(&key).context("cannot make the authority's certificate")?.pem();
        super::write(dir, "ca.key", &key.serialize_pem())?;
        super::write(dir, "ca.crt", &certificate)?;
        Self::new(certificate, key)
    }

    fn read(dir: &Path, certificate: String, key: &str, now: OffsetDateTime) -> Result<Self> {
        let advice = || {
            format!(
                "{0}/ca.crt and {0}/ca.key cannot be used: put them back, or remove {0} to have all certificates made anew",
                dir.display()
            )
        };
        let key = KeyPair::from_pem(key).with_context(advice)?;
        let authority = Self::new(certificate, key).with_context(advice)?;
        let der = super::first_certificate(&authority.certificate).with_context(advice)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).with_context(advice)?;
        if parsed.public_key().subject_public_key.data.as_ref() != authority.issuer.key().public_key_raw() {
            bail!("{}: they do not belong together", advice());
        }
        if parsed.validity().not_after.to_datetime() <= now {
            bail!("{0}/ca.crt has expired: remove {0} to have all certificates made anew", dir.display());
        }
        Ok(authority)
    }

    fn new(certificate: String, key: KeyPair) -> Result<Self> {
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
        let der = super::first_certificate(&certificate).context("there is no certificate in it")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)?;
        let key_identifier = parsed
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            })
            .unwrap_or_default();
        let end = Timestamp::from_second(parsed.validity().not_after.timestamp())?;
        Ok(Self { certificate, key_identifier, end, issuer })
    }
}
