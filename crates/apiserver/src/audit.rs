//! What requests tell the audit log: `audit.k8s.io/v1` events, by the rules of a policy, to one or more sinks.
//!
//! [`Policy`] says what is told of a request, a [`Recorder`] takes it down on the request's way, and the chain's filter
//! hands the event of each stage to [`Audit`], which passes it on to the sinks. A server without a policy has none of this.

pub mod backend;
mod batch;
mod event;
mod level;
mod log;
mod metrics;
pub mod policy;
mod recorder;
mod rotation;
pub(crate) mod secrets;
mod truncate;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;

pub use backend::{Backend, Failure, Mode, Sink};
pub use batch::BatchOptions;
pub use event::{Event, ObjectRef};
pub use level::{Level, Stage};
pub use log::{Log, LogFormat};
pub use metrics::Metrics;
pub use policy::Policy;
pub use recorder::Recorder;
pub use rotation::{Rotating, RotationOptions};
pub(crate) use truncate::ANNOTATION as TRUNCATED;
pub use truncate::TruncateOptions;

/// The longest body of an answer that is kept to be told; a longer one is left out, and the event says so.
pub(crate) const MAX_KEPT_BODY: usize = 16 << 20;
/// How much of all such bodies is kept at one time.
const MAX_KEPT: usize = 128 << 20;
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// What is kept of a body until it is told; counted while it lives.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<u8>);

impl Kept {
    /// Keeps one more piece; `false` when that is too much, of this body or of all.
    pub(crate) fn push(&mut self, piece: &[u8]) -> bool {
        if self.0.len() + piece.len() > MAX_KEPT_BODY {
            return false;
        }
        if KEPT.fetch_add(piece.len(), Ordering::Relaxed) + piece.len() > MAX_KEPT {
            KEPT.fetch_sub(piece.len(), Ordering::Relaxed);
            return false;
        }
        self.0.extend_from_slice(piece);
        true
    }

    /// What was kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// How long what is still waiting may take to be sent when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The audit of a server.
#[derive(Debug)]
pub struct Audit {
    policy: Policy,
    sinks: Vec<Sink>,
    metrics: Metrics,
}

impl Audit {
    /// Audits by a policy, to all these sinks, which were made with the same metrics.
    pub fn new(policy: Policy, sinks: Vec<Sink>, metrics: Metrics) -> Self {
        Self { policy, sinks, metrics }
    }

    /// What is decided of requests.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Tells the sinks that a request has come to a stage. `false` when one that must not lose events lost it.
    pub(crate) async fn tell(&self, recorder: &Recorder, stage: Stage, now: Timestamp) -> bool {
        let Some(event) = recorder.event_at(stage, now) else { return true };
        self.metrics.event();
        let mut stored = true;
        for sink in &self.sinks {
            stored &= sink.process(vec![Arc::clone(&event)]).await;
        }
        stored
    }

    /// Sends what is still waiting, for a few seconds at most.
    pub async fn shut_down(&self) {
        let drained = async {
            for sink in &self.sinks {
                sink.shut_down().await;
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::warn!("some audit events could not be sent before the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_kept_up_to_a_limit_of_each_and_of_all() {
        let piece = vec![0; 1 << 20];
        let fill = || {
            let mut kept = Kept::default();
            let pieces = (0..100).take_while(|_| kept.push(&piece)).count();
            (kept, pieces)
        };
        let all: Vec<_> = (0..8).map(|_| fill()).collect();
        assert!(all.iter().all(|(_, pieces)| *pieces == 16));
        let (none, pieces) = fill();
        assert_eq!((pieces, none.bytes().len()), (0, 0));
        drop(all);
        assert_eq!(fill().1, 16);
    }
}
