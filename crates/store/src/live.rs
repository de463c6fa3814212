//! What every engine keeps in memory: the live state, its history, rebuilt old states, the watch hub.
//!
//! An engine's one writer publishes here; everybody else reads. It knows nothing of disks or networks.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::history::History;
use crate::hub::{Hub, WatcherLimits};
use crate::metrics::Metrics;
use crate::state::State;
use crate::watcher::{Batch, Part};
use crate::{Error, Event, Revision, Snapshot, Watcher};

/// How many old states are kept ready. A paged list asks for its one again and again.
const REBUILT: usize = 16;

#[derive(Debug)]
pub(crate) struct Live {
    current: ArcSwap<Current>,
    /// Old states that were asked for, from the least to the most recently asked one.
    rebuilt: Mutex<Vec<Snapshot>>,
    hub: Arc<Hub>,
}

/// What readers see; its parts always belong together.
#[derive(Debug)]
struct Current {
    snapshot: Snapshot,
    history: History,
}

impl Live {
    pub(crate) fn new(
        state: &State,
        history: &History,
        watcher_limits: WatcherLimits,
        metrics: Metrics,
    ) -> Self {
        let current = Current { snapshot: state.publish(), history: history.clone() };
        Self {
            hub: Arc::new(Hub::new(state.revision, watcher_limits, metrics)),
            current: ArcSwap::from_pointee(current),
            rebuilt: Mutex::default(),
        }
    }

    /// Makes a new state visible, and offers the events that led to it.
    pub(crate) fn publish(&self, state: &State, history: &History, events: &[Arc<Event>]) {
        let current = Arc::new(Current { snapshot: state.publish(), history: history.clone() });
        let oldest = history.oldest();
        let trimmed = self.current.load().history.oldest() != oldest;
        self.hub.offer(events, state.revision, || self.current.swap(current));
        if trimmed {
            self.rebuilt.lock().retain(|snapshot| snapshot.revision() >= oldest);
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.current.load().snapshot.clone()
    }

    pub(crate) fn oldest(&self) -> Revision {
        self.current.load().history.oldest()
    }

    pub(crate) fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error> {
        let current = self.current.load_full();
        current.check(revision)?;
        if revision == current.snapshot.revision() {
            return Ok(current.snapshot.clone());
        }
        let mut nearest = current.snapshot.clone();
        {
            let mut rebuilt = self.rebuilt.lock();
            if let Some(i) = rebuilt.iter().position(|s| s.revision() == revision) {
                rebuilt[i..].rotate_left(1);
                return Ok(rebuilt.last().expect("one was just found").clone());
            }
            for snapshot in rebuilt.iter().filter(|s| s.revision() > revision) {
                if snapshot.revision() < nearest.revision() {
                    nearest = snapshot.clone();
                }
            }
        }
        let mut state = nearest.state().clone();
        for event in current.history.after(revision).rev().skip_while(|e| e.revision > nearest.revision()) {
            state.undo(event);
        }
        state.revision = revision;
        let snapshot = state.publish();
        let mut rebuilt = self.rebuilt.lock();
        // Trimming may have overtaken us; a state before the history must not be kept alive by a cache.
        if revision >= self.oldest() && rebuilt.iter().all(|s| s.revision() != revision) {
            if rebuilt.len() >= REBUILT {
                rebuilt.remove(0);
            }
            rebuilt.push(snapshot.clone());
        }
        Ok(snapshot)
    }

    pub(crate) fn watch(&self, prefix: &str, after: Revision) -> Result<Watcher, Error> {
        self.current.load().check(after)?;
        let (seat, current) = self.hub.join(prefix, || self.current.load_full());
        // What the hub offers from here on comes after `current`; all before it is in its history.
        let mut replay = Batch::default();
        let checked = current.check(after);
        if checked.is_ok() {
            let events = current.history.after(after).filter(|e| e.entry.key.starts_with(prefix));
            let part = Part::new(events.map(|event| event.offered()));
            if part.len() > 0 {
                replay.push(part);
            }
        }
        let watcher = Watcher::new(Arc::clone(&self.hub), seat, replay, after);
        checked.map(|()| watcher)
    }

    /// Ends every watcher.
    pub(crate) fn close(&self) {
        self.hub.close();
    }
}

impl Current {
    fn check(&self, revision: Revision) -> Result<(), Error> {
        let (oldest, newest) = (self.history.oldest(), self.snapshot.revision());
        if revision < oldest {
            Err(Error::Compacted { requested: revision, oldest })
        } else if revision > newest {
            Err(Error::Future { requested: revision, newest })
        } else {
            Ok(())
        }
    }
}
