//! The live state: an immutable ordered map of entries at one revision.
//!
//! A writer changes a private [`State`], which shares with the published ones all that it has not
//! touched, and publishes it as a [`Snapshot`].

mod tree;

use std::sync::Arc;

use crate::{Entry, Event, EventKind, Revision};

pub use tree::Range;
use tree::Tree;

/// The whole store at one revision. Cloning it costs a reference count; it stays as it is for as long as it is held.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Arc<State>);

impl Snapshot {
    /// The revision whose state this is.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// The entry of `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.0.get(key)
    }

    /// In key order, the entries whose keys start with `prefix`; with `from`, only those at or after that key.
    pub fn range(&self, prefix: &str, from: Option<&str>) -> Range<'_> {
        let (start, end) = self.bounds(prefix, from);
        self.0.entries.range(start, end)
    }

    /// How many keys start with `prefix`. Its cost does not depend on their number.
    pub fn count(&self, prefix: &str) -> usize {
        self.count_from(prefix, None)
    }

    /// How many entries [`Snapshot::range`] would give. Its cost does not depend on their number.
    pub fn count_from(&self, prefix: &str, from: Option<&str>) -> usize {
        let (start, end) = self.bounds(prefix, from);
        end.saturating_sub(start)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a writer begins with, and what an old state is rebuilt from.
    pub(crate) fn state(&self) -> &State {
        &self.0
    }

    /// The positions of the first entry in the range and of the first beyond it.
    fn bounds(&self, prefix: &str, from: Option<&str>) -> (usize, usize) {
        let entries = &self.0.entries;
        let start = entries.rank(|key| key < prefix || from.is_some_and(|from| key < from));
        let end = entries.rank(|key| key < prefix || key.starts_with(prefix));
        (start, end)
    }
}

/// The state that a writer changes. Cloning it costs a reference count.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    entries: Tree,
}

impl State {
    /// Makes a state of entries in any order; of entries with one key, one remains.
    pub(crate) fn build(revision: Revision, mut entries: Vec<Arc<Entry>>) -> Self {
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        entries.dedup_by(|a, b| a.key == b.key);
        Self { revision, entries: Tree::build(entries) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Follows an event. Its revision becomes the state's.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event.kind {
            EventKind::Put => self.entries.insert(Arc::clone(&event.entry)),
            EventKind::Delete => self.entries.remove(&event.entry.key),
        };
        self.revision = event.revision;
    }

    /// Takes an event back. The revision stays: the caller knows which one it is going to.
    pub(crate) fn undo(&mut self, event: &Event) {
        match &event.previous {
            Some(previous) => self.entries.insert(Arc::clone(previous)),
            None => self.entries.remove(&event.entry.key),
        };
    }

    pub(crate) fn publish(&self) -> Snapshot {
        Snapshot(Arc::new(self.clone()))
    }
}
