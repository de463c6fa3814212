//! Follows the files of certificates while the server runs: the authorities of clients and of proxies, and what the server shows.
//!
//! Looked at once a minute, as upstream does. Whose authority is gone is not known any more, on connections that are open too; one
//! whose file cannot be used stays in force.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use arc_swap::ArcSwap;
use rustls::{DistinguishedName, ServerConfig};
use sampan_auth::authentication::client_certificate::Authorities;

use crate::pki::Pair;
use crate::tls;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_mins(1);

/// A file, and the text that was read of it.
pub(super) type ReadFile = (PathBuf, Vec<u8>);

/// Whose certificates clients may show.
#[derive(Default)]
pub(super) struct Trusted {
    all: Vec<Authorities>,
    files: Vec<AuthorityFile>,
}

/// A file of authorities, and what is in force of it.
struct AuthorityFile {
    path: PathBuf,
    /// The text that was looked at last.
    seen: Vec<u8>,
    /// Authorities besides those of the file.
    own: Vec<u8>,
    authorities: Authorities,
}

impl Trusted {
    /// These, which are `own` ones and those of a file with this text.
    pub(super) fn add(&mut self, authorities: &Authorities, own: &[u8], file: Option<ReadFile>) {
        self.all.push(authorities.clone());
        if let Some((path, seen)) = file {
            let authorities = authorities.clone();
            self.files.push(AuthorityFile { path, seen, own: own.to_owned(), authorities });
        }
    }

    /// The names of all authorities, which clients are told.
    pub(super) fn names(&self) -> Vec<DistinguishedName> {
        self.all.iter().flat_map(Authorities::names).collect()
    }

    /// Takes over the files that have changed; whether there were any.
    fn look(&mut self) -> bool {
        self.files.iter_mut().fold(false, |changed, file| file.look() | changed)
    }
}

impl AuthorityFile {
    fn look(&mut self) -> bool {
        let file = self.path.display();
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%file, %error, "a file of authorities cannot be read, the old ones stay");
                return false;
            }
        };
        if text == self.seen {
            return false;
        }
        self.seen = text;
        // Without the own ones the file would count as one that has some.
        let good = Authorities::from_pem([self.seen.as_slice()])
            .and_then(|_| Authorities::from_pem([self.own.as_slice(), self.seen.as_slice()]));
        match good {
            Ok(others) => {
                self.authorities.replace(&others);
                tracing::info!(%file, "the changed authorities are in force");
                true
            }
            Err(error) => {
                tracing::error!(%file, %error, "the changed authorities are not used, the old ones stay");
                false
            }
        }
    }
}

/// Follows them for ever. `renew` gives the certificate that the server is to show now: the one that is shown, or, when that expires soon,
/// another.
pub(super) async fn follow(
    mut trusted: Trusted,
    mut shown: Pair,
    renew: impl Fn() -> Result<Pair>,
    config: &ArcSwap<ServerConfig>,
) -> Infallible {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let mut changed = trusted.look();
        match renew() {
            Ok(pair) if pair.certificate == shown.certificate => {}
            Ok(pair) => {
                shown = pair;
                changed = true;
            }
            Err(error) => tracing::error!(error = format!("{error:#}"), "the server's certificate stays"),
        }
        if !changed {
            continue;
        }
        match tls::config(trusted.names(), &shown) {
            Ok(new) => config.store(new),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the configuration of TLS stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str) -> String {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn a_changed_file_is_taken_over_if_it_can_be_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (own, first) = (authority("own"), authority("first"));
        std::fs::write(file.path(), &first).unwrap();
        let authorities = Authorities::from_pem([own.as_bytes(), first.as_bytes()]).unwrap();
        let mut trusted = Trusted::default();
        trusted.add(&authorities, own.as_bytes(), Some((file.path().into(), first.clone().into())));
        let two = authority("second") + &authority("third");
        let rows = [
            ("the same", first.as_str(), false, 2),
            ("no certificates", "", false, 2),
            ("a broken one", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", false, 2),
            ("two others", &two, true, 3),
            ("the same two", &two, false, 3),
            ("the first", &first, true, 2),
        ];
        for (name, text, changes, count) in rows {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!((trusted.look(), trusted.names().len()), (changes, count), "{name}");
        }
        assert_eq!(trusted.names().len(), authorities.names().len(), "those who ask have the same ones");
    }
}
