//! The recent events, bounded by their number and by the bytes that nothing else holds any more.

use std::sync::Arc;

use imbl::Vector;

use crate::{Event, EventKind, Revision};

/// How much of the past a store keeps.
#[derive(Debug, Clone, Copy)]
pub struct HistoryLimits {
    /// How many events.
    pub events: usize,
    /// How many bytes of values that only the history still holds.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { events: 16_384, bytes: 8 << 20 }
    }
}

/// Trimming is done this many events at a time: one by one it would cost each commit a second write,
/// and thousands at once stall the commits behind it.
pub(crate) const TRIM_STEP: usize = 256;

/// Beyond its value, what an old version of a key costs: the entry, and the allocations' heads.
const ENTRY_OVERHEAD: usize = 160;

/// A run of events without a gap. Cloning it costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    events: Vector<Arc<Event>>,
    bytes: usize,
    oldest: Revision,
}

impl History {
    /// An empty history that begins after `oldest`.
    pub(crate) fn new(oldest: Revision) -> Self {
        Self { oldest, ..Self::default() }
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        self.bytes += cost(&event);
        self.events.push_back(event);
    }

    /// The revision after which it begins.
    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The events after a revision, from old to new.
    pub(crate) fn after(&self, revision: Revision) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        self.events.focus().narrow(self.position(revision)..).into_iter()
    }

    /// The events up to a revision, from old to new.
    pub(crate) fn up_to(&self, revision: Revision) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().take(self.position(revision))
    }

    /// The revision up to which to trim, if it is time, before `coming` more events are pushed.
    /// The newest revision always stays.
    pub(crate) fn excess(&self, limits: HistoryLimits, coming: usize) -> Option<Revision> {
        let slack = TRIM_STEP.min(limits.events.max(1));
        if self.len() < limits.events + slack && self.bytes <= limits.bytes {
            return None;
        }
        // Faster than it grows, or else many writers would outrun it.
        let step = TRIM_STEP.max(2 * coming);
        // A little below the limit of bytes, so that not every commit has something to trim.
        let bytes_wanted = limits.bytes - limits.bytes / 64;
        let newest = self.events.last()?.revision;
        let (mut left, mut bytes, mut up_to) = (self.len(), self.bytes, None);
        for (n, event) in self.events.iter().enumerate() {
            let within = left <= limits.events && bytes <= bytes_wanted;
            let enough = within || n >= step && bytes / 2 <= limits.bytes;
            // A revision goes as a whole.
            if event.revision == newest || enough && up_to != Some(event.revision) {
                break;
            }
            up_to = Some(event.revision);
            left -= 1;
            bytes -= cost(event);
        }
        up_to
    }

    /// Forgets the events up to a revision.
    pub(crate) fn trim(&mut self, up_to: Revision) {
        let gone = self.position(up_to);
        self.bytes -= self.events.iter().take(gone).map(|e| cost(e)).sum::<usize>();
        self.events = self.events.split_off(gone);
        self.oldest = self.oldest.max(up_to);
    }

    /// How many events have a revision up to this one.
    fn position(&self, revision: Revision) -> usize {
        match self.events.last() {
            None => return 0,
            // What is asked for most: a watch from now.
            Some(last) if last.revision <= revision => return self.len(),
            Some(_) => {}
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.events[middle].revision <= revision { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// The bytes that only the history still holds because of an event: what it replaced, and the last value of what it removed.
fn cost(event: &Event) -> usize {
    let replaced = event.previous.as_ref().map_or(0, |e| e.value.len() + ENTRY_OVERHEAD);
    let own_last = event.kind == EventKind::Delete && event.entry.revision == event.revision;
    replaced + if own_last { event.entry.value.len() + ENTRY_OVERHEAD } else { 0 }
}
