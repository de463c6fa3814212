//! Takes a request through the stages of the audit log.
//!
//! A [`Trail`] begins before anything is known of the request, and ends with its answer; every answer carries the
//! `Audit-ID` by which events and answers find each other. Without a policy it does nothing else.

mod body;
mod ending;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use jiff::Timestamp;
use sampan_model::{Map, Value};

use super::authorization::Verdict;
use super::impersonation::Impersonated;
use crate::User;
use crate::audit::{Audit, Event, Level, ObjectRef, Recorder, Stage, secrets};
use crate::http_io::body::Body;
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::request_info::RequestInfo;
use crate::server::Shared;
use ending::Ending;

const AUDIT_ID: &str = "audit-id";
/// The code that is told of a request whose client did not wait for one (a custom of other servers).
const CLIENT_GONE: u16 = 499;
/// The longest user agent that is told.
const MAX_USER_AGENT: usize = 1024;

/// One request on its way. Dropped before its answer, it tells the last stage all the same.
pub(super) struct Trail<'a> {
    id: HeaderValue,
    server: &'a Shared,
    audited: Option<Audited>,
}

/// What is known of a request before it is known who makes it.
struct Audited {
    audit: Arc<Audit>,
    received: Timestamp,
    attempted: String,
    recorder: OnceLock<Recorder>,
    /// The request failed before it was received from anybody: its only stage is the beginning of the answer.
    failed: OnceLock<()>,
}

impl<'a> Trail<'a> {
    /// Begins with the head of a request, before credentials are taken out of it.
    pub(super) fn begin(server: &'a Shared, parts: &Parts, query: &Query) -> Self {
        let given = parts.headers.get(AUDIT_ID).filter(|id| !id.is_empty()).cloned();
        let id = given.unwrap_or_else(|| {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            let text = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
            HeaderValue::from_str(text).expect("a uuid is made of letters that headers have")
        });
        let audited = server.audit.as_ref().map(|audit| Audited {
            audit: Arc::clone(audit),
            received: server.registry.now(),
            attempted: attempted(parts, query),
            recorder: OnceLock::new(),
            failed: OnceLock::new(),
        });
        Self { id, server, audited }
    }

