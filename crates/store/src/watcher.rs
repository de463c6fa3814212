//! A watcher's end of the watch hub.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::hub::{Hub, Seat};
use crate::{Entry, Error, Memo, Revision};

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key was written; `previous` tells a creation from a change.
    Put,
    /// The key was removed.
    Delete,
}

/// One change of one key, shared by all who watch it.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The revision of the commit.
    pub revision: Revision,
    /// The entry as written, or, for a deletion, as it was last (see [`crate::Op::Delete`]).
    pub entry: Arc<Entry>,
    /// The entry before, if there was one.
    pub previous: Option<Arc<Entry>>,
    /// Whatever a watcher derived from the event: an encoded frame, say. All who are offered the event share it, and it
    /// goes with the last of them: what the history keeps has none.
    pub frame: Memo,
}

impl Event {
    /// The same for watchers, who may fill its frame.
    pub(crate) fn offered(&self) -> Arc<Event> {
        Arc::new(Event {
            kind: self.kind,
            revision: self.revision,
            entry: Arc::clone(&self.entry),
            previous: self.previous.clone(),
            frame: Memo::default(),
        })
    }

    /// About how many bytes it keeps from being freed while it waits for a watcher.
    fn weight(&self) -> usize {
        let previous = self.previous.as_ref().map_or(0, |entry| entry.value.len());
        self.entry.value.len() + previous + size_of::<Event>()
    }
}

/// All events that were waiting for a watcher, in order. What it holds is shared with the other watchers.
#[derive(Debug, Default)]
pub struct Batch {
    /// Kept apart, since one is all there is mostly, and then nothing needs to be allocated.
    first: Option<Part>,
    rest: Vec<Part>,
    len: usize,
    bytes: usize,
}

/// The events of one group of commits for one prefix. Never empty.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    events: Arc<[Arc<Event>]>,
    bytes: usize,
}

impl Part {
    pub(crate) fn new(events: impl IntoIterator<Item = Arc<Event>>) -> Self {
        let events: Arc<[Arc<Event>]> = events.into_iter().collect();
        let bytes = events.iter().map(|event| event.weight()).sum();
        Self { events, bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Batch {
    /// The events, from old to new.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.first.iter().chain(&self.rest).flat_map(|part| part.events.iter())
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none. A watcher gives no such batch.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// About how many bytes wait in it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, part: Part) {
        self.len += part.len();
        self.bytes += part.bytes();
        if self.first.is_none() {
            self.first = Some(part);
        } else {
            self.rest.push(part);
        }
    }

    pub(crate) fn first_revision(&self) -> Option<Revision> {
        Some(self.first.as_ref()?.events.first()?.revision)
    }

    fn last_revision(&self) -> Option<Revision> {
        Some(self.rest.last().or(self.first.as_ref())?.events.last()?.revision)
    }
}

/// Receives the events of one prefix. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    seat: Arc<Seat>,
    /// From the history; it comes before anything that waits at the seat.
    replay: Option<Batch>,
    seen: Revision,
}

impl Watcher {
    pub(crate) fn new(hub: Arc<Hub>, seat: Arc<Seat>, replay: Batch, after: Revision) -> Self {
        let replay = Some(replay).filter(|batch| !batch.is_empty());
        Self { hub, seat, replay, seen: after }
    }

    /// All events that are waiting, or else the next ones. May be cancelled without loss.
    ///
    /// After an error the watch is over: [`Error::SlowWatcher`] when too much was waiting, once
    /// those that were waiting have been given; [`Error::Closed`] when the store was closed.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, for those who write a stream.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        let batch = match self.replay.take() {
            Some(batch) => batch,
            None => match self.seat.poll_take(cx) {
                Poll::Ready(Ok(batch)) => batch,
                other => return other,
            },
        };
        self.seen = batch.last_revision().unwrap_or(self.seen);
        Poll::Ready(Ok(batch))
    }

    /// The newest revision up to which this watcher has been given everything, events of other prefixes
    /// included: a watch that resumes after it misses nothing.
    pub fn progress(&self) -> Revision {
        if self.replay.is_some() {
            return self.seen;
        }
        // Read before the seat is looked at: what was offered up to it is at the seat already.
        let offered = self.hub.offered();
        self.seat.progress(offered).map_or(self.seen, |revision| revision.max(self.seen))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.hub.leave(&self.seat);
    }
}
