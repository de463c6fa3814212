//! Connects to a runtime's streaming server, whose address a call has answered with: an HTTP request that becomes SPDY/3.1.
//!
//! WebSockets are spoken there too, but their older versions cannot end the standard input of a command.

use http::header::{CONNECTION, HOST, UPGRADE};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::failed;
use crate::runtime::Error;
use crate::stream::upgrade::STREAM_PROTOCOL;

/// Most of what a refusal says.
const MAX_REFUSAL_BYTES: usize = 4096;

/// Connects to `url` and upgrades, speaking `protocol` in the streams.
pub(super) async fn dial(url: &str, protocol: &str) -> Result<TokioIo<Upgraded>, Error> {
    let (address, request) = request(url, protocol).ok_or_else(|| {
        Error::Precondition(format!("the container runtime streams at {url}, which is not understood"))
    })?;
    let context = || format!("cannot reach the container runtime's streaming server at {address}");
    let stream = TcpStream::connect(&address).await.map_err(failed(context()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed(context()))?;
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(failed(context()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect().await;
        let said = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
        let said = said.unwrap_or_default();
        return Err(Error::Precondition(format!("unable to upgrade connection: {status}: {said}")));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(failed(context()))?;
    Ok(TokioIo::new(upgraded))
}

/// Where to connect to, and what to say there.
fn request(url: &str, protocol: &str) -> Option<(String, Request<Empty<bytes::Bytes>>)> {
    let url: Uri = url.parse().ok()?;
    if url.scheme_str() != Some("http") {
        return None;
    }
    let authority = url.authority()?;
    let host = authority.host();
    let address = format!("{host}:{}", authority.port_u16().unwrap_or(80));
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, authority.as_str())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "SPDY/3.1")
        .header(STREAM_PROTOCOL, protocol)
        .body(Empty::new())
        .ok()?;
    Some((address, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_and_what() {
        for (url, found) in [
            ("http://127.0.0.1:39281/exec/oKNPvFzc", Some(("127.0.0.1:39281", "/exec/oKNPvFzc"))),
            ("http://[::1]:80/attach/a?b=c", Some(("[::1]:80", "/attach/a?b=c"))),
            ("http://localhost/x", Some(("localhost:80", "/x"))),
            ("https://127.0.0.1:1/x", None),
            ("/exec/x", None),
            ("", None),
        ] {
            let made = request(url, "v4.channel.k8s.io");
            let made = made.map(|(address, request)| (address, request.uri().to_string()));
            assert_eq!(made, found.map(|(a, p)| (a.to_owned(), p.to_owned())), "{url}");
        }
    }
}
