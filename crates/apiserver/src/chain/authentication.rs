//! Who makes the request: the client certificate of the connection, or nobody.
//!
//! Authenticators stand in a list; the first that knows the credentials decides. Bearer tokens and the
//! others join the list with the next layer; until then a bearer token is unknown, which is a 401.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use sampan_model::Status;

use crate::User;
use crate::server::Shared;

/// The identity that a connection's client certificate proves, put into the request's extensions by the listener
/// (or by whoever calls the server in process).
#[derive(Debug, Clone)]
pub struct PeerIdentity(pub Arc<User>);

/// Knows one sort of credentials.
pub trait Authenticator: Send + Sync + std::fmt::Debug {
    /// The user, `None` when there are no credentials of this sort, an error when there are and they are wrong.
    fn authenticate(&self, parts: &Parts) -> Result<Option<Arc<User>>, Status>;
}

/// The client certificate.
#[derive(Debug)]
pub struct ClientCertificate;

impl Authenticator for ClientCertificate {
    fn authenticate(&self, parts: &Parts) -> Result<Option<Arc<User>>, Status> {
        Ok(parts.extensions.get::<PeerIdentity>().map(|peer| Arc::clone(&peer.0)))
    }
}

/// The user of a request; 401 when its credentials are not known. The credentials are taken out of the request.
pub(super) fn authenticate(server: &Shared, parts: &mut Parts) -> Result<Arc<User>, Status> {
    for authenticator in &server.authenticators {
        if let Some(user) = authenticator.authenticate(parts)? {
            parts.headers.remove(AUTHORIZATION);
            return Ok(user);
        }
    }
    if parts.headers.remove(AUTHORIZATION).is_some() {
        return Err(Status::unauthorized());
    }
    Ok(Arc::clone(&server.anonymous))
}
