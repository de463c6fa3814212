//! Bounds how long a request may take. Watches and connections end by their own timeouts.

use std::time::Duration;

use sampan_model::Status;

use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::request_info::RequestInfo;

/// The longest that a short request may take (upstream's `--request-timeout`).
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Whether a request may last.
pub fn is_long_running(info: &RequestInfo) -> bool {
    info.verb == "watch"
        || matches!(info.subresource.as_str(), "attach" | "exec" | "log" | "portforward" | "proxy")
}

/// How long a request may take: the server's limit, or the client's `timeout` if that is shorter.
pub(crate) fn limit(query: &Query) -> Duration {
    let asked = query.get("timeout").trim_end_matches('s').parse::<u64>().ok().filter(|s| *s > 0);
    asked.map_or(REQUEST_TIMEOUT, |s| Duration::from_secs(s).min(REQUEST_TIMEOUT))
}

/// 504, as upstream's handler writes it: JSON whatever was asked for, without kind and version, and without saying that it is JSON.
fn late() -> Answer {
    let status = Status::timeout("request did not complete within the allotted timeout", 0);
    let mut value = status.to_value();
    if let Some(map) = value.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
    let mut text = value.to_json();
    text.push('\n');
    respond::bytes(status.code(), "text/plain; charset=utf-8", text)
}

/// Runs `work`, and answers 504 when it takes longer than the server's limit or the client's `timeout`.
pub(super) async fn bound(info: &RequestInfo, query: &Query, work: impl Future<Output = Answer>) -> Answer {
    if is_long_running(info) {
        return work.await;
    }
    match tokio::time::timeout(limit(query), work).await {
        Ok(answer) => answer,
        Err(_) => late(),
    }
}
