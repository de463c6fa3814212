//! Who makes the request.
//!
//! Authenticators stand in a list; the first that knows the credentials decides. Credentials that are wrong are
//! remembered while the others are asked, and then the request is refused: only a request without credentials is anonymous.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sampan_model::Status;

use crate::User;
use crate::server::Shared;

/// The identity that a connection's client certificate proves, put into the request's extensions by the listener
/// (or by whoever calls the server in process).
#[derive(Debug, Clone)]
pub struct PeerIdentity(pub Arc<User>);

/// Credentials that are of an authenticator's sort, and wrong. The reason is for the log; the client learns nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// Knows one sort of credentials.
#[async_trait]
pub trait Authenticator: Send + Sync + std::fmt::Debug {
    /// The user; `None` when there are no credentials of this sort, or it does not know them; an error when it knows that
    /// they are wrong.
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Arc<User>>, Rejected>;
}

/// The client certificate.
#[derive(Debug)]
pub struct ClientCertificate;

#[async_trait]
impl Authenticator for ClientCertificate {
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Arc<User>>, Rejected> {
        Ok(parts.extensions.get::<PeerIdentity>().map(|peer| Arc::clone(&peer.0)))
    }
}

/// The user of a request; 401 when its credentials are not known. The credentials are taken out of the request.
pub(super) async fn authenticate(server: &Shared, parts: &mut Parts) -> Result<Arc<User>, Status> {
    let mut rejected = Vec::new();
    for authenticator in &server.authenticators {
        match authenticator.authenticate(parts).await {
            Ok(Some(user)) => {
                parts.headers.remove(AUTHORIZATION);
                return Ok(user);
            }
            Ok(None) => {}
            Err(reason) => rejected.push(reason.0),
        }
    }
    let unknown = parts.headers.remove(AUTHORIZATION).is_some();
    if unknown || !rejected.is_empty() {
        tracing::warn!(path = parts.uri.path(), reasons = ?rejected, "unable to authenticate the request");
        return Err(Status::unauthorized());
    }
    Ok(Arc::clone(&server.anonymous))
}
