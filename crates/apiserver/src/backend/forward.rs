//! Passes one request on over a connection of its own, and the answer back as it comes. Errors read as those of Go's client, since
//! clients see them.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Location;
use super::dial::Stream;
use crate::http_io::body::{Body, Pieces, Upload};
use crate::http_io::respond::Answer;

/// Headers that are about one connection, not about what is said on it (RFC 9110, 7.6.1).
const OF_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is passed on.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Upload,
    pub(super) upgrade: bool,
    /// Whose request it is.
    pub(super) peer: Option<IpAddr>,
}

/// What came back.
pub(super) enum Answered {
    Plain(Answer),
    Upgraded(Answer, OnUpgrade),
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Error(String);

/// Passes a request on.
pub(super) async fn forward(
    stream: Stream,
    location: &Location,
    outgoing: Outgoing<'_>,
) -> Result<Answered, Error> {
    let failed = |error: &dyn std::fmt::Display| Error(error.to_string());
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| failed(&error))?;
    // It ends with the answer's body, or with whoever takes over the upgraded connection.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection behind the server ended");
        }
    });
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = location.path_and_query().parse().map_err(|error| failed(&error))?;
    *request.headers_mut() = headers(outgoing.headers, outgoing.upgrade, outgoing.peer);
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::try_from(location.authority()).map_err(|error| failed(&error))?;
        request.headers_mut().insert(HOST, host);
    }
    let mut response = sender.send_request(request).await.map_err(|error| Error(words(&error)))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if !outgoing.upgrade {
            return Err(Error("the other side changed the protocol without being asked".to_owned()));
        }
        let backend = hyper::upgrade::on(&mut response);
        return Ok(Answered::Upgraded(response.map(|_| Body::Empty), backend));
    }
    Ok(Answered::Plain(answer(response)))
}

/// What Go says of a connection that failed so.
fn words(error: &hyper::Error) -> String {
    if error.is_parse() {
        return "net/http: HTTP/1.x transport connection broken: malformed HTTP response".to_owned();
    }
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The headers that are passed on: not who asked, which this server has judged, and not those of its connection. The client is added to
/// those that the request was forwarded for.
fn headers(given: &HeaderMap, upgrade: bool, peer: Option<IpAddr>) -> HeaderMap {
    let mut headers = given.clone();
    let named: Vec<HeaderName> = given
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|word| HeaderName::try_from(word.trim()).ok())
        .collect();
    let protocol = given.get(UPGRADE).cloned();
    for name in OF_CONNECTION.iter().chain(&named).chain(&[AUTHORIZATION, CONTENT_LENGTH]) {
        headers.remove(name);
    }
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(protocol) = protocol {
            headers.insert(UPGRADE, protocol);
        }
    }
    if let Some(peer) = peer {
        let before = given.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let list: Vec<String> = before.map(str::to_owned).chain([peer.to_string()]).collect();
        if let Ok(list) = HeaderValue::try_from(list.join(", ")) {
            headers.insert(FORWARDED_FOR, list);
        }
    }
    headers
}

fn answer(response: Response<Incoming>) -> Answer {
    let (mut parts, body) = response.into_parts();
    let length = body.size_hint().exact();
    for name in &OF_CONNECTION {
        parts.headers.remove(name);
    }
    let body =
        if length == Some(0) { Body::Empty } else { Body::Pieces(Box::new(Passed { body, broken: false })) };
    Response::from_parts(parts, body)
}

/// The body of an answer, passed on as it comes.
struct Passed {
    body: Incoming,
    broken: bool,
}

impl Pieces for Passed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Poll::Ready(Some(bytes));
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "an answer from behind the server broke off");
                    self.broken = true;
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn is_broken(&self) -> bool {
        self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_what_is_of_the_connection_stay_here() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("accept", "*/*"),
            ("authorization", "Bearer secret"),
            ("connection", "Upgrade, x-mine"),
            ("upgrade", "websocket"),
            ("x-mine", "1"),
            ("host", "api"),
            ("content-length", "3"),
            ("sec-websocket-key", "k"),
        ] {
            given.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let names = |headers: &HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(&headers(&given, false, None)), ["accept", "host", "sec-websocket-key"]);
        let upgraded = headers(&given, true, None);
        assert_eq!(names(&upgraded), ["accept", "connection", "host", "sec-websocket-key", "upgrade"]);
        assert_eq!(upgraded[UPGRADE], "websocket");
    }

    #[test]
    fn the_client_is_added_to_those_a_request_is_forwarded_for() {
        let peer = Some("10.0.0.9".parse().unwrap());
        let mut given = HeaderMap::new();
        assert_eq!(headers(&given, false, peer)[FORWARDED_FOR], "10.0.0.9");
        given.append(FORWARDED_FOR, HeaderValue::from_static("10.0.0.1, 10.0.0.2"));
        assert_eq!(headers(&given, false, peer)[FORWARDED_FOR], "10.0.0.1, 10.0.0.2, 10.0.0.9");
    }
}
