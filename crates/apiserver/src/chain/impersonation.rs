//! Acting as somebody else: the `Impersonate-*` headers (KEP-5284, constrained impersonation, and the older form).
//!
//! A request is made by one user and decided about as if another had made it. Five modes are asked in order, from the
//! most to the least constrained; the first that allows it decides, and when none does, the first refusal is told. A
//! constrained mode asks two things: may the user do this request in this mode (`impersonate-on:MODE:VERB`), and may it
//! be that other (`impersonate:MODE`). The old mode asks only the second, as `impersonate`.

mod headers;
mod modes;

use std::sync::Arc;

use http::HeaderMap;
use sampan_model::Status;

use super::authorization::{Attributes, Authorizer};
use crate::User;

/// Who a request counts as made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonated {
    /// The user.
    pub user: Arc<User>,
    /// The verb that allowed it; empty for the old mode. Audit shows it.
    pub constraint: &'static str,
}

/// The user that the headers ask for, when whoever makes `request` may be it. The headers are taken out of the request.
pub async fn impersonate(
    authorizer: &dyn Authorizer,
    request: &Attributes<'_>,
    headers: &mut HeaderMap,
) -> Result<Option<Impersonated>, Status> {
    let Some(wanted) = headers::take(headers)? else { return Ok(None) };
    let mut refusal = None;
    for mode in modes::ALL {
        match modes::check(mode, authorizer, request, &wanted).await {
            Some(Ok(user)) => {
                tracing::debug!(by = request.user.name, user = user.name, "impersonating");
                return Ok(Some(Impersonated { user: Arc::new(user), constraint: mode.constraint() }));
            }
            Some(Err(status)) => refusal = refusal.or(Some(status)),
            None => {}
        }
    }
    Err(refusal.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

#[cfg(test)]
mod tests;
