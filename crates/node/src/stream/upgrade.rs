//! What a request asks to become, and what is agreed on: pure.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::{Response, StatusCode};

/// The header of SPDY requests that lists the protocols of streams, and of answers that name one.
pub const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// The header that lists what would have been accepted.
pub const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
const SEC_KEY: HeaderName = http::header::SEC_WEBSOCKET_KEY;
const SEC_PROTOCOL: HeaderName = http::header::SEC_WEBSOCKET_PROTOCOL;

/// What a request asks to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// SPDY/3.1.
    Spdy,
    /// A WebSocket, with the key that its answer depends on.
    WebSocket(String),
}

/// Why there is no upgrade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not ask for one.
    #[error("unable to upgrade: missing upgrade headers in request")]
    NotAsked,
    /// A WebSocket without its key, or of another version.
    #[error("missing or bad WebSocket key or version")]
    BadWebSocket,
    /// There is no protocol that both sides speak.
    #[error(
        "unable to upgrade: unable to negotiate protocol: client supports {asked}, server accepts {accepted}"
    )]
    NoProtocol {
        /// What the client speaks.
        asked: String,
        /// What is spoken here.
        accepted: String,
        /// The same.
        list: &'static [&'static str],
    },
}

impl Refusal {
    /// The answer's code.
    pub fn code(&self) -> StatusCode {
        match self {
            Refusal::NotAsked | Refusal::BadWebSocket => StatusCode::BAD_REQUEST,
            Refusal::NoProtocol { .. } => StatusCode::FORBIDDEN,
        }
    }
}

/// The words of a header, in all its lines.
fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// What a request asks to become.
pub fn asked(headers: &HeaderMap) -> Result<Upgrade, Refusal> {
    let has = |name, word: &str| words(headers, &name).iter().any(|other| other.eq_ignore_ascii_case(word));
    if !has(CONNECTION, "upgrade") {
        return Err(Refusal::NotAsked);
    }
    if has(UPGRADE, "SPDY/3.1") {
        return Ok(Upgrade::Spdy);
    }
    if !has(UPGRADE, "websocket") {
        return Err(Refusal::NotAsked);
    }
    let version = headers.get(http::header::SEC_WEBSOCKET_VERSION);
    match headers.get(SEC_KEY).and_then(|key| key.to_str().ok()) {
        Some(key) if version.is_some_and(|version| version == "13") => Ok(Upgrade::WebSocket(key.to_owned())),
        _ => Err(Refusal::BadWebSocket),
    }
}

/// The first protocol of the client that is accepted. A client that names none gets `""`, if that is accepted.
pub fn negotiate(
    headers: &HeaderMap,
    upgrade: &Upgrade,
    accepted: &'static [&'static str],
) -> Result<&'static str, Refusal> {
    let name = if *upgrade == Upgrade::Spdy { &STREAM_PROTOCOL } else { &SEC_PROTOCOL };
    let asked = words(headers, name);
    let fits = |word: &str| accepted.iter().find(|other| **other == word).copied();
    let found = if asked.is_empty() { fits("") } else { asked.iter().find_map(|word| fits(word)) };
    found.ok_or_else(|| Refusal::NoProtocol {
        asked: format!("[{}]", asked.join(" ")),
        accepted: format!("[{}]", accepted.join(" ")),
        list: accepted,
    })
}

/// The answer with which an upgrade begins.
pub fn switching<B: Default>(upgrade: &Upgrade, protocol: &'static str) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let name = match upgrade {
        Upgrade::Spdy => {
            headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
            STREAM_PROTOCOL
        }
        Upgrade::WebSocket(key) => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            if let Ok(accept) = HeaderValue::try_from(accept) {
                headers.insert(http::header::SEC_WEBSOCKET_ACCEPT, accept);
            }
            SEC_PROTOCOL
        }
    };
    if !protocol.is_empty() {
        headers.insert(name, HeaderValue::from_static(protocol));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        map
    }

    #[test]
    fn a_request_says_what_it_wants_to_become() {
        let socket = |rest: &[(&str, &str)]| {
            let mut list = vec![("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")];
            list.extend(rest);
            headers(&list)
        };
        let rows = [
            ("spdy", headers(&[("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]), Ok(Upgrade::Spdy)),
            ("nothing", headers(&[]), Err(Refusal::NotAsked)),
            ("not connected", headers(&[("Upgrade", "SPDY/3.1")]), Err(Refusal::NotAsked)),
            (
                "another protocol",
                headers(&[("Connection", "upgrade"), ("Upgrade", "h2c")]),
                Err(Refusal::NotAsked),
            ),
            (
                "a socket",
                socket(&[("Sec-WebSocket-Key", "k"), ("Sec-WebSocket-Version", "13")]),
                Ok(Upgrade::WebSocket("k".into())),
            ),
            ("an old socket", socket(&[("Sec-WebSocket-Key", "k")]), Err(Refusal::BadWebSocket)),
            ("no key", socket(&[("Sec-WebSocket-Version", "13")]), Err(Refusal::BadWebSocket)),
        ];
        for (name, headers, want) in rows {
            assert_eq!(asked(&headers), want, "{name}");
        }
    }

    #[test]
    fn the_clients_first_choice_that_is_spoken_is_taken() {
        const ACCEPTED: &[&str] = &["v4.channel.k8s.io", "channel.k8s.io", ""];
        let spdy = |list: &[&str]| {
            let lines: Vec<_> = list.iter().map(|line| ("X-Stream-Protocol-Version", *line)).collect();
            negotiate(&headers(&lines), &Upgrade::Spdy, ACCEPTED)
        };
        assert_eq!(
            spdy(&["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"]),
            Ok("v4.channel.k8s.io")
        );
        assert_eq!(spdy(&["channel.k8s.io, v4.channel.k8s.io"]), Ok("channel.k8s.io"));
        assert_eq!(spdy(&[]), Ok(""));
        let refused = spdy(&["v9"]).unwrap_err();
        assert_eq!(refused.code(), 403);
        assert!(refused.to_string().contains("client supports [v9], server accepts [v4.channel.k8s.io"));
    }

    #[test]
    fn the_answer_to_a_socket_shows_that_its_key_was_read() {
        let answer: Response<()> =
            switching(&Upgrade::WebSocket("dGhlIHNhbXBsZSBub25jZQ==".into()), "v5.channel.k8s.io");
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    }
}
