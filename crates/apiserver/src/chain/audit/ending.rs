//! The last stage of a request: told once, whatever becomes of the request.
//!
//! A client that goes away takes its request's task with it, at any await. What was begun may be done all the same (the
//! store's writer goes on), so its event must not go with the client.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use jiff::Timestamp;

use crate::audit::{Audit, Recorder, Stage};

/// Tells the last stage when it is dropped, unless it was told by [`Ending::complete`].
pub(super) struct Ending {
    audit: Arc<Audit>,
    recorder: Recorder,
    clock: fn() -> Timestamp,
    told: bool,
}

impl Ending {
    pub(super) fn new(audit: Arc<Audit>, recorder: Recorder, clock: fn() -> Timestamp) -> Self {
        Self { audit, recorder, clock, told: false }
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The answer has begun.
    pub(super) async fn started(&self) {
        tell(&self.audit, &self.recorder, Stage::ResponseStarted, (self.clock)()).await;
    }

    /// The answer is complete.
    pub(super) async fn complete(self) {
        self.completed(Stage::ResponseComplete).await;
    }

    /// The answer is complete, and this is the stage that says so.
    pub(super) async fn completed(mut self, stage: Stage) {
        // Whoever is told from here on goes on by itself.
        self.told = true;
        tell(&self.audit, &self.recorder, stage, (self.clock)()).await;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.told {
            let telling = tell(&self.audit, &self.recorder, Stage::ResponseComplete, (self.clock)());
            // The first look hands the event over; where a sink has to wait, a task does from there on.
            let _ = futures::FutureExt::now_or_never(telling);
        }
    }
}

/// Tells the sinks. Most take an event at once; where one has to wait, a task of its own does, so that nothing is lost
/// when nobody waits for the answer any more.
pub(super) async fn tell(audit: &Arc<Audit>, recorder: &Recorder, stage: Stage, now: Timestamp) -> bool {
    let (audit, recorder) = (Arc::clone(audit), recorder.clone());
    let mut telling = Box::pin(async move { audit.tell(&recorder, stage, now).await });
    if let Poll::Ready(stored) = poll_fn(|cx| Poll::Ready(telling.as_mut().poll(cx))).await {
        return stored;
    }
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn(telling).await.unwrap_or(false),
        Err(_) => telling.await,
    }
}
