//! Who makes the request.
//!
//! Authenticators stand in a list; the first that knows the credentials decides. Credentials that are wrong are
//! remembered while the others are asked, and then the request is refused: only a request without credentials is anonymous.

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use http::HeaderMap;
use http::request::Parts;
use rustls::pki_types::CertificateDer;
use sampan_model::Status;

use crate::User;
use crate::server::Shared;
use crate::throttle::Throttle;

/// The group of everybody whose credentials are known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// The identity of a request that is made in this process, put into its extensions by whoever calls the server there.
#[derive(Debug, Clone)]
pub struct PeerIdentity(pub Arc<User>);

/// The certificates that the client of a connection has shown, put into the extensions of its requests by the listener.
///
/// The client has proved that it has the key of the first; nobody has looked yet at who signed it.
#[derive(Clone)]
pub struct PeerCertificates(Arc<Peer>);

struct Peer {
    chain: Vec<CertificateDer<'static>>,
    memo: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl PeerCertificates {
    /// A chain, the client's own certificate first. It has at least that one.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Option<Self> {
        (!chain.is_empty()).then(|| Self(Arc::new(Peer { chain, memo: OnceLock::new() })))
    }

    /// The chain.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// What an authenticator has found out of this chain, kept for the further requests of the connection. One
    /// authenticator has this place; `None` for any other.
    pub fn memo<T: Any + Send + Sync>(&self, derive: impl FnOnce() -> T) -> Option<&T> {
        self.0.memo.get_or_init(|| Arc::new(derive())).downcast_ref()
    }
}

impl std::fmt::Debug for PeerCertificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerCertificates({})", self.0.chain.len())
    }
}

/// Credentials that are of an authenticator's sort, and wrong. The reason is for the log; the client learns nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

impl Rejected {
    /// For this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What is to be told of credentials besides whose they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Annotations of the request's audit event.
    pub annotations: Vec<(&'static str, String)>,
    /// `Warning` headers of its answer.
    pub warnings: Vec<String>,
}

/// Whose credentials were shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The user.
    pub user: Arc<User>,
    /// What else is to be told.
    pub notes: Notes,
}

impl From<Arc<User>> for Authenticated {
    fn from(user: Arc<User>) -> Self {
        Self { user, notes: Notes::default() }
    }
}

/// Knows one sort of credentials.
#[async_trait]
pub trait Authenticator: Send + Sync + std::fmt::Debug {
    /// The user; `None` when there are no credentials of this sort, or it does not know them; an error when it knows that
    /// they are wrong.
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Authenticated>, Rejected>;

    /// Makes its metrics known to the server's registry.
    fn register_metrics(&self, _registry: &mut prometheus_client::registry::Registry) {}

    /// Takes its credentials out of a request that was authenticated, so that nothing after it can see or pass them on.
    fn forget(&self, headers: &mut HeaderMap) {
        let _ = headers;
    }
}

/// The identity that a caller in this process says it has.
#[derive(Debug)]
pub struct InProcess;

#[async_trait]
impl Authenticator for InProcess {
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Authenticated>, Rejected> {
        Ok(parts.extensions.get::<PeerIdentity>().map(|peer| Arc::clone(&peer.0).into()))
    }
}

/// Who a request without credentials is.
#[derive(Debug, Clone)]
pub struct Anonymous {
    user: Arc<User>,
    /// The paths on which there is such a user; `None`: everywhere.
    paths: Option<Vec<String>>,
}

impl Anonymous {
    /// `system:anonymous`, on every path.
    pub fn everywhere() -> Self {
        Self { user: Arc::new(User::anonymous()), paths: None }
    }

    /// `system:anonymous`, on these paths alone (`anonymous.conditions` of an AuthenticationConfiguration).
    pub fn at(paths: Vec<String>) -> Self {
        Self { paths: Some(paths), ..Self::everywhere() }
    }

    /// The user of a request without credentials for `path`.
    pub fn authenticate(&self, path: &str) -> Option<Arc<User>> {
        let here = self.paths.as_ref().is_none_or(|paths| paths.iter().any(|p| p == path));
        here.then(|| Arc::clone(&self.user))
    }
}

/// The user of a request; 401 when its credentials are not known. The credentials are taken out of the request.
pub(super) async fn authenticate(server: &Shared, parts: &mut Parts) -> Result<Authenticated, Status> {
    let mut rejected = Vec::new();
    let mut found = None;
    for authenticator in &server.authenticators {
        match authenticator.authenticate(parts).await {
            Ok(Some(one)) => {
                found = Some(one);
                break;
            }
            Ok(None) => {}
            Err(reason) => rejected.push(reason.0),
        }
    }
    let anonymous = server.anonymous.as_ref().filter(|_| rejected.is_empty());
    if let Some(found) = found.or_else(|| anonymous?.authenticate(parts.uri.path()).map(Into::into)) {
        for authenticator in &server.authenticators {
            authenticator.forget(&mut parts.headers);
        }
        return Ok(found);
    }
    // Anybody can cause such lines, so there are not many of them, and they are short.
    if let Some(left_out) = LINES.take() {
        let (path, reasons) = (shortened(parts.uri.path()), shortened(&rejected.join("; ")).into_owned());
        tracing::warn!(%path, reasons, left_out, "unable to authenticate the request");
    }
    Err(Status::unauthorized())
}

/// The lines about requests that nobody was found to make: so many a second.
static LINES: Throttle = Throttle::new(10);
/// The longest text of a client that is logged.
const MAX_LOGGED: usize = 256;

/// The beginning of a long text.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_LOGGED {
        return text.into();
    }
    let end = (0..=MAX_LOGGED).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}...", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_logged_by_its_beginning() {
        assert_eq!(shortened("/api"), "/api");
        let long = "ä".repeat(200);
        assert_eq!(shortened(&long), format!("{}...", "ä".repeat(128)));
    }

    #[test]
    fn nobody_is_a_user_only_where_the_configuration_says_so() {
        let rows = [
            ("everywhere", Anonymous::everywhere(), "/api", true),
            ("at a path", Anonymous::at(vec!["/livez".into()]), "/livez", true),
            ("below it", Anonymous::at(vec!["/livez".into()]), "/livez/ping", false),
            ("at no path", Anonymous::at(Vec::new()), "/livez", false),
        ];
        for (name, anonymous, path, allowed) in rows {
            assert_eq!(anonymous.authenticate(path).is_some(), allowed, "{name}");
        }
    }
}
