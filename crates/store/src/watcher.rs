//! A watcher's end of the watch hub.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Entry, Error, Revision};

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
}
