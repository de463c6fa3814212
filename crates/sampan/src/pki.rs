//! The cluster's certificates and keys: made at the first start, read at every further one.
//!
//! `ca.crt` and `ca.key` are the authority; `apiserver.*` is what the server shows, `admin.*` whom the
//! administrator's kubeconfig speaks for, `apiserver-kubelet-client.*` what the server shows to nodes, `kubelet.*` what the node shows;
//! `sa.key` and `sa.pub` sign the tokens of service accounts.
//! The keys of certificates are ECDSA P-256: making an RSA key would take longer than the whole start.

pub(crate) mod account_key;
mod authority;
mod leaf;
mod server_names;
mod signing;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use time::OffsetDateTime;

use crate::private_file;

pub(crate) use authority::Authority;
pub(crate) use server_names::ServerNames;

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What is in the directory.
pub(crate) struct Pki {
    dir: PathBuf,
    authority: Arc<Authority>,
    /// Whom the administrator's kubeconfig speaks for.
    pub(crate) admin: Pair,
    /// What the API server shows to nodes.
    pub(crate) kubelet_client: Pair,
}

impl Pki {
    /// Reads the directory; what is missing, or will expire soon, is made.
    pub(crate) fn open(dir: &Path, now: OffsetDateTime) -> Result<Self> {
        private_file::create_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let authority = Arc::new(Authority::open(dir, now)?);
        let admin = leaf::open(dir, "admin", &authority, &leaf::Subject::Administrator, now)?;
        let name = "apiserver-kubelet-client";
        let kubelet_client = leaf::open(dir, name, &authority, &leaf::Subject::KubeletClient, now)?;
        Ok(Self { dir: dir.to_owned(), authority, admin, kubelet_client })
    }

    /// The certificate of the server, valid for `names`; a new one when the old one expires soon or has other names.
    pub(crate) fn server(&self, names: &ServerNames, now: OffsetDateTime) -> Result<Pair> {
        leaf::open(&self.dir, "apiserver", &self.authority, &leaf::Subject::Server(names), now)
    }

    /// What a node shows to those who ask its own API, valid for `names`.
    pub(crate) fn node(&self, name: &str, names: &ServerNames, now: OffsetDateTime) -> Result<Pair> {
        leaf::open(&self.dir, "kubelet", &self.authority, &leaf::Subject::Node { name, names }, now)
    }

    /// The authority's certificate, as PEM.
    pub(crate) fn authority(&self) -> &str {
        self.authority.certificate()
    }

    /// What signs the certificates of others.
    pub(crate) fn signer(&self) -> Arc<Authority> {
        Arc::clone(&self.authority)
    }

    /// Where the files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

pub(crate) fn new_key() -> Result<rcgen::KeyPair> {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("cannot make a key")
}

/// The content of a file; `None` when there is none, and when it is empty, as a loss of power during the first
/// start leaves it.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    private_file::write(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// The bytes of the first certificate of a PEM text.
pub(crate) fn first_certificate(pem: &str) -> Option<rustls_pki_types::CertificateDer<'static>> {
    use rustls_pki_types::pem::PemObject as _;
    rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
