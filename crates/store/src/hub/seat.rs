//! One watcher's place at the hub: the events that wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::WatcherLimits;
use crate::watcher::{Batch, Part};
use crate::{Error, Revision};

#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) prefix: Arc<str>,
    /// Its index among the seats of its prefix; changed only under the hub's lock.
    index: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    end: Option<End>,
    waker: Option<Waker>,
}

/// Why a watcher gets no more.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Slow { limit: usize, unit: Unit },
    Closed,
}

/// In what too much waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Events,
    Bytes,
}

impl Seat {
    pub(super) fn new(prefix: Arc<str>, index: usize) -> Self {
        Self { prefix, index: AtomicUsize::new(index), waiting: Mutex::default() }
    }

    pub(super) fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed)
    }

    pub(super) fn set_index(&self, index: usize) {
        self.index.store(index, Ordering::Relaxed);
    }

    /// Adds events; refuses, and ends the watcher, if more than `limits` would wait. Gives whom to wake.
    pub(super) fn offer(&self, part: &Part, limits: WatcherLimits) -> (Option<Unit>, Option<Waker>) {
        let mut waiting = self.waiting.lock();
        let batch = &mut waiting.batch;
        // One group alone is always taken, else a transaction larger than the limits could never be watched.
        let refused = if batch.is_empty() {
            None
        } else if batch.len() + part.len() > limits.events {
            Some((limits.events, Unit::Events))
        } else if batch.bytes() + part.bytes() > limits.bytes {
            Some((limits.bytes, Unit::Bytes))
        } else {
            None
        };
        match refused {
            None => batch.push(part.clone()),
            Some((limit, unit)) => waiting.end = Some(End::Slow { limit, unit }),
        }
        (refused.map(|(_, unit)| unit), waiting.waker.take())
    }

    pub(super) fn end(&self, end: End) -> Option<Waker> {
        let mut waiting = self.waiting.lock();
        waiting.end.get_or_insert(end);
        waiting.waker.take()
    }

    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        let mut waiting = self.waiting.lock();
        if !waiting.batch.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut waiting.batch)));
        }
        match waiting.end {
            Some(End::Slow { limit, unit }) => {
                let unit = if unit == Unit::Bytes { "bytes" } else { "events" };
                return Poll::Ready(Err(Error::SlowWatcher { limit, unit }));
            }
            Some(End::Closed) => return Poll::Ready(Err(Error::Closed)),
            None => {}
        }
        match &mut waiting.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The revision before the first that waits, or `offered` when nothing does; `None` when it was ended.
    pub(crate) fn progress(&self, offered: Revision) -> Option<Revision> {
        let waiting = self.waiting.lock();
        match waiting.batch.first_revision() {
            Some(first) => Some(first - 1),
            None if waiting.end.is_some() => None,
            None => Some(offered),
        }
    }
}
