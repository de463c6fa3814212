//! What a writer asks for, and what it is told.

use std::sync::Arc;

use crate::{Entry, Memo, Revision};

/// Operations that are applied together at one revision, or not at all.
#[derive(Debug, Default)]
pub struct Txn {
    /// In order; a key may occur once.
    pub ops: Vec<Op>,
}

/// One operation on one key.
#[derive(Debug)]
pub enum Op {
    /// Writes a value.
    Put {
        /// The full key.
        key: Arc<str>,
        /// What must be true of the key before.
        expect: Expect,
        /// The value to write.
        value: NewValue,
    },
    /// Removes a key. Watchers see the last value, with the revision of the deletion spliced in if `last` is given.
    Delete {
        /// The full key.
        key: Arc<str>,
        /// What must be true of the key before.
        expect: Expect,
        /// The value that the deletion event carries; without it, the value as it was last written.
        last: Option<NewValue>,
    },
    /// Changes nothing; fails the transaction when the expectation does not hold.
    Check {
        /// The full key.
        key: Arc<str>,
        /// What must be true of the key.
        expect: Expect,
    },
}

impl Op {
    /// The key that it is about.
    pub fn key(&self) -> &str {
        let (Op::Put { key, .. } | Op::Delete { key, .. } | Op::Check { key, .. }) = self;
        key
    }
}

/// A condition on a key at the moment of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing is expected.
    Any,
    /// The key must not exist.
    Absent,
    /// The key must exist.
    Present,
    /// The key must exist with exactly this revision.
    Revision(Revision),
}

/// A value whose revision is not known yet.
#[derive(Debug, Default)]
pub struct NewValue {
    /// The bytes without the revision.
    pub bytes: Vec<u8>,
    /// Where the commit inserts its revision in decimal digits; `None`: nowhere.
    pub revision_at: Option<usize>,
    /// What the entry's memo starts with.
    pub memo: Memo,
}

/// The outcome of a commit.
#[derive(Debug)]
pub struct Committed {
    /// The revision of the commit.
    pub revision: Revision,
    /// One entry an operation, in order: as written by a put, as the event carries it for a deletion
    /// (its last value), `None` for a check and for a deletion of an absent key.
    pub entries: Vec<Option<Arc<Entry>>>,
}
