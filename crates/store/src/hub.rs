//! The watch hub: offers each group of commits to the watchers whose prefixes match, and to no other.
//!
//! Watchers of one prefix share one list of events a group, so that an event costs a watcher no more
//! than its share of a push. The writer never waits for a watcher: one whose seat is full is ended.
//! No lock is held while tasks are woken.

mod prefixes;
mod seat;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::metrics::Metrics;
use crate::{Event, Revision};

use prefixes::Prefixes;
pub(crate) use seat::Seat;

/// How much may wait for one watcher before it is ended.
#[derive(Debug, Clone, Copy)]
pub struct WatcherLimits {
    /// How many events.
    pub events: usize,
    /// How many bytes of values they may keep from being freed, about.
    pub bytes: usize,
}

impl Default for WatcherLimits {
    fn default() -> Self {
        Self { events: 4096, bytes: 64 << 20 }
    }
}

/// Where watchers sit.
#[derive(Debug)]
pub(crate) struct Hub {
    prefixes: Mutex<Prefixes>,
    /// Everything up to this revision has been offered.
    offered: AtomicU64,
    limits: WatcherLimits,
    metrics: Metrics,
}

impl Hub {
    pub(crate) fn new(newest: Revision, limits: WatcherLimits, metrics: Metrics) -> Self {
        Self { prefixes: Mutex::default(), offered: AtomicU64::new(newest), limits, metrics }
    }

    pub(crate) fn offered(&self) -> Revision {
        self.offered.load(Ordering::Acquire)
    }

    /// Takes a seat. `look` sees the store as of the last offer before the seat's first.
    pub(crate) fn join<T>(&self, prefix: &str, look: impl FnOnce() -> T) -> (Arc<Seat>, T) {
        let mut prefixes = self.prefixes.lock();
        let seat = prefixes.join(prefix);
        let seen = look();
        self.metrics.watchers.set(i64::try_from(prefixes.seats()).unwrap_or(i64::MAX));
        (seat, seen)
    }

    pub(crate) fn leave(&self, seat: &Seat) {
        let mut prefixes = self.prefixes.lock();
        prefixes.leave(seat);
        self.metrics.watchers.set(i64::try_from(prefixes.seats()).unwrap_or(i64::MAX));
    }

    /// Offers events up to `revision`. `publish` makes them visible to readers at the same moment; what it
    /// gives is dropped when no lock is held.
    pub(crate) fn offer<T>(&self, events: &[Arc<Event>], revision: Revision, publish: impl FnOnce() -> T) {
        let mut wakers = Vec::new();
        let mut prefixes = self.prefixes.lock();
        let replaced = publish();
        let ended = prefixes.offer(events, self.limits, &mut wakers);
        self.offered.store(revision, Ordering::Release);
        if ended.all > 0 {
            self.metrics.slow_watchers.inc_by(ended.all);
            self.metrics.heavy_watchers.inc_by(ended.by_bytes);
            self.metrics.watchers.set(i64::try_from(prefixes.seats()).unwrap_or(i64::MAX));
        }
        drop(prefixes);
        wakers.into_iter().for_each(std::task::Waker::wake);
        drop(replaced);
    }

    /// Ends every watcher; those who come later are ended at once.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        self.prefixes.lock().close(&mut wakers);
        self.metrics.watchers.set(0);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}
