//! Transactions that are applied to a private state, on their way to the log.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::state::State;
use crate::{
    Committed, Entry, Error, Event, EventKind, Expect, NewValue, Op, Revision, Transform, TransformError, Txn,
};

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
pub(super) struct Pending<'t> {
    pub(super) state: State,
    pub(super) events: Vec<Arc<Event>>,
    pub(super) sealed: Sealed,
    /// `None`: values are written as they are.
    transform: Option<&'t dyn Transform>,
}

/// What is written for some events instead of their values, by the place of the event, ascending. `None`: no value.
pub(super) type Sealed = Vec<(usize, Option<Vec<u8>>)>;

impl<'t> Pending<'t> {
    pub(super) fn new(state: State, transform: Option<&'t dyn Transform>) -> Self {
        Self { state, events: Vec::new(), sealed: Vec::new(), transform }
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
        let revision = self.state.revision + 1;
        // A value that cannot be sealed takes back what was done before it. One operation does nothing before it.
        let undo = (self.transform.is_some() && txn.ops.len() > 1)
            .then(|| (self.state.clone(), self.events.len(), self.sealed.len()));
        let entries = txn.ops.into_iter().map(|op| self.apply_op(op, revision)).collect::<Result<_, _>>();
        if entries.is_err()
            && let Some((state, events, sealed)) = undo
        {
            self.state = state;
            self.events.truncate(events);
            self.sealed.truncate(sealed);
        }
        Ok(Committed { revision: self.state.revision, entries: entries? })
    }

    fn apply_op(&mut self, op: Op, revision: Revision) -> Result<Option<Arc<Entry>>, Error> {
        let place = self.events.len();
        let (kind, entry, previous) = match op {
            Op::Check { .. } => return Ok(None),
            Op::Put { key, value, .. } => {
                let previous = self.state.get(&key).cloned();
                // One allocation for a key, however often it is written.
                let key = previous.as_ref().map_or(key, |e| Arc::clone(&e.key));
                let mut entry = new_entry(key, value, revision);
                match seal(self.transform, &mut entry) {
                    Ok(Some(bytes)) => self.sealed.push((place, Some(bytes))),
                    Ok(None) => {}
                    Err(source) => return Err(Error::Seal { key: entry.key, source }),
                }
                (EventKind::Put, Arc::new(entry), previous)
            }
            Op::Delete { key, last, .. } => {
                let Some(previous) = self.state.get(&key).cloned() else { return Ok(None) };
                let entry = match last {
                    Some(last) => {
                        let mut entry = new_entry(Arc::clone(&previous.key), last, revision);
                        match seal(self.transform, &mut entry) {
                            Ok(Some(bytes)) => self.sealed.push((place, Some(bytes))),
                            Ok(None) => {}
                            // Whatever keeps a value from being written, it can be removed. After a restart
                            // the event shows the value as it was before.
                            Err(_) => self.sealed.push((place, None)),
                        }
                        Arc::new(entry)
                    }
                    None => Arc::clone(&previous),
                };
                (EventKind::Delete, entry, Some(previous))
            }
        };
        let event =
            Event { kind, revision, entry: Arc::clone(&entry), previous, frame: crate::Memo::default() };
        self.state.apply(&event);
        self.events.push(Arc::new(event));
        Ok(Some(entry))
    }
}

/// What is written instead of the entry's value, whose form is noted in the entry.
fn seal(transform: Option<&dyn Transform>, entry: &mut Entry) -> Result<Option<Vec<u8>>, TransformError> {
    let Some(transform) = transform else { return Ok(None) };
    let Some(sealed) = transform.seal(&entry.key, &entry.value)? else { return Ok(None) };
    entry.form = Some(sealed.form);
    Ok(Some(sealed.bytes))
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
    Entry { key, revision, value: Bytes::from(value.into_boxed_slice()), form: None, memo }
}

impl Op {
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
