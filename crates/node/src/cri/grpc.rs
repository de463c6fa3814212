//! gRPC over one HTTP/2 connection to a Unix socket, without TLS.
//!
//! A request is a message behind five bytes (a flag and its length); the status comes in trailers, or in the headers when there is no
//! answer.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use prost::Message;
use tokio::net::UnixStream;

/// How large an answer may be (the kubelet's `maxMsgSize`).
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// The flag and the length before a message.
const HEAD_BYTES: usize = 5;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Self; 16] = [
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    fn of(number: u32) -> Self {
        Self::ALL.into_iter().find(|code| *code as u32 == number).unwrap_or(Self::Unknown)
    }
}

/// A call that failed, as gRPC's Go library words it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {code:?} desc = {message}")]
pub(crate) struct Status {
    /// Why.
    pub(crate) code: Code,
    /// In the runtime's words.
    pub(crate) message: String,
}

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn unavailable(error: &dyn fmt::Display) -> Self {
        Self::new(Code::Unavailable, format!("connection error: {error}"))
    }
}

/// Answers that come one after another.
pub(crate) struct Answers<A> {
    body: Incoming,
    buffer: BytesMut,
    answer: PhantomData<fn() -> A>,
}

impl<A: Message + Default> Answers<A> {
    /// The next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, Status> {
        loop {
            if let Some(message) = unframe(&mut self.buffer)? {
                let decoded = A::decode(message);
                return decoded.map(Some).map_err(|error| Status::new(Code::Internal, error.to_string()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Status::unavailable(&error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => check(frame.trailers_ref().unwrap_or(&HeaderMap::new()))?,
                },
            }
        }
    }
}

/// A connection that is made when it is needed.
pub(super) struct Channel {
    path: PathBuf,
    sender: tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Channel {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, sender: tokio::sync::Mutex::default() }
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, Status> {
        let mut known = self.sender.lock().await;
        if let Some(sender) = known.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = UnixStream::connect(&self.path).await.map_err(|error| {
            let path = self.path.display();
            Status::unavailable(&format_args!(
                "desc = \"transport: Error while dialing: dial unix {path}: {error}\""
            ))
        })?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| Status::unavailable(&error))?;
        // It ends with the last sender, or when the runtime does.
        tokio::spawn(connection);
        *known = Some(sender.clone());
        Ok(sender)
    }

    async fn send(&self, method: &str, message: &impl Message) -> Result<Response<Incoming>, Status> {
        let body = frame(message);
        let mut again = true;
        loop {
            let request = Request::post(format!("http://localhost{method}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("user-agent", concat!("sampan/", env!("CARGO_PKG_VERSION")))
                .body(Full::new(body.clone()))
                .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
            let mut sender = self.sender().await?;
            match sender.send_request(request).await {
                Ok(response) => {
                    let head = response.headers();
                    if response.status() != http::StatusCode::OK {
                        let message = format!(
                            "unexpected HTTP status code received from server: {}",
                            response.status()
                        );
                        return Err(Status::new(Code::Unknown, message));
                    }
                    check(head)?;
                    return Ok(response);
                }
                // It was never sent: the runtime had closed a connection that seemed well.
                Err(error) if error.is_canceled() && again => again = false,
                Err(error) => return Err(Status::unavailable(&error)),
            }
        }
    }

    pub(super) async fn call<A: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<A, Status> {
        let mut answers = self.stream::<A>(method, message).await?;
        let answer = answers.next().await?;
        // The trailers may tell of a failure even now.
        match answers.next().await? {
            None => answer.ok_or_else(|| Status::new(Code::Internal, "the answer is empty")),
            Some(_) => Err(Status::new(Code::Internal, "there is more than one answer")),
        }
    }

    pub(super) async fn stream<A: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<Answers<A>, Status> {
        let body = self.send(method, message).await?.into_body();
        Ok(Answers { body, buffer: BytesMut::new(), answer: PhantomData })
    }
}

/// A message as it is sent.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

/// Takes the next message out, if it is there whole.
pub(super) fn unframe(buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some((head, _)) = buffer.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let [flag, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if flag != 0 {
        return Err(Status::new(Code::Internal, "the answer is compressed, which was not asked for"));
    }
    if length > MAX_ANSWER_BYTES {
        let message = format!("grpc: received message larger than max ({length} vs. {MAX_ANSWER_BYTES})");
        return Err(Status::new(Code::ResourceExhausted, message));
    }
    if buffer.len() - HEAD_BYTES < length {
        return Ok(None);
    }
    buffer.advance(HEAD_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// An error if these headers or trailers tell of one.
fn check(headers: &HeaderMap) -> Result<(), Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").map(|code| code.parse().unwrap_or(Code::Unknown as u32)) {
        None | Some(0) => Ok(()),
        Some(code) => {
            let message = percent_decode_str(text("grpc-message").unwrap_or_default());
            Err(Status::new(Code::of(code), message.decode_utf8_lossy()))
        }
    }
}
