//! Requests that connect to something by way of an object: `exec`, `attach`, `portforward`, `proxy`, `log`.
//!
//! What they ask for becomes an object, which admission sees; what connects is the subresource's business.

use std::sync::Arc;

use http::request::Parts;
use sampan_model::Status;

use crate::Behaviour;
use crate::chain::authorization;
use crate::http_io::body::Upload;
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::registry::Attributes;
use crate::request_info::RequestInfo;
use crate::server::Shared;
use crate::subresource::{Connect, Connection};

/// How the subresource that `a` names connects, if it does.
pub(super) fn of(a: &Attributes) -> Option<&dyn Connect> {
    match &a.resource.subresource(&a.subresource)?.behaviour {
        Behaviour::Connect(connect) => Some(&**connect),
        _ => None,
    }
}

/// Answers, in upstream's order: options, admission, the second authorization, the connection.
pub(super) async fn answer(
    server: &Arc<Shared>,
    a: &Attributes,
    info: &RequestInfo,
    query: &Query,
    parts: &Parts,
    connect: &dyn Connect,
    body: Upload,
) -> Result<Answer, Status> {
    if connect.is_admitted() && query.has("dryRun") {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    let path = if connect.takes_path() { path_behind(info) } else { String::new() };
    let mut options = connect.options(parts.uri.query().unwrap_or(""), &path)?;
    let mut warnings = Vec::new();
    if connect.is_admitted() {
        warnings = server.registry.admit_connection(a, &mut options).await?;
    }
    if connect.needs_create() && info.verb != "create" {
        authorize_create(server, a, info).await?;
    }
    let parent = server.registry.parent(a, false);
    let mut answer = connect.connect(&parent, Connection { options, parts, body }).await?;
    warnings.extend(parent.take_warnings());
    respond::warn(&mut answer, &warnings);
    Ok(answer)
}

/// What stands behind the subresource, with its slashes.
fn path_behind(info: &RequestInfo) -> String {
    let mut path = match info.rest.as_str() {
        "" => String::new(),
        rest => format!("/{rest}"),
    };
    if info.path.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// 403 for who may only read: upstream's `AuthorizePodWebsocketUpgradeCreatePermission`.
async fn authorize_create(server: &Shared, a: &Attributes, info: &RequestInfo) -> Result<(), Status> {
    let info = RequestInfo { verb: "create".to_owned(), ..info.clone() };
    let attributes = authorization::Attributes { user: &a.user, info: &info, selectors: None };
    let verdict = server.authorizer.authorize(&attributes).await;
    if verdict.is_allowed() {
        return Ok(());
    }
    match verdict.error {
        Some(error) => Err(Status::internal(error)),
        None => Err(Status::forbidden(&a.resource.group_resource(), &a.name, verdict.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_keeps_its_slashes() {
        let rows = [("", ""), ("/", "/"), ("/a", "/a"), ("/a/b/", "/a/b/")];
        for (behind, want) in rows {
            let path = format!("/api/v1/namespaces/n/pods/p/proxy{behind}");
            let info = RequestInfo::parse(&http::Method::GET, &path, false, None);
            assert_eq!(path_behind(&info), want, "{behind}");
        }
    }
}
