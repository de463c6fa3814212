//! Client certificates (`--client-ca-file`): the common name is the user, the organizations are the groups.
//!
//! The TLS layer lets every certificate in whose key the client has; who signed it is looked at here, so that a client with
//! a bad one reads a 401, as from kube-apiserver. The answer is kept for the connection, but not beyond the end of the
//! certificates.

use std::fmt::Write as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::request::Parts;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::{Authenticated, Authenticator, PeerCertificates, Rejected};
use sampan_apiserver::user::CREDENTIAL_ID_KEY;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::Oid;
use x509_parser::der_parser::oid;

/// The attribute of a subject that is the user's uid (KEP-4572's `1.3.6.1.4.1.57683.2`).
const UID_ATTRIBUTE: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// Why authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is broken.
    #[error("it is no list of certificates: {0}")]
    Malformed(String),
    /// There is no certificate in it.
    #[error("there is no certificate in it")]
    None,
}

/// Certificate authorities that are trusted for clients. Clones are the same ones, also after [`Authorities::replace`].
#[derive(Debug, Clone)]
pub struct Authorities(Arc<ArcSwap<Trusted>>);

/// Those that are trusted at one time.
#[derive(Debug)]
struct Trusted(Arc<dyn ClientCertVerifier>);

impl Authorities {
    /// Those in PEM texts.
    pub fn from_pem<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for text in texts {
            for certificate in CertificateDer::pem_slice_iter(text) {
                let certificate = certificate.map_err(|e| Error::Malformed(e.to_string()))?;
                roots.add(certificate).map_err(|e| Error::Malformed(e.to_string()))?;
            }
        }
        if roots.is_empty() {
            return Err(Error::None);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|e| Error::Malformed(e.to_string()))?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(Trusted(verifier)))))
    }

    /// The names of the authorities, which clients are told so that they can choose a certificate.
    pub fn names(&self) -> Vec<rustls::DistinguishedName> {
        self.0.load().0.root_hint_subjects().to_vec()
    }

    /// Trusts others from now on, on all connections.
    pub fn replace(&self, others: &Self) {
        self.0.store(others.0.load_full());
    }

    /// Whether the first of a chain is a good client certificate now. Chains that would cost much to follow are refused by
    /// the library.
    pub fn verify(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Result<(), Rejected> {
        let (first, others) = chain.split_first().ok_or_else(|| Rejected::new("there is no certificate"))?;
        match self.0.load().0.verify_client_cert(first, others, now) {
            Ok(_) => Ok(()),
            Err(error) => Err(Rejected(format!("x509: {error}"))),
        }
    }
}

/// Knows the certificates of some authorities.
#[derive(Debug)]
pub struct ClientCertificate(pub Authorities);

/// What was found about the certificates of a connection.
struct Found {
    user: Result<Arc<User>, Rejected>,
    /// Until when it is true.
    until: i64,
    /// By whom it is.
    by: Arc<Trusted>,
}

#[async_trait]
impl Authenticator for ClientCertificate {
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Authenticated>, Rejected> {
        let Some(peer) = parts.extensions.get::<PeerCertificates>() else { return Ok(None) };
        let now = UnixTime::now();
        let by = self.0.0.load_full();
        let found = peer.memo(|| Found {
            user: self.user(peer.chain(), now),
            until: end(peer.chain()),
            by: Arc::clone(&by),
        });
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match found {
            Some(Found { user: Ok(user), until, by: then })
                if seconds <= *until && Arc::ptr_eq(then, &by) =>
            {
                Ok(Some(Arc::clone(user).into()))
            }
            // A certificate that was not good may be by now (it was not valid yet), or no longer be.
            // Nor do authorities last for ever.
            _ => self.user(peer.chain(), now).map(|user| Some(user.into())),
        }
    }
}

impl ClientCertificate {
    fn user(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Result<Arc<User>, Rejected> {
        self.0.verify(chain, now)?;
        let first = &chain[0];
        let (_, certificate) =
            x509_parser::parse_x509_certificate(first).map_err(|e| Rejected(format!("x509: {e}")))?;
        let mut user =
            subject(&certificate).ok_or_else(|| Rejected::new("x509: subject with empty common name"))?;
        let hash = Sha256::digest(first).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        user.extra.insert(CREDENTIAL_ID_KEY.into(), vec![format!("X509SHA256={hash}")]);
        user.count_as_authenticated();
        Ok(Arc::new(user))
    }
}

/// The user that a subject names; `None` without a common name.
fn subject(certificate: &X509Certificate<'_>) -> Option<User> {
    let subject = certificate.subject();
    // Of several the last counts, as in Go: everybody who looks at a certificate must see the same user.
    let name = subject.iter_common_name().last()?.as_str().ok().filter(|n| !n.is_empty())?.to_owned();
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    let uid = subject.iter_by_oid(&UID_ATTRIBUTE).next().and_then(|a| a.as_str().ok()).unwrap_or_default();
    Some(User { name, groups, uid: uid.to_owned(), ..User::default() })
}

/// The common name of a certificate; empty when it has none.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return String::new();
    };
    subject(&certificate).map(|user| user.name).unwrap_or_default()
}

/// When the first certificate of a chain to end ends.
fn end(chain: &[CertificateDer<'_>]) -> i64 {
    let ends = chain.iter().map(|certificate| {
        x509_parser::parse_x509_certificate(certificate)
            .map_or(0, |(_, c)| c.validity().not_after.timestamp())
    });
    ends.min().unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests;
