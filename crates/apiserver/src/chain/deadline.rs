//! Bounds how long a request may take. Watches and connections end by their own timeouts.

use std::time::Duration;

use sampan_model::Status;
use sampan_model::time::parse_go_duration;

use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::request_info::RequestInfo;

/// The longest that a short request may take (upstream's `--request-timeout`).
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Whether a request may last.
pub fn is_long_running(info: &RequestInfo) -> bool {
    matches!(info.verb.as_str(), "watch" | "proxy")
        || matches!(info.subresource.as_str(), "attach" | "exec" | "log" | "portforward" | "proxy")
}

/// How long a request may take: the server's limit, or the client's `timeout` if that is shorter. `None`: as long as it
/// will.
pub(crate) fn limit(info: &RequestInfo, query: &Query) -> Result<Option<Duration>, Status> {
    if is_long_running(info) {
        return Ok(None);
    }
    let text = query.get("timeout");
    if text.is_empty() {
        return Ok(Some(REQUEST_TIMEOUT));
    }
    let asked = parse_go_duration(text).map_err(|error| {
        Status::bad_request(format!("invalid timeout specified in the request URL - {error}"))
    })?;
    // Nothing, or less, is as if nothing was said.
    let asked = Duration::try_from(asked).unwrap_or_default();
    Ok(Some(if asked.is_zero() { REQUEST_TIMEOUT } else { asked.min(REQUEST_TIMEOUT) }))
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

/// Runs `work`, and answers 504 when it takes longer than the limit.
pub(super) async fn bound(limit: Option<Duration>, work: impl Future<Output = Answer>) -> Answer {
    let Some(limit) = limit else { return work.await };
    match tokio::time::timeout(limit, work).await {
        Ok(answer) => answer,
        Err(_) => late(),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_timeout_is_a_duration_as_go_writes_them() {
        let minute = Ok(Some(60_000));
        let bad = |why: &str| Err(format!("invalid timeout specified in the request URL - time: {why}"));
        let rows = [
            ("none", "", minute.clone()),
            ("seconds", "timeout=5s", Ok(Some(5_000))),
            ("less than a second", "timeout=500ms", Ok(Some(500))),
            ("several units", "timeout=0m1.5s", Ok(Some(1_500))),
            ("more than the server has", "timeout=1h", minute.clone()),
            ("zero", "timeout=0s", minute.clone()),
            ("less than zero", "timeout=-1s", minute),
            ("no unit", "timeout=5", bad("missing unit in duration \"5\"")),
            ("no number", "timeout=abc", bad("invalid duration \"abc\"")),
        ];
        for (name, query, want) in rows {
            let info = RequestInfo::parse(&Method::GET, "/api/v1/pods", false, None);
            let got = limit(&info, &Query::parse(query));
            let got =
                got.map(|limit| limit.map(|l| l.as_millis())).map_err(|status| status.message().to_owned());
            assert_eq!(got, want, "{name}");
        }
        let watch = RequestInfo::parse(&Method::GET, "/api/v1/pods", true, None);
        assert_eq!(limit(&watch, &Query::parse("timeout=abc")).unwrap(), None);
    }
}
