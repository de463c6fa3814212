//! One gRPC call at a time over a Unix socket: a connection for each, since there is about one a minute.
//!
//! A request is a message behind five bytes (a flag and its length) in an HTTP/2 body; the status comes in trailers,
//! or in the headers when there is no answer.

use std::fmt;
use std::os::linux::net::SocketAddrExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;

/// How large an answer may be, its frame included.
const MAX_ANSWER: usize = 1 << 20;

/// A call that failed, as gRPC's Go library words it.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    code: &'static str,
    detail: String,
}

impl Status {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    fn unavailable(error: &dyn fmt::Display) -> Self {
        Self::new("Unavailable", format!("connection error: {error}"))
    }

    /// The name of the code, as Go's library has it.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// Whether the other side did not answer in time.
    pub(crate) fn is_timeout(&self) -> bool {
        self.code == "DeadlineExceeded"
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rpc error: code = {} desc = {}", self.code, self.detail)
    }
}

/// Calls `method` (`/package.Service/Method`), and gives up after `timeout`.
pub(crate) async fn call<A: Message + Default>(
    socket: &Path,
    method: &str,
    message: &impl Message,
    timeout: Duration,
) -> Result<A, Status> {
    let exchange = exchange(socket, method, frame(message), timeout);
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answer) => {
            let answer = answer?;
            A::decode(answer).map_err(|error| Status::new("Internal", error.to_string()))
        }
        Err(_) => Err(Status::new("DeadlineExceeded", "context deadline exceeded")),
    }
}

fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put(message.encode_to_vec().as_slice());
    frame.freeze()
}

async fn exchange(socket: &Path, method: &str, frame: Bytes, timeout: Duration) -> Result<Bytes, Status> {
    let stream = connect(socket)
        .await
        .map_err(|error| Status::unavailable(&format_args!("dial unix {}: {error}", socket.display())))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| Status::unavailable(&error))?;
    // It ends when the sender is dropped, at the end of this function.
    tokio::spawn(connection);
    let request = Request::post(format!("http://localhost{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, concat!("sampan/", env!("CARGO_PKG_VERSION")))
        .header("grpc-timeout", format!("{}m", timeout.as_millis().clamp(1, 99_999_999)))
        .body(Full::new(frame))
        .map_err(|error| Status::new("Internal", error.to_string()))?;
    let (head, body) =
        sender.send_request(request).await.map_err(|error| Status::unavailable(&error))?.into_parts();
    if head.status != http::StatusCode::OK {
        let detail = format!("unexpected HTTP status code received from server: {}", head.status);
        return Err(Status::new("Unknown", detail));
    }
    check(&head.headers)?;
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| Status::new("Internal", error.to_string()))?;
    match body.trailers() {
        Some(trailers) => check(trailers)?,
        None if head.headers.contains_key("grpc-status") => {}
        None => return Err(Status::new("Internal", "the answer has no status")),
    }
    unframe(body.to_bytes())
}

/// `unix:///@name` is a name of the kernel, not a file, as in upstream's KMS endpoints.
async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let name = socket.to_str().and_then(|path| path.strip_prefix("/@").or_else(|| path.strip_prefix('@')));
    let Some(name) = name else { return UnixStream::connect(socket).await };
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn unframe(mut body: Bytes) -> Result<Bytes, Status> {
    let malformed = || Status::new("Internal", "the answer is malformed");
    if body.len() < 5 || body[0] != 0 {
        return Err(malformed());
    }
    let head = body.split_to(5);
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if body.len() == length { Ok(body) } else { Err(malformed()) }
}

/// An error if these headers or trailers tell of one.
fn check(headers: &HeaderMap) -> Result<(), Status> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    let code = match status.as_bytes() {
        b"0" => return Ok(()),
        b"1" => "Canceled",
        b"3" => "InvalidArgument",
        b"4" => "DeadlineExceeded",
        b"5" => "NotFound",
        b"6" => "AlreadyExists",
        b"7" => "PermissionDenied",
        b"8" => "ResourceExhausted",
        b"9" => "FailedPrecondition",
        b"10" => "Aborted",
        b"11" => "OutOfRange",
        b"12" => "Unimplemented",
        b"13" => "Internal",
        b"14" => "Unavailable",
        b"15" => "DataLoss",
        b"16" => "Unauthenticated",
        _ => "Unknown",
    };
    let detail = headers.get("grpc-message").map(|m| unescape(m.as_bytes())).unwrap_or_default();
    Err(Status::new(code, detail))
}

/// `grpc-message` is percent-encoded.
fn unescape(text: &[u8]) -> String {
    let hex = |at: usize| text.get(at).and_then(|c| char::from(*c).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while i < text.len() {
        if text[i] == b'%'
            && let (Some(high), Some(low)) = (hex(i + 1), hex(i + 2))
        {
            out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
            i += 3;
        } else {
            out.push(text[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
