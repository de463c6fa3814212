//! The health check of gRPC (`grpc.health.v1.Health/Check`) over HTTP/2 without TLS.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use super::{Answer, MAX_OUTPUT_BYTES, tcp};
use crate::words::in_words;

/// What is asked.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// What is answered.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

const SERVING: i32 = 1;

/// Names of gRPC's codes, as its Go library writes them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];
const DEADLINE_EXCEEDED: usize = 4;
const UNIMPLEMENTED: usize = 12;
const INTERNAL: usize = 13;
const UNAVAILABLE: usize = 14;

/// A call that failed.
struct Status {
    code: usize,
    message: String,
}

pub(super) async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Answer {
    let place = tcp::join(host, port);
    let began = tokio::time::Instant::now();
    let Ok(Ok(stream)) = tokio::time::timeout(timeout, tcp::connect(host, port)).await else {
        return Answer::Failure(format!(
            "timeout: failed to connect service {place:?} within {}s: context deadline exceeded",
            timeout.as_secs()
        ));
    };
    let left = timeout.saturating_sub(began.elapsed());
    let checked = tokio::time::timeout(left, check(stream, &place, service)).await;
    let late = || Status { code: DEADLINE_EXCEEDED, message: String::new() };
    match checked.unwrap_or_else(|_| Err(late())) {
        Ok(SERVING) => Answer::Success,
        Ok(status) => {
            let name = match status {
                0 => "UNKNOWN".to_owned(),
                2 => "NOT_SERVING".to_owned(),
                3 => "SERVICE_UNKNOWN".to_owned(),
                other => other.to_string(),
            };
            Answer::Failure(format!("service unhealthy (responded with {name:?})"))
        }
        Err(Status { code: UNIMPLEMENTED, message }) => Answer::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        )),
        Err(Status { code: DEADLINE_EXCEEDED, .. }) => {
            Answer::Failure(format!("timeout: health rpc did not complete within {}s", timeout.as_secs()))
        }
        Err(Status { code, message }) => {
            let name = CODES.get(code).map_or_else(|| format!("Code({code})"), |name| (*name).to_owned());
            Answer::Failure(format!(
                "error: health rpc probe failed: rpc error: code = {name} desc = {message}"
            ))
        }
    }
}

async fn check(stream: tokio::net::TcpStream, place: &str, service: &str) -> Result<i32, Status> {
    let unavailable = |error: hyper::Error| Status { code: UNAVAILABLE, message: in_words(&error) };
    let internal = |message: &str| Status { code: INTERNAL, message: message.to_owned() };
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(unavailable)?;
    let call = async {
        let request = Request::post(format!("http://{place}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("user-agent", "kube-probe/1.36")
            .header("te", "trailers")
            .body(Full::new(frame(&HealthCheckRequest { service: service.to_owned() })))
            .map_err(|error| internal(&error.to_string()))?;
        let response = sender.send_request(request).await.map_err(unavailable)?;
        let (head, mut body) = response.into_parts();
        ended(&head.headers)?;
        if head.status != 200 {
            let message = format!("unexpected HTTP status code received from server: {}", head.status);
            return Err(Status {
                code: if head.status == 404 { UNIMPLEMENTED } else { UNAVAILABLE },
                message,
            });
        }
        let mut data = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(unavailable)?.into_data() {
                Ok(chunk) => data.extend_from_slice(&chunk),
                Err(frame) => ended(frame.trailers_ref().unwrap_or(&HeaderMap::new()))?,
            }
            if data.len() > MAX_OUTPUT_BYTES {
                return Err(internal("the answer is too long"));
            }
        }
        // One message: whether it is compressed, its length in four bytes, itself.
        let message = data.get(5..).filter(|_| data[0] == 0).ok_or_else(|| internal("no message"))?;
        HealthCheckResponse::decode(message)
            .map(|answer| answer.status)
            .map_err(|error| internal(&error.to_string()))
    };
    tokio::pin!(call);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = &mut call => answer,
        ended = &mut connection => match ended {
            Err(error) => Err(unavailable(error)),
            Ok(()) => call.await,
        },
    }
}

/// A message as gRPC puts it into a body.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let bytes = message.encode_to_vec();
    let mut body = BytesMut::with_capacity(bytes.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(bytes.len()).unwrap_or_default());
    body.put_slice(&bytes);
    body.freeze()
}

/// Whether headers or trailers say that the call failed.
fn ended(headers: &HeaderMap) -> Result<(), Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").map(|code| code.parse().unwrap_or(2)) {
        None | Some(0) => Ok(()),
        Some(code) => Err(Status { code, message: text("grpc-message").unwrap_or_default().to_owned() }),
    }
}