    /// The request was received from `user`. An error is the answer to a request that cannot be written down.
    pub(super) async fn received(
        &self,
        user: &Arc<User>,
        annotations: Vec<(&'static str, String)>,
        info: &RequestInfo,
        parts: &mut Parts,
    ) -> Result<(), Box<Answer>> {
        let Some(audited) = &self.audited else { return Ok(()) };
        let Some(recorder) = self.decide(audited, Some(user), info, parts) else { return Ok(()) };
        for (key, value) in annotations {
            recorder.annotate(key, value);
        }
        parts.extensions.insert(recorder.clone());
        if ending::tell(&audited.audit, recorder, Stage::RequestReceived, audited.received).await {
            return Ok(());
        }
        audited.audit.metrics().rejected();
        let uri = sampan_model::field_error::go_quote(&recorded_uri(parts));
        let text = format!("Internal Server Error: {uri}: failed to store audit event\n");
        Err(Box::new(respond::text(500, text)))
    }

    /// Nobody could be authenticated.
    pub(super) fn unauthenticated(&self, info: &RequestInfo, parts: &Parts) {
        if let Some(audited) = &self.audited {
            self.failed(info, parts, &audited.attempted);
        }
    }

    /// The request was refused before anybody asked who makes it. (Upstream's failed requests are told when their answer
    /// starts, and never again.)
    pub(super) fn failed(&self, info: &RequestInfo, parts: &Parts, message: &str) {
        if let Some(audited) = &self.audited
            && let Some(recorder) = self.decide(audited, None, info, parts)
        {
            recorder.response_message(message);
            let _ = audited.failed.set(());
        }
    }

    /// A filter refuses the request with this.
    pub(super) fn refused(&self, status: &sampan_model::Status) {
        if let Some(recorder) = self.recorder() {
            recorder.status(&status.to_value());
        }
    }

    /// The request counts as made by another.
    pub(super) fn impersonated(&self, other: &Impersonated) {
        if let Some(recorder) = self.recorder() {
            recorder.impersonated(&other.user, other.constraint);
        }
    }

    /// What the authorizers said.
    pub(super) fn authorized(&self, verdict: &Verdict) {
        if let Some(recorder) = self.recorder() {
            let decision = if verdict.is_allowed() { "allow" } else { "forbid" };
            recorder.annotate("authorization.k8s.io/decision", decision);
            recorder.annotate("authorization.k8s.io/reason", verdict.reason.as_str());
        }
    }

    /// The server failed on the request.
    pub(super) async fn panicked(&self, text: &str) {
        let (Some(audited), Some(recorder)) = (&self.audited, self.recorder()) else { return };
        let status: Map = [
            ("status", Value::from("Failure")),
            ("reason", "InternalError".into()),
            ("message", format!("APIServer panic'd: {text}").into()),
        ]
        .into_iter()
        .collect();
        recorder.response(500, Some(&status.into()), None);
        ending::tell(&audited.audit, recorder, Stage::Panic, self.server.registry.now()).await;
    }

    /// The answer is there: its head, at least. `panicked`: the last stage was told already.
    pub(super) async fn answered(mut self, mut answer: Answer, long_running: bool, panicked: bool) -> Answer {
        answer.headers_mut().entry(AUDIT_ID).or_insert_with(|| self.id.clone());
        let Some(audited) = self.audited.take().filter(|_| !panicked) else { return answer };
        let failed = audited.failed.get().is_some();
        let Some(ending) = audited.ending(self.server) else { return answer };
        tell_of_answer(ending.recorder(), &answer);
        if failed {
            ending.completed(Stage::ResponseStarted).await;
            return answer;
        }
        if long_running {
            ending.started().await;
        }
        match std::mem::take(answer.body_mut()) {
            Body::Pieces(pieces) => {
                let parsed = ending.recorder().level() >= Level::RequestResponse && !long_running;
                let format = format_of(&answer).filter(|_| parsed);
                *answer.body_mut() = Body::Pieces(Box::new(body::Watched::new(pieces, ending, format)));
            }
            whole => {
                ending.complete().await;
                *answer.body_mut() = whole;
            }
        }
        answer
    }

    fn recorder(&self) -> Option<&Recorder> {
        self.audited.as_ref()?.recorder.get()
    }

    /// What the policy decides, and the recorder that it needs, if any.
    fn decide<'b>(
        &self,
        audited: &'b Audited,
        user: Option<&Arc<User>>,
        info: &RequestInfo,
        parts: &Parts,
    ) -> Option<&'b Recorder> {
        let mut decision = audited.audit.policy().decide(user.map(|u| &**u), info);
        if secrets::are_in(info) {
            decision.level = decision.level.min(Level::Metadata);
        }
        audited.audit.metrics().level(decision.level);
        if decision.level == Level::None {
            return None;
        }
        let event = Event {
            level: decision.level,
            audit_id: String::from_utf8_lossy(self.id.as_bytes()).into_owned(),
            stage: Stage::RequestReceived,
            request_uri: recorded_uri(parts),
            verb: info.verb.clone(),
            user: user.cloned(),
            impersonated_user: None,
            impersonation_constraint: "",
            source_ips: source_ips(parts),
            user_agent: user_agent(parts),
            object_ref: info.is_resource.then(|| object_ref(info)),
            response_status: None,
            request_object: None,
            response_object: None,
            received: audited.received,
            stage_time: audited.received,
            annotations: std::collections::BTreeMap::new(),
        };
        Some(audited.recorder.get_or_init(|| Recorder::new(decision, event)))
    }
}

impl Audited {
    /// The last stage, if anything is told of the request.
    fn ending(self, server: &Shared) -> Option<Ending> {
        Some(Ending::new(self.audit, self.recorder.into_inner()?, server.registry.clock()))
    }
}

impl Drop for Trail<'_> {
    /// The client has gone before there was an answer.
    fn drop(&mut self) {
        if let Some(ending) = self.audited.take().and_then(|audited| audited.ending(self.server)) {
            ending.recorder().response(CLIENT_GONE, None, None);
            ending.recorder().response_message("the client went away before it was answered");
        }
    }
}

