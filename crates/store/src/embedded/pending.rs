//! Transactions that are applied to a private state, on their way to the log.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::state::State;
use crate::{Committed, Entry, Error, Event, EventKind, Expect, NewValue, Op, Revision, Txn};

use super::log::MAX_OPS;

/// Refuses what no state could make right.
pub(super) fn validate(txn: &Txn) -> Result<(), Error> {
    if txn.ops.len() > MAX_OPS {
        return Err(Error::InvalidTxn("it has too many operations"));
    }
    let mut keys = HashSet::new();
    if txn.ops.len() > 1 && !txn.ops.iter().all(|op| keys.insert(op.key())) {
        return Err(Error::InvalidTxn("a key occurs twice"));
    }
    let fits = |value: &NewValue| value.revision_at.is_none_or(|at| at <= value.bytes.len());
    let values_fit = txn.ops.iter().all(|op| match op {
        Op::Put { value, .. } => fits(value),
        Op::Delete { last, .. } => last.as_ref().is_none_or(fits),
        Op::Check { .. } => true,
    });
    if values_fit { Ok(()) } else { Err(Error::InvalidTxn("the place for the revision is beyond the value")) }
}

/// A state ahead of the log, with the events that lead to it.
pub(super) struct Pending {
    pub(super) state: State,
    pub(super) events: Vec<Arc<Event>>,
}

impl Pending {
    pub(super) fn new(state: State) -> Self {
        Self { state, events: Vec::new() }
    }

    /// Applies all of a transaction, or nothing.
    pub(super) fn apply(&mut self, txn: Txn) -> Result<Committed, Error> {
        // All expectations come before the first change: keys differ, so no operation affects another's.
        for (i, op) in txn.ops.iter().enumerate() {
            let current = self.state.get(op.key());
            if !op.expect().holds(current) {
                return Err(Error::Conflict { op: i, current: current.cloned() });
            }
        }
        let before = self.state.revision;
        let revision = before + 1;
        let entries = txn.ops.into_iter().map(|op| self.apply_op(op, revision)).collect();
        Ok(Committed { revision: self.state.revision, entries })
    }

    fn apply_op(&mut self, op: Op, revision: Revision) -> Option<Arc<Entry>> {
        let (kind, entry, previous) = match op {
            Op::Check { .. } => return None,
            Op::Put { key, value, .. } => {
                let previous = self.state.get(&key).cloned();
                // One allocation for a key, however often it is written.
                let key = previous.as_ref().map_or(key, |e| Arc::clone(&e.key));
                (EventKind::Put, Arc::new(new_entry(key, value, revision)), previous)
            }
            Op::Delete { key, last, .. } => {
                let previous = Arc::clone(self.state.get(&key)?);
                let entry = match last {
                    Some(last) => Arc::new(new_entry(Arc::clone(&previous.key), last, revision)),
                    None => Arc::clone(&previous),
                };
                (EventKind::Delete, entry, Some(previous))
            }
        };
        let event =
            Event { kind, revision, entry: Arc::clone(&entry), previous, frame: crate::Memo::default() };
        self.state.apply(&event);
        self.events.push(Arc::new(event));
        Some(entry)
    }
}

fn new_entry(key: Arc<str>, value: NewValue, revision: Revision) -> Entry {
    let NewValue { bytes, revision_at, memo } = value;
    let value = match revision_at {
        None => bytes,
        Some(at) => {
            let digits = revision.to_string();
            let mut spliced = Vec::with_capacity(bytes.len() + digits.len());
            spliced.extend_from_slice(&bytes[..at]);
            spliced.extend_from_slice(digits.as_bytes());
            spliced.extend_from_slice(&bytes[at..]);
            spliced
        }
    };
    // Boxed, so that an entry that lives for long holds no spare capacity.
    Entry { key, revision, value: Bytes::from(value.into_boxed_slice()), memo }
}

impl Op {
    fn key(&self) -> &str {
        match self {
            Op::Put { key, .. } | Op::Delete { key, .. } | Op::Check { key, .. } => key,
        }
    }

    fn expect(&self) -> Expect {
        match self {
            Op::Put { expect, .. } | Op::Delete { expect, .. } | Op::Check { expect, .. } => *expect,
        }
    }
}

impl Expect {
    fn holds(self, current: Option<&Arc<Entry>>) -> bool {
        match self {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::Present => current.is_some(),
            Expect::Revision(revision) => current.is_some_and(|e| e.revision == revision),
        }
    }
}
