//! Watches: what changed after a revision, seen through selectors.

use std::sync::Arc;
use std::task::{Context, Poll};

use sampan_model::{Status, Value};
use sampan_store::{Entry, Event, EventKind, Revision, Snapshot, Watcher};

use super::filter::Filter;
use super::list_options::{InitialEvents, VersionMatch};
use super::{Attributes, ListOptions, Registry, object, store_error};

/// What a watcher is told of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEvent {
    /// It is there (also: it has begun to match the selectors).
    Added,
    /// It changed.
    Modified,
    /// It is gone (also: it has ceased to match).
    Deleted,
}

impl WatchEvent {
    /// The word in a frame.
    pub fn as_str(self) -> &'static str {
        match self {
            WatchEvent::Added => "ADDED",
            WatchEvent::Modified => "MODIFIED",
            WatchEvent::Deleted => "DELETED",
        }
    }
}

/// One thing to tell a watcher.
#[derive(Debug)]
pub enum WatchItem {
    /// Part of the state with which the watch began.
    Initial(Arc<Entry>),
    /// A change. The entry: what is shown instead of the event's own, with the revision of the event (it ceased to match).
    Change(WatchEvent, Arc<Event>, Option<Arc<Entry>>),
    /// The end of the initial state, at this revision.
    InitialEnd(Revision),
    /// The watch is over.
    Failed(Status),
}

/// The events of one watch, in order.
#[derive(Debug)]
pub struct WatchEvents {
    initial: Option<Initial>,
    watcher: Watcher,
    filter: Filter,
    after: Revision,
    ended: bool,
}

#[derive(Debug)]
struct Initial {
    snapshot: Snapshot,
    prefix: String,
    from: Option<String>,
    mark_end: bool,
}

/// How many objects of the initial state are told at once.
const INITIAL_PIECE: usize = 64;

impl Registry {
    /// Watches the collection that `a` names, or the one object.
    ///
    /// # Errors
    /// What cannot be watched at all. A revision that is too old is told as the watch's only item.
    pub async fn watch(&self, a: &Attributes, options: &ListOptions) -> Result<WatchEvents, Status> {
        let filter = Filter::new(a, options)?;
        let prefix = a.prefix();
        let with_state = |mut snapshot: Snapshot, mark_end| -> Result<WatchEvents, Status> {
            let watcher = loop {
                match self.store.watch(&prefix, snapshot.revision()) {
                    // Many were faster than this line; a newer state will do.
                    Err(sampan_store::Error::Compacted { .. }) => snapshot = self.store.snapshot(),
                    watcher => break watcher.map_err(|e| store_error(&e))?,
                }
            };
            let after = snapshot.revision();
            let initial = Initial { snapshot, prefix: prefix.clone(), from: None, mark_end };
            Ok(WatchEvents { initial: Some(initial), watcher, filter: filter.clone(), after, ended: false })
        };
        if options.initial_events == InitialEvents::Wanted {
            let snapshot = match options.version {
                VersionMatch::NotOlderThan(revision) | VersionMatch::Exact(revision) => {
                    let snapshot = self.store.fresh_snapshot().await.map_err(|e| store_error(&e))?;
                    if snapshot.revision() < revision {
                        return Err(super::too_large_version(revision, snapshot.revision()));
                    }
                    snapshot
                }
                VersionMatch::MostRecent => self.store.fresh_snapshot().await.map_err(|e| store_error(&e))?,
                VersionMatch::Any => self.store.snapshot(),
            };
            return with_state(snapshot, options.bookmarks);
        }
        let after = match options.version {
            // No revision, or 0: from now, which the client knows of no other way.
            VersionMatch::MostRecent | VersionMatch::Any
                if options.initial_events == InitialEvents::Unwanted =>
            {
                self.store.snapshot().revision()
            }
            VersionMatch::MostRecent => {
                return with_state(self.store.fresh_snapshot().await.map_err(|e| store_error(&e))?, false);
            }
            VersionMatch::Any => return with_state(self.store.snapshot(), false),
            VersionMatch::NotOlderThan(after) | VersionMatch::Exact(after) => after,
        };
        let watcher = self.store.watch(&prefix, after).map_err(|error| match error {
            sampan_store::Error::Compacted { requested, oldest } => {
                Status::expired(format!("too old resource version: {requested} ({oldest})"))
            }
            error => store_error(&error),
        })?;
        Ok(WatchEvents { initial: None, watcher, filter, after, ended: false })
    }
}

impl WatchEvents {
    /// The next things to tell, in order: `tell` is called with each. Ready(false) when the watch is over.
    pub fn poll_items(&mut self, cx: &mut Context<'_>, tell: &mut dyn FnMut(WatchItem)) -> Poll<bool> {
        if self.ended {
            return Poll::Ready(false);
        }
        if self.tell_initial(tell) {
            return Poll::Ready(true);
        }
        loop {
            match self.watcher.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    self.ended = true;
                    if !matches!(error, sampan_store::Error::SlowWatcher { .. } | sampan_store::Error::Closed)
                    {
                        tell(WatchItem::Failed(store_error(&error)));
                    }
                    return Poll::Ready(false);
                }
                Poll::Ready(Ok(batch)) => {
                    let mut told = false;
                    for event in batch.iter().filter(|event| event.revision > self.after) {
                        if let Some(item) = self.seen(event) {
                            tell(item);
                            told = true;
                        }
                    }
                    if told {
                        return Poll::Ready(true);
                    }
                }
            }
        }
    }

    /// The newest revision up to which everything has been told.
    pub fn progress(&self) -> Option<Revision> {
        self.initial.is_none().then(|| self.watcher.progress().max(self.after))
    }

    fn tell_initial(&mut self, tell: &mut dyn FnMut(WatchItem)) -> bool {
        let Some(initial) = &mut self.initial else { return false };
        let mut told = 0;
        let mut next = None;
        let range = initial.snapshot.range(&initial.prefix, initial.from.as_deref());
        for entry in self.filter.select(range) {
            if told == INITIAL_PIECE {
                next = Some(entry.key.to_string());
                break;
            }
            tell(WatchItem::Initial(Arc::clone(entry)));
            told += 1;
        }
        if next.is_some() {
            initial.from = next;
            return true;
        }
        if initial.mark_end {
            tell(WatchItem::InitialEnd(initial.snapshot.revision()));
            told += 1;
        }
        self.initial = None;
        told > 0
    }

    /// What a change is through the selectors.
    fn seen(&self, event: &Arc<Event>) -> Option<WatchItem> {
        let before = event.previous.as_ref().is_some_and(|entry| self.filter.matches(entry));
        let (what, shown) = match event.kind {
            EventKind::Delete if before => (WatchEvent::Deleted, None),
            EventKind::Delete => return None,
            EventKind::Put => match (before, self.filter.matches(&event.entry)) {
                (false, true) => (WatchEvent::Added, None),
                (true, true) => (WatchEvent::Modified, None),
                (true, false) => (WatchEvent::Deleted, event.previous.clone()),
                (false, false) => return None,
            },
        };
        Some(WatchItem::Change(what, Arc::clone(event), shown))
    }
}

/// An entry's tree with another revision, as watchers see an object that has ceased to match.
pub(crate) fn at_revision(entry: &Entry, revision: Revision) -> Result<Value, Status> {
    use sampan_model::meta::ObjectMeta;
    let mut value = object::parse(entry)?;
    value.set_meta("resourceVersion", revision.to_string());
    Ok(value)
}
