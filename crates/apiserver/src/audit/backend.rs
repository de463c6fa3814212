//! Where events go, and what becomes of a request whose event cannot be stored.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::batch::{Batch, BatchOptions};
use super::event::Event;
use super::metrics::Metrics;
use super::truncate::{self, TruncateOptions};

/// Events could not be stored; the sentence is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Stores events, or sends them on.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// Its name in metrics: `log`, `webhook`.
    fn name(&self) -> &'static str;

    /// Stores all of these events, or fails.
    async fn process(&self, events: &[Arc<Event>]) -> Result<(), Failure>;
}

/// How events are handed to a backend.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// They are buffered and sent by a task of their own.
    Batch(BatchOptions),
    /// The answer waits until they are stored; that they are not is only counted.
    Blocking,
    /// The answer waits, and a request that cannot be written down when it is received is refused.
    BlockingStrict,
}

/// A backend with a mode.
#[derive(Debug)]
pub struct Sink {
    how: How,
    truncate: Option<TruncateOptions>,
    metrics: Metrics,
}

#[derive(Debug)]
enum How {
    Batch(Batch),
    Blocking { backend: Arc<dyn Backend>, strict: bool },
}

impl Sink {
    /// Hands events to `backend` in a mode; in batches this needs the runtime. `truncate`: how large events may be.
    pub fn new(
        backend: Arc<dyn Backend>,
        mode: Mode,
        truncate: Option<TruncateOptions>,
        metrics: Metrics,
    ) -> Self {
        let how = match mode {
            Mode::Batch(options) => How::Batch(Batch::start(backend, options, metrics.clone())),
            Mode::Blocking => How::Blocking { backend, strict: false },
            Mode::BlockingStrict => How::Blocking { backend, strict: true },
        };
        Self { how, truncate, metrics }
    }

    /// `false` when events were lost that must not be.
    pub(super) async fn process(&self, events: Vec<Arc<Event>>) -> bool {
        let events = match &self.truncate {
            Some(options) => {
                let (events, dropped) = truncate::fit(events, options);
                if dropped > 0 {
                    tracing::warn!(dropped, "audit events are too large even after truncating");
                    self.metrics.errors("truncate", dropped);
                }
                events
            }
            None => events,
        };
        if events.is_empty() {
            return true;
        }
        match &self.how {
            How::Batch(batch) => {
                batch.add(events);
                true
            }
            How::Blocking { backend, strict } => match backend.process(&events).await {
                Ok(()) => true,
                Err(failure) => {
                    failed(&**backend, &events, &failure, &self.metrics);
                    !strict
                }
            },
        }
    }

    pub(super) async fn shut_down(&self) {
        if let How::Batch(batch) = &self.how {
            batch.shut_down().await;
        }
    }
}

/// Counts events that a backend lost.
pub(super) fn failed(backend: &dyn Backend, events: &[Arc<Event>], failure: &Failure, metrics: &Metrics) {
    tracing::error!(backend = backend.name(), events = events.len(), %failure, "audit events are lost");
    metrics.errors(backend.name(), events.len());
}
