//! `pods/log`.

use async_trait::async_trait;
use sampan_apiserver::backend::{Location, Scheme};
use sampan_apiserver::http_io::body::Body;
use sampan_apiserver::http_io::respond::{self, Answer};
use sampan_apiserver::subresource::{Connect, Connection, Parent};
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::status::Details;
use sampan_model::{FieldError, GroupKind, Reason, Status, Value};

use super::{Reach, container_of, node, unreachable};
use crate::subresources::connect_options;

/// Most bytes of a node's refusal that are told (upstream's `maxReadLength`).
const MAX_REFUSAL_BYTES: usize = 50_000;

/// `pods/log`.
#[derive(Debug)]
pub(in super::super) struct Log(pub(in super::super) Reach);

#[async_trait]
impl Connect for Log {
    fn options(&self, query: &str, _path: &str) -> Result<Value, Status> {
        connect_options::read("PodLogOptions", query, None)
    }

    fn is_admitted(&self) -> bool {
        false
    }

    async fn connect(&self, parent: &dyn Parent, connection: Connection<'_>) -> Result<Answer, Status> {
        let options = &connection.options;
        let complaints = validate(options);
        if !complaints.is_empty() {
            return Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), parent.place().1, &complaints));
        }
        let pod = parent.get().await?;
        let container = container_of(&pod, options.str_at(&["container"]))?;
        let node = pod.str_at(&["spec", "nodeName"]);
        if node.is_empty() {
            return Ok(respond::bytes(204, "text/plain", ""));
        }
        let Some(reach) = &self.0 else { return Err(unreachable("log")) };
        let node = node::named(parent, node, &reach.address_types)?;
        let unverified =
            options.get("insecureSkipTLSVerifyBackend").and_then(Value::as_bool).unwrap_or(false);
        let location = Location {
            scheme: if unverified { Scheme::UnverifiedNode } else { Scheme::Node },
            host: node.host,
            port: node.port,
            path: format!("/containerLogs/{}/{}/{container}", pod.namespace(), pod.name()),
            query: query(options),
        };
        let mut answer = reach.backend.get(&location).await?;
        let code = answer.status().as_u16();
        if !(200..=206).contains(&code) {
            let text = start_of(answer.into_body()).await;
            return Err(refused(code, &text, parent.place().1));
        }
        answer.headers_mut().clear();
        answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
        Ok(answer)
    }
}

/// How Go writes a path of one empty name.
const NO_FIELD: &str = "[]";

/// What is wrong with the options (upstream's `ValidatePodLogOptions`).
fn validate(options: &Value) -> Vec<FieldError> {
    let number = |field: &str| options.get(field).and_then(Value::as_i64);
    let mut errors = Vec::new();
    if let Some(n) = number("tailLines").filter(|n| *n < 0) {
        errors.push(FieldError::invalid("tailLines", n, "must be greater than or equal to 0"));
    }
    if let Some(n) = number("limitBytes").filter(|n| *n < 1) {
        errors.push(FieldError::invalid("limitBytes", n, "must be greater than 0"));
    }
    let since = number("sinceSeconds");
    if since.is_some() && options.get("sinceTime").is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(FieldError::forbidden(NO_FIELD, why));
    } else if let Some(n) = since.filter(|n| *n < 1) {
        errors.push(FieldError::invalid("sinceSeconds", n, "must be greater than 0"));
    }
    // The gate PodLogsQuerySplitStreams is alpha, and off.
    if options.get("stream").is_some() {
        errors.push(FieldError::forbidden("stream", "may not be specified"));
    }
    errors
}

/// The options as the kubelet reads them.
fn query(options: &Value) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in ["follow", "previous", "timestamps"] {
        if options.get(name).and_then(Value::as_bool).unwrap_or(false) {
            query.append_pair(name, "true");
        }
    }
    for name in ["sinceSeconds", "tailLines", "limitBytes"] {
        if let Some(n) = options.get(name).and_then(Value::as_i64) {
            query.append_pair(name, &n.to_string());
        }
    }
    let since = options.str_at(&["sinceTime"]);
    if !since.is_empty() {
        query.append_pair("sinceTime", since);
    }
    query.finish()
}

async fn start_of(body: Body) -> String {
    let mut bytes = Vec::new();
    match body {
        Body::Empty => {}
        Body::Full(full) => bytes.extend_from_slice(&full),
        Body::Pieces(mut pieces) => {
            while bytes.len() < MAX_REFUSAL_BYTES
                && let Some(piece) = std::future::poll_fn(|cx| pieces.poll_piece(cx)).await
            {
                bytes.extend_from_slice(&piece);
            }
        }
    }
    bytes.truncate(MAX_REFUSAL_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A node's refusal as upstream's `GenericHttpResponseChecker` tells it.
fn refused(code: u16, text: &str, name: &str) -> Status {
    let unknown =
        format!("the server responded with the status code {code} but did not return more information");
    let broken =
        format!("an error on the server ({}) has prevented the request from succeeding", go_quote(text));
    let (reason, message) = match code {
        500 => return Status::internal(text),
        400 => return Status::bad_request(text),
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials"),
        403 => (Reason::Forbidden, text),
        404 => (Reason::NotFound, "the server could not find the requested resource"),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"),
        409 => (Reason::Conflict, "the server reported a conflict"),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request"),
        429 => (
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request"),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        501.. => (Reason::InternalError, broken.as_str()),
        _ => (Reason::Unknown, unknown.as_str()),
    };
    let details = Details { name: name.to_owned(), kind: "pods/log".to_owned(), ..Details::default() };
    Status::failure(code, reason, format!("{message} ( pods/log {name})")).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_validated_as_upstream_does() {
        let rows = [
            (r#"{"tailLines":0,"limitBytes":1,"sinceSeconds":1}"#, vec![]),
            (r#"{"tailLines":-1}"#, vec!["tailLines: Invalid value: -1: must be greater than or equal to 0"]),
            (r#"{"limitBytes":0}"#, vec!["limitBytes: Invalid value: 0: must be greater than 0"]),
            (r#"{"sinceSeconds":0}"#, vec!["sinceSeconds: Invalid value: 0: must be greater than 0"]),
            (
                r#"{"sinceSeconds":1,"sinceTime":"2026-01-01T00:00:00Z"}"#,
                vec!["[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"],
            ),
            (r#"{"stream":"Stdout"}"#, vec!["stream: Forbidden: may not be specified"]),
        ];
        for (options, want) in rows {
            let got = validate(&serde_json::from_str(options).unwrap());
            assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), want, "{options}");
        }
    }

    #[test]
    fn a_nodes_refusal_is_told() {
        let rows = [
            (
                400,
                "container \"c\" in pod \"p\" is waiting to start: x",
                "BadRequest",
                "container \"c\" in pod \"p\" is waiting to start: x",
            ),
            (404, "gone", "NotFound", "the server could not find the requested resource ( pods/log p)"),
            (500, "broken", "InternalError", "Internal error occurred: broken"),
            (403, "Forbidden (user=u)", "Forbidden", "Forbidden (user=u) ( pods/log p)"),
            (
                502,
                "a \"b\"",
                "InternalError",
                "an error on the server (\"a \\\"b\\\"\") has prevented the request from succeeding ( pods/log p)",
            ),
            (
                302,
                "",
                "",
                "the server responded with the status code 302 but did not return more information ( pods/log p)",
            ),
        ];
        for (code, text, reason, message) in rows {
            let status = refused(code, text, "p");
            assert_eq!((status.code(), status.reason().as_str(), status.message()), (code, reason, message));
        }
    }
}
