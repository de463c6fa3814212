//! Who asks, and whether they may.
//!
//! A client certificate of the cluster's authority says who asks; else a token, about which somebody is asked. Whether they may is
//! asked too, in the terms of `nodes/SUBRESOURCE` ([`attributes`]). The kubelet does the same with `authentication.webhook` and
//! `authorization.mode: Webhook`; anonymous requests are refused, as is its default.

pub mod attributes;
mod certificate;
mod reviews;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, StatusCode};

use super::answer::{self, Answer};
use attributes::Attributes;
pub(super) use certificate::user_of;
pub use reviews::Reviews;

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// A lasting identifier; may be empty.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What is known besides.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Nobody could be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Knows tokens, and who may do what.
#[async_trait]
pub trait Access: Send + Sync + 'static {
    /// Whose a token is; `None` when it is nobody's.
    async fn user(&self, token: &str) -> Result<Option<User>, Error>;

    /// Whether somebody may do something.
    async fn allows(&self, user: &User, attributes: &Attributes) -> Result<bool, Error>;
}

/// What is known of the other end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// Whom its certificate speaks for.
    pub(super) user: Option<User>,
}

/// Lets a request through, or refuses it.
pub(super) async fn admit(
    access: &dyn Access,
    node: &str,
    request: &Request<()>,
    path: &str,
    peer: &Peer,
) -> Result<(), Answer> {
    let user = match (&peer.user, token(request.headers().get(AUTHORIZATION))) {
        (Some(user), _) => Some(user.clone()),
        (None, None) => None,
        (None, Some(token)) => access.user(token).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a token could not be asked about");
            None
        }),
    };
    let Some(user) = user else {
        let mut refusal = answer::text(StatusCode::UNAUTHORIZED, "Unauthorized");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Err(refusal);
    };
    let asked = attributes::of(request.method(), path, node);
    for attributes in &asked {
        match access.allows(&user, attributes).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(user = %user.name, %error, "it could not be asked whether a user may");
                let words = words("Authorization error", &user, &asked);
                return Err(answer::text(StatusCode::INTERNAL_SERVER_ERROR, &words));
            }
        }
    }
    Err(answer::text(StatusCode::FORBIDDEN, &words("Forbidden", &user, &asked)))
}

fn words(what: &str, user: &User, asked: &[Attributes]) -> String {
    let list: Vec<&str> = asked.iter().map(|attributes| attributes.subresource).collect();
    let verb = asked.first().map_or("", |attributes| attributes.verb);
    format!("{what} (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])", user.name, list.join(" "))
}

/// The token of an `Authorization` header.
fn token(header: Option<&HeaderValue>) -> Option<&str> {
    let (scheme, token) = header?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= MAX_TOKEN_BYTES)
        .then_some(token)
}

#[cfg(test)]
mod tests;
