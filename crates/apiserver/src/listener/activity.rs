//! Whether a connection is used: one that nobody uses is ended (as by Go's server), or whoever likes keeps thousands open.
//!
//! Pings do not count: a client can send them for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http_io::body::{Body, Broken};

/// How long a connection may be without a request (upstream's `IdleTimeout`).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a client may take to answer that its connection ends.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// The requests of a connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    requests: usize,
    /// When the last of them ended.
    since: Instant,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { requests: 0, since: Instant::now() }))
    }

    /// A request has begun.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.0.lock().requests += 1;
        Busy(Arc::clone(self))
    }

    /// Until, after a while, there is no request.
    pub(super) async fn unused(&self) {
        loop {
            tokio::time::sleep(GOODBYE_TIMEOUT).await;
            if self.0.lock().requests == 0 {
                return;
            }
        }
    }

    /// Until there was no request for too long.
    pub(super) async fn idle(&self) {
        let mut left = IDLE_TIMEOUT;
        loop {
            tokio::time::sleep(left).await;
            let state = self.0.lock();
            left = match state.requests {
                0 => IDLE_TIMEOUT.saturating_sub(state.since.elapsed()),
                _ => IDLE_TIMEOUT,
            };
            if left.is_zero() {
                return;
            }
        }
    }
}

/// A request that has not ended.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.requests -= 1;
        state.since = Instant::now();
    }
}

/// The body of an answer: its request ends with it.
pub(super) struct Active {
    body: Body,
    _busy: Busy,
}

impl Active {
    pub(super) fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl http_body::Body for Active {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_so_long_after_its_last_request() {
        let activity = Arc::new(Activity::new());
        let (began, busy) = (Instant::now(), activity.begin());
        let mut idle = Box::pin(activity.idle());
        assert!(tokio::time::timeout(IDLE_TIMEOUT * 3 + Duration::from_secs(7), &mut idle).await.is_err());
        drop(busy);
        idle.await;
        let waited = began.elapsed();
        let want = IDLE_TIMEOUT * 4 + Duration::from_secs(7);
        assert!(waited >= want && waited < want + Duration::from_secs(1), "{waited:?}");
    }
}
