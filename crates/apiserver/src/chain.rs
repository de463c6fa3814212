//! The order of the filters, in one function: [`serve`].
//!
//! Each filter has a file of its own.

mod audit;
pub mod authentication;
pub mod authorization;
pub mod deadline;
pub mod impersonation;
pub mod metrics;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use http::Request;
use http::request::Parts;
use sampan_model::Status;

use crate::User;
use crate::dispatch;
use crate::http_io::body::Body;
use crate::http_io::media::Encoding;
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::request_info::{RequestInfo, decode_path};
use crate::server::Shared;

/// One request through all filters.
pub async fn serve<B>(server: Arc<Shared>, request: Request<B>) -> Answer
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let trail = audit::Trail::begin(&server, &parts, &query);
    let Some(path) = decode_path(parts.uri.path()) else {
        let status = Status::bad_request("the path is not valid percent-encoded UTF-8");
        let mut answer = trail.answered(respond::status(&status, Encoding::Json), false, false).await;
        Shared::stamp(&mut answer);
        return answer;
    };
    let selected = dispatch::selected_name(&query);
    let info = Arc::new(RequestInfo::parse(&parts.method, &path, query.flag("watch"), selected.as_deref()));
    let head = parts.method == http::Method::HEAD;
    let label = metrics::Label::of(&server.registry.catalog(), &info, &parts);

    let mut panicked = false;
    let mut warnings = Vec::new();
    // A body that nobody is going to read is let go at once: a client that never ends it holds nothing up.
    let mut body = dispatch::body::is_wanted(&parts.method, &info).then_some(body);

    // The filters, outermost first.
    let inner = async {
        // Panics below this line are answered with 500 and logged.
        let guarded = AssertUnwindSafe(async {
            // The deadline is part of each long-running answer; short ones are bounded here.
            let limit = match deadline::limit(&info, &query) {
                Ok(limit) => limit,
                Err(status) => {
                    trail.failed(&info, &parts, status.message());
                    return refuse(respond::status(&status, Encoding::Json), body).await;
                }
            };
            deadline::bound(limit, async {
                let user = match identify(&server, &trail, &info, &query, &mut parts, &mut warnings).await {
                    Ok(user) => user,
                    Err(refusal) => return refuse(*refusal, body).await,
                };
                let admitted = match server.flow_control.admit(&server.registry, &user, &info, &query).await {
                    Ok(admitted) => admitted,
                    Err(refusal) => return refuse(refusal, body).await,
                };
                let rest = async {
                    if let Err(refusal) = authorize(&server, &trail, &user, &info, &query, &parts).await {
                        return *refusal;
                    }
                    dispatch::dispatch(&server, user.clone(), &info, &query, &parts, body.take()).await
                };
                let answer = admitted.serve(rest).await;
                // Of a refusal, the body is still there. The seat has been given back by now.
                refuse(answer, body).await
            })
            .await
        });
        match guarded.catch_unwind().await {
            Ok(answer) => answer,
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(path = %info.path, verb = %info.verb, panic = %text, "a request panicked");
                panicked = true;
                trail.panicked(&text).await;
                respond::text(500, "This request caused apiserver to panic. Look in the logs for details.\n")
            }
        }
    };
    let answer = inner.await;
    let mut answer = trail.answered(answer, deadline::is_long_running(&info), panicked).await;
    if head {
        *answer.body_mut() = Body::Empty;
    }
    respond::warn(&mut answer, &warnings);
    Shared::stamp(&mut answer);
    server.metrics.observe(&label, answer.status().as_u16(), started.elapsed());
    tracing::debug!(verb = %info.verb, path = %info.path, code = answer.status().as_u16(), micros = started.elapsed().as_micros(), "request");
    answer
}

/// The filters that find out who asks: the user whom the request counts as made by, or the refusal.
async fn identify(
    server: &Shared,
    trail: &audit::Trail<'_>,
    info: &RequestInfo,
    query: &Query,
    parts: &mut Parts,
    warnings: &mut Vec<String>,
) -> Result<Arc<User>, Box<Answer>> {
    // Whoever showed the credentials; the request may count as made by another.
    let authentication::Authenticated { user: requestor, notes } =
        match authentication::authenticate(server, parts).await {
            Ok(found) => found,
            Err(status) => {
                trail.unauthenticated(info, parts);
                return Err(told(server, trail, parts, &status));
            }
        };
    *warnings = notes.warnings;
    trail.received(&requestor, notes.annotations, info, parts).await?;
    let selectors = authorization::Selectors::of(info, query);
    let attributes = authorization::Attributes { user: &requestor, info, selectors: selectors.as_ref() };
    match impersonation::impersonate(&*server.authorizer, &attributes, &mut parts.headers).await {
        Ok(Some(other)) => {
            trail.impersonated(&other);
            Ok(other.user)
        }
        Ok(None) => Ok(requestor),
        Err(status) => Err(told(server, trail, parts, &status)),
    }
}

/// Whether the user may: the refusal if not.
async fn authorize(
    server: &Shared,
    trail: &audit::Trail<'_>,
    user: &User,
    info: &RequestInfo,
    query: &Query,
    parts: &Parts,
) -> Result<(), Box<Answer>> {
    let selectors = authorization::Selectors::of(info, query);
    let attributes = authorization::Attributes { user, info, selectors: selectors.as_ref() };
    // Audit takes its annotations from the verdict.
    let verdict = server.authorizer.authorize(&attributes).await;
    trail.authorized(&verdict);
    if verdict.is_allowed() {
        return Ok(());
    }
    match authorization::refused(user, info, &parts.uri, &verdict) {
        Ok(status) => Err(told(server, trail, parts, &status)),
        Err(failure) => Err(failure),
    }
}

/// A filter's refusal, in the encoding that the client asked for.
fn told(server: &Shared, trail: &audit::Trail<'_>, parts: &Parts, status: &Status) -> Box<Answer> {
    trail.refused(status);
    Box::new(respond::status(status, dispatch::any_encoding(server, parts)))
}

/// A refusal, once the body has been read to its end: only then the connection can be used again.
async fn refuse<B>(refusal: Answer, body: Option<B>) -> Answer
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    if let Some(body) = body {
        dispatch::body::drain(body).await;
    }
    refusal
}
