//! Reads the body of a request, bounded.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use sampan_model::Status;

use crate::chain::deadline;
use crate::request_info::RequestInfo;

/// The largest body of a request, in bytes (upstream's `MaxRequestBodyBytes`).
pub(crate) const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

/// How much of a body that is too large is read and thrown away, so that a client that is about to finish gets
/// to read the answer.
const DRAINED_BYTES: usize = 256 * 1024;

/// How long a client may go on sending with a request that is refused.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the body of a request means something. Else it is not read at all: a request that reads has none, and one
/// that lasts has no deadline by which its body would have to be there.
pub(crate) fn is_wanted(method: &Method, info: &RequestInfo) -> bool {
    let is_read = matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
        && !deadline::is_long_running(info);
    is_read || is_passed_on(info)
}

/// Whether the body is passed on as it comes, whatever its length: it is for whoever is behind a proxy.
pub(super) fn is_passed_on(info: &RequestInfo) -> bool {
    info.is_resource && info.subresource == "proxy"
}

/// The whole body. 413 beyond the limit, 400 when the connection fails.
pub(crate) async fn read<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    if body.size_hint().lower() > (MAX_BODY_BYTES + DRAINED_BYTES) as u64 {
        return Err(Status::too_large(MAX_BODY_BYTES));
    }
    let mut too_large = 0;
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Status::bad_request(format!("the body could not be read: {error}")))?;
        let Ok(mut data) = frame.into_data() else { continue };
        let length = data.remaining();
        if too_large > 0 || first.len() + all.len() + length > MAX_BODY_BYTES {
            too_large += length;
            if too_large > DRAINED_BYTES {
                break;
            }
            continue;
        }
        if first.is_empty() && all.is_empty() {
            // Nearly every body is one piece, which need not be copied.
            first = data.copy_to_bytes(length);
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data.copy_to_bytes(length));
        }
    }
    if too_large > 0 {
        return Err(Status::too_large(MAX_BODY_BYTES));
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads and throws away what a client sends with a request that is refused without a look at it, so that it gets to read
/// the answer and can use the connection again. Gives up on a large one, and on a slow one.
pub(crate) async fn drain<B>(body: B)
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    if body.size_hint().lower() > DRAINED_BYTES as u64 {
        return;
    }
    let mut body = pin!(body);
    let drained = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Buf::remaining);
            if read > DRAINED_BYTES {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
}
