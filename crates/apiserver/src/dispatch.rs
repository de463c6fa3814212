//! From a request that may be done to the part of the server that does it.

pub(crate) mod body;
mod connect;
mod list_body;
mod paths;
mod protobuf;
mod protobuf_list;
mod resource;
mod shape;
mod told;
mod watch_body;
mod watch_timers;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use sampan_model::status::Details;
use sampan_model::{Reason, Status};

use crate::User;
use crate::http_io::body::{nothing, upload};
use crate::http_io::media::{Encoding, Offers, negotiate};
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::request_info::RequestInfo;
use crate::server::Shared;

/// The one name that a field selector of the query demands.
pub(crate) fn selected_name(query: &Query) -> Option<String> {
    let text = query.get("fieldSelector");
    if !text.contains("metadata.name") {
        return None;
    }
    let selector = sampan_model::field_selector::Selector::parse(text).ok()?;
    selector.required_value("metadata.name").map(str::to_owned)
}

/// Answers a request that passed the filters.
pub(crate) async fn dispatch<B>(
    server: &Arc<Shared>,
    user: Arc<User>,
    info: &RequestInfo,
    query: &Query,
    parts: &Parts,
    body: Option<B>,
) -> Answer
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    // Failures are few: what they are told in is negotiated when there is one.
    let failed = |status: &Status| respond::status(status, error_encoding(server, info, parts));
    // The body is read before anything is refused, so that a client that is still sending can read why.
    let (read, upload) = match body {
        Some(body) if body::is_passed_on(info) => (Ok(Bytes::new()), upload(body)),
        Some(body) => (body::read(body).await, nothing()),
        None => (Ok(Bytes::new()), nothing()),
    };
    let body = match read {
        Ok(body) => body,
        Err(status) => return failed(&status),
    };
    // The two words that may stand before a resource are for reading it.
    match info.verb.as_str() {
        "proxy" if info.is_resource => return respond::page_not_found(),
        "watch" if info.is_resource && !matches!(parts.method, Method::GET | Method::HEAD) => {
            return failed(&not_allowed());
        }
        _ => {}
    }
    if !info.is_resource {
        if let Some(page) = server.pages.iter().find(|page| page.path() == info.path) {
            return crate::pages::answer(&**page, accept(parts), parts).await;
        }
        return paths::answer(server, info, query, parts);
    }
    match resource::answer(server, user, info, query, parts, body, upload).await {
        Ok(answer) => answer,
        Err(resource::Failure::Page) => respond::page_not_found(),
        Err(resource::Failure::Status(status)) => {
            if let Some(recorder) = parts.extensions.get::<crate::audit::Recorder>() {
                recorder.status(&status.to_value());
            }
            failed(&status)
        }
    }
}

/// 405, in the server's general words.
pub(crate) fn not_allowed() -> Status {
    Status::failure(
        405,
        Reason::MethodNotAllowed,
        "the server does not allow this method on the requested resource",
    )
    .with_details(Details::default())
}

/// The `Accept` header.
pub(crate) fn accept(parts: &Parts) -> Option<&str> {
    parts.headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok())
}

/// The encoding in which a failure is told: the one that the client asked for, if it asked for one that there is. A
/// clause for a table or for metadata alone is passed over: a Status is neither.
fn error_encoding(server: &Shared, info: &RequestInfo, parts: &Parts) -> Encoding {
    let protobuf = || {
        let catalog = server.registry.catalog();
        match catalog.resource(&info.group, &info.version, &info.resource) {
            Some(resource) => resource.protobuf(),
            None => catalog.protobuf(),
        }
    };
    negotiate(accept(parts), Offers::Objects, &protobuf).map_or(Encoding::Json, |form| form.encoding)
}

/// The same for what belongs to no resource: refusals by the filters, paths that there are not.
pub(crate) fn any_encoding(server: &Shared, parts: &Parts) -> Encoding {
    let protobuf = || server.registry.catalog().protobuf();
    negotiate(accept(parts), Offers::Objects, &protobuf).map_or(Encoding::Json, |form| form.encoding)
}
