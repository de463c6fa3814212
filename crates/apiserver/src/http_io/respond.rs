//! Turns outcomes into HTTP answers.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode};
use sampan_model::{Status, Value};

use super::body::Body;
use super::media::{Encoding, Form};
use super::protobuf;

/// An answer on its way out.
pub type Answer = Response<Body>;

/// Bytes of a media type.
pub fn bytes(code: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Full(body.into()));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        answer.headers_mut().insert(CONTENT_TYPE, value);
    }
    answer
}

/// Text, as Go's `http.Error` sends it.
pub fn text(code: u16, body: impl Into<String>) -> Answer {
    let mut answer = bytes(code, "text/plain; charset=utf-8", body.into());
    answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// The answer to a path that no one serves.
pub fn page_not_found() -> Answer {
    text(404, "404 page not found\n")
}

/// A tree in an encoding; in protobuf, a document that says what it is.
pub fn encode(value: &Value, encoding: Encoding, pretty: bool) -> Result<Vec<u8>, Status> {
    match encoding {
        Encoding::Json => {
            let mut out = Vec::with_capacity(1024);
            crate::encode::write_object(value, &mut out, pretty);
            out.push(b'\n');
            Ok(out)
        }
        Encoding::Yaml => Ok(crate::yaml::to_string(value).into_bytes()),
        Encoding::Protobuf(protobuf) => protobuf::encode(protobuf, value),
    }
}

/// A tree as an answer.
pub fn object(code: u16, value: &Value, form: Form, pretty: bool) -> Answer {
    match encode(value, form.encoding, pretty) {
        Ok(body) => bytes(code, &form.content_type(), body),
        Err(failure) => status(&failure, Encoding::Json),
    }
}

/// A status as an answer.
pub fn status(status: &Status, encoding: Encoding) -> Answer {
    let form = Form { encoding, ..Form::JSON };
    let mut answer = object(status.code(), &status.to_value(), form, false);
    let retry = status.details().map_or(0, |d| d.retry_after_seconds);
    if retry > 0 {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    answer
}

/// The longest text of one warning, and of all warnings of one answer, in bytes (as upstream limits them).
const WARNING_BYTES: (usize, usize) = (256, 4096);

/// Adds `Warning` headers (RFC 7234, code 299) to an answer; the same sentence is said once.
pub fn warn(answer: &mut Answer, warnings: &[String]) {
    let total: usize = warnings.iter().map(String::len).sum();
    let mut left = WARNING_BYTES.1;
    for (i, warning) in warnings.iter().enumerate() {
        if warnings[..i].contains(warning) {
            continue;
        }
        let mut text = warning.as_str();
        if total > WARNING_BYTES.1 && text.len() > WARNING_BYTES.0 {
            let end = (0..=WARNING_BYTES.0).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text = &text[..end];
        }
        if text.len() > left {
            break;
        }
        left -= text.len();
        let quoted: String = text
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] })
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}
