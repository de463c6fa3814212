//! A certificate of the node's and its key, in one file that is replaced whole (as the kubelet's `kubelet-client-current.pem`): so both always belong together.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use x509_parser::certificate::X509Certificate;

use crate::pki::{ServerNames, first_certificate};
use crate::private_file;

/// What a key begins with, as rcgen writes it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----";

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) names: ServerNames,
}

impl Credentials {
    /// These, if they belong together.
    pub(super) fn new(certificate: String, key: String) -> Result<Self> {
        let der = first_certificate(&certificate).context("there is no certificate in it")?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&der).context("its certificate cannot be read")?;
        let pair = rcgen::KeyPair::from_pem(&key).context("its key cannot be read")?;
        let public = parsed.public_key().subject_public_key.data.as_ref();
        ensure!(public == pair.public_key_raw(), "its key is another one's");
        let (not_before, not_after) = validity(&parsed)?;
        let names = ServerNames::of(&parsed);
        Ok(Self { certificate, key, not_before, not_after, names })
    }

    /// What a file holds; `None` if there is nothing in it that can be used, which is said.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let read = || {
            let at = text.find(KEY).context("there is no key in it")?;
            Self::new(text[..at].to_owned(), text[at..].to_owned())
        };
        match read() {
            Ok(credentials) => Some(credentials),
            Err(error) => {
                let (file, error) = (path.display(), format!("{error:#}"));
                tracing::warn!(%file, error, "a certificate of the node cannot be used");
                None
            }
        }
    }

    /// Replaces the file.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{}{}", self.certificate, self.key);
        private_file::write_durably(path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn is_good(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// When the next one is to be asked for: after 70 to 90 % of its life, as `chance` (0 to 1) has it, so that not all nodes come at once.
    pub(super) fn renewed_at(&self, chance: f64) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        let seconds = life.as_secs_f64() * (0.7 + 0.2 * chance.clamp(0.0, 1.0));
        let part = SignedDuration::try_from_secs_f64(seconds).unwrap_or_default();
        self.not_before.saturating_add(part).unwrap_or(self.not_after)
    }
}

/// From when until when a certificate is good.
pub(super) fn validity(certificate: &X509Certificate<'_>) -> Result<(Timestamp, Timestamp)> {
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).context("a time of its certificate is out of range")
    };
    let validity = certificate.validity();
    Ok((at(validity.not_before)?, at(validity.not_after)?))
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use time::OffsetDateTime;

    use super::*;

    /// Of these seconds.
    pub(in crate::node) fn credentials(from: i64, to: i64) -> Credentials {
        let key = crate::pki::new_key().unwrap();
        let mut params = rcgen::CertificateParams::new(["n1".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(to).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Credentials::new(certificate, key.serialize_pem()).unwrap()
    }

    #[test]
    fn they_are_read_as_they_were_written_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("current.pem");
        assert!(Credentials::read(&path).is_none());
        let written = credentials(1_000, 2_000);
        written.write(&path).unwrap();
        let read = Credentials::read(&path).unwrap();
        assert_eq!((&read.certificate, &read.key), (&written.certificate, &written.key));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = Credentials::new(written.certificate, credentials(1, 2).key);
        assert_eq!(other.err().unwrap().to_string(), "its key is another one's");
        std::fs::write(&path, "").unwrap();
        assert!(Credentials::read(&path).is_none(), "a loss of power");
    }

    #[test]
    fn they_are_renewed_in_the_last_third_of_their_life() {
        let credentials = credentials(1_000_000, 2_000_000);
        for (chance, second) in [(0.0, 1_700_000), (0.5, 1_800_000), (1.0, 1_900_000), (7.0, 1_900_000)] {
            let at = credentials.renewed_at(chance).as_second();
            assert!((at - second).abs() <= 1, "{chance}: {at}");
        }
        let at = |second| Timestamp::from_second(second).unwrap();
        for (second, good) in [(999_999, false), (1_000_000, true), (1_999_999, true), (2_000_000, false)] {
            assert_eq!(credentials.is_good(at(second)), good, "{second}");
        }
    }
}
