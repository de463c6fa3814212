//! Answers.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde::Serialize;
use tokio::sync::mpsc;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;
/// An answer.
pub(super) type Answer = Response<Body>;

const TEXT: &str = "text/plain; charset=utf-8";

/// Bytes that are there.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

fn of(code: StatusCode, content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Words.
pub(super) fn text(code: StatusCode, text: &str) -> Answer {
    of(code, TEXT, full(text.to_owned()))
}

/// A document.
pub(super) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => of(StatusCode::OK, "application/json", full(bytes)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Metrics in Prometheus' text format.
pub(super) fn metrics(text: String) -> Answer {
    of(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", full(text))
}

/// Metrics in the format of OpenMetrics.
pub(super) fn open_metrics(text: String) -> Answer {
    of(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", full(text))
}

/// Pieces as they come, as text.
pub(super) fn pieces(pieces: mpsc::Receiver<Bytes>) -> Answer {
    let frames = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), pieces))
    });
    of(StatusCode::OK, "text/plain", StreamBody::new(frames).boxed_unsync())
}
