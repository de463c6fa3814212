//! `nodes/proxy`, `pods/proxy`, `services/proxy`: passes a request on to what the path names, and the answer back.

use async_trait::async_trait;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use sampan_apiserver::backend::{self, Location};
use sampan_apiserver::http_io::respond::{self, Answer};
use sampan_apiserver::subresource::{Connect, Connection, Parent};
use sampan_model::field_error::go_quote;
use sampan_model::{GroupResource, Status, Value};

use super::target::{self, Asked};
use super::way::{self, Way};
use super::{Reach, unreachable};
use crate::subresources::connect_options;

/// Headers of an answer that are about its own origin, which is not this server's (upstream's `corsRemovingTransport`).
const CORS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// `nodes/proxy`, `pods/proxy`, `services/proxy`.
#[derive(Debug)]
pub(in super::super) struct Proxy {
    resource: String,
    kind: &'static str,
    reach: Reach,
}

impl Proxy {
    /// That of a resource.
    pub(in super::super) fn of(resource: &str, reach: Reach) -> Self {
        let kind = match resource {
            "nodes" => "NodeProxyOptions",
            "services" => "ServiceProxyOptions",
            _ => "PodProxyOptions",
        };
        Self { resource: resource.to_owned(), kind, reach }
    }
}

#[async_trait]
impl Connect for Proxy {
    fn options(&self, query: &str, path: &str) -> Result<Value, Status> {
        connect_options::read(self.kind, query, Some(path))
    }

    fn takes_path(&self) -> bool {
        true
    }

    async fn connect(&self, parent: &dyn Parent, connection: Connection<'_>) -> Result<Answer, Status> {
        let (namespace, text) = parent.place();
        let Some(asked) = Asked::parse(text) else {
            let kind = self.resource.trim_end_matches('s');
            return Err(Status::bad_request(format!("invalid {kind} request {}", go_quote(text))));
        };
        let resource = GroupResource::new("", self.resource.as_str());
        let object = parent.find(&resource, namespace, asked.name);
        let object = object.ok_or_else(|| Status::not_found(&resource, asked.name))?;
        let Some(reach) = &self.reach else { return Err(unreachable("proxy")) };
        let mut location = match self.resource.as_str() {
            "nodes" => target::node(&object, &asked, reach).await?,
            "services" => target::service(parent, &asked)?,
            _ => target::pod(&object, &asked)?,
        };
        let parts = connection.parts;
        let path = way::cleaned(connection.options.str_at(&["path"]));
        location.path = way::encoded(&path);
        parts.uri.query().unwrap_or_default().clone_into(&mut location.query);
        if backend::is_upgrade(parts) {
            return reach.backend.upgrade(&location, parts).await;
        }
        if path.is_empty() && matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(moved(&parts.uri));
        }
        let way = Way::of(&percent_decode_str(parts.uri.path()).decode_utf8_lossy(), &path);
        let headers = headers(parts, &way.forwarded_uri(&location.path));
        let (method, body, peer) = (&parts.method, connection.body, backend::peer(parts));
        let request = backend::Request { method, headers: &headers, body, peer };
        let answer = reach.backend.request(&location, request).await.map_err(target::failed)?;
        Ok(rewritten(answer, &way, &location, &headers))
    }
}

/// The redirect of an empty path to one with a slash, so that relative links work.
fn moved(uri: &http::Uri) -> Answer {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut answer = respond::bytes(301, "text/plain", "");
    answer.headers_mut().remove(CONTENT_TYPE);
    if let Ok(to) = HeaderValue::try_from(format!("{}/{query}", uri.path())) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}

/// The headers of a request, with what it was asked by. As upstream has it, `Host` stays the client's.
fn headers(parts: &Parts, forwarded_uri: &str) -> HeaderMap {
    let mut headers = parts.headers.clone();
    if let Ok(uri) = HeaderValue::try_from(forwarded_uri) {
        headers.insert("x-forwarded-uri", uri);
    }
    // HTTP/2 says it in another place.
    if !headers.contains_key(HOST)
        && let Some(host) = parts.uri.authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok())
    {
        headers.insert(HOST, host);
    }
    headers
}

/// An answer for a client that knows only this server.
fn rewritten(mut answer: Answer, way: &Way, location: &Location, asked: &HeaderMap) -> Answer {
    let headers = answer.headers_mut();
    for name in CORS {
        headers.remove(name);
    }
    let host = asked.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if let Some(to) = headers.get(LOCATION).and_then(|to| to.to_str().ok())
        && let Ok(to) = HeaderValue::try_from(way.rewritten(to, &location.authority(), host))
    {
        headers.insert(LOCATION, to);
    }
    answer
}