fn object_ref(info: &RequestInfo) -> ObjectRef {
    ObjectRef {
        resource: info.resource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        api_group: info.group.clone(),
        api_version: info.version.clone(),
        subresource: info.subresource.clone(),
        ..ObjectRef::default()
    }
}

/// The path and the query as they were sent, but for a token that someone put there.
fn recorded_uri(parts: &Parts) -> String {
    let uri = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), http::uri::PathAndQuery::as_str);
    let Some((path, query)) = uri.split_once('?') else { return uri.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some(("access_token", _)) => "access_token=REDACTED",
        _ => pair,
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// Whom the request came from: what proxies say, then the other end of the connection.
fn source_ips(parts: &Parts) -> Vec<String> {
    let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    let forwarded = header("x-forwarded-for").split(',').chain(std::iter::once(header("x-real-ip")));
    let mut ips: Vec<String> = Vec::new();
    let peer = parts.extensions.get::<SocketAddr>().map(|peer| peer.ip().to_canonical());
    for ip in forwarded.filter_map(|text| text.trim().parse().ok()).chain(peer) {
        let ip: std::net::IpAddr = ip;
        let ip = ip.to_string();
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips
}

fn user_agent(parts: &Parts) -> String {
    let agent = parts.headers.get(USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let agent = agent.unwrap_or_default();
    if agent.len() <= MAX_USER_AGENT {
        return agent.into_owned();
    }
    let end = (0..=MAX_USER_AGENT).rev().find(|i| agent.is_char_boundary(*i)).unwrap_or(0);
    format!("{}...TRUNCATED", &agent[..end])
}

/// Which credentials were shown; never what they say.
fn attempted(parts: &Parts, query: &Query) -> String {
    let mut methods = Vec::new();
    let authorization = parts.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or("");
    match authorization.split_whitespace().next().map(str::to_ascii_lowercase).as_deref() {
        Some("basic") => methods.push("basic"),
        Some("bearer") => methods.push("bearer"),
        _ => {}
    }
    if !query.get("access_token").trim().is_empty() {
        methods.push("access_token");
    }
    if parts.extensions.get::<super::authentication::PeerCertificates>().is_some() {
        methods.push("x509");
    }
    if methods.is_empty() {
        return "Authentication failed, no credentials provided".to_owned();
    }
    format!("Authentication failed, attempted: {}", methods.join(", "))
}

/// How a body can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

impl Format {
    fn read(self, body: &[u8]) -> Option<Value> {
        match self {
            Format::Json => serde_json::from_slice(body).ok(),
            Format::Yaml => sampan_schema::decode::untyped_yaml(body).ok().map(|(value, _)| value),
        }
    }
}

fn format_of(answer: &Answer) -> Option<Format> {
    let content_type = answer.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    match content_type.split(';').next()?.trim() {
        "application/json" => Some(Format::Json),
        "application/yaml" => Some(Format::Yaml),
        _ => None,
    }
}

/// The code of an answer; of a Status its fields too, and at the highest level the whole body.
fn tell_of_answer(recorder: &Recorder, answer: &Answer) {
    let code = answer.status().as_u16();
    let whole = recorder.level() >= Level::RequestResponse;
    let body = match (answer.body(), format_of(answer)) {
        (Body::Full(bytes), Some(format)) if whole || may_be_status(format, code, bytes) => {
            format.read(bytes)
        }
        _ => None,
    };
    let is_status = |b: &&Value| b.str_at(&["kind"]) == "Status" && b.str_at(&["apiVersion"]) == "v1";
    let status = body.as_ref().filter(is_status).cloned();
    recorder.response(code, status.as_ref(), body.filter(|_| whole));
}

/// Whether it is worth reading a body for the Status that it may be. The encoder writes the kind first.
fn may_be_status(format: Format, code: u16, body: &[u8]) -> bool {
    match format {
        Format::Json => body.starts_with(b"{\"kind\":\"Status\""),
        Format::Yaml => code >= 400,
    }
}
