//! Why a store could not do what it was asked.

use std::sync::Arc;

use crate::{Entry, Revision, TransformError};

/// A failed operation. Nothing was written unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expectation did not hold.
    #[error("operation {op}: the key is not as expected")]
    Conflict {
        /// The index of the operation in the transaction.
        op: usize,
        /// The key's entry at that moment.
        current: Option<Arc<Entry>>,
    },
    /// The revision is older than the history.
    #[error("revision {requested} has been compacted; the oldest is {oldest}")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest that can be had.
        oldest: Revision,
    },
    /// The revision has not been reached yet.
    #[error("revision {requested} is in the future; the newest is {newest}")]
    Future {
        /// The revision asked for.
        requested: Revision,
        /// The newest.
        newest: Revision,
    },
    /// The watcher read too slowly and was ended; it may resume after the last revision that it saw.
    #[error("the watcher fell behind by more than {limit} {unit}")]
    SlowWatcher {
        /// How many may wait for one watcher.
        limit: usize,
        /// Events or bytes.
        unit: &'static str,
    },
    /// The transaction makes no sense, whatever the state.
    #[error("the transaction is not valid: {0}")]
    InvalidTxn(&'static str),
    /// Too many commits wait already.
    #[error("{waiting} commits are waiting to be written")]
    Overloaded {
        /// How many.
        waiting: usize,
    },
    /// Another process has the data directory open.
    #[error("the data directory {0} is in use by another process")]
    InUse(std::path::PathBuf),
    /// What is on the disk cannot be read.
    #[error("{path}: {detail}")]
    Corrupt {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A value could not be made ready for the disk.
    #[error("the value of {key:?} cannot be written")]
    Seal {
        /// The key.
        key: Arc<str>,
        /// Why.
        #[source]
        source: TransformError,
    },
    /// A value on the disk cannot be opened. Nothing on the disk was changed.
    #[error("unable to transform key {key:?} of revision {revision}{}", Others(*others))]
    Unreadable {
        /// The first such key.
        key: Arc<str>,
        /// The revision of its value.
        revision: Revision,
        /// How many other keys there are whose values cannot be opened.
        others: usize,
        /// Why the first one cannot.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The engine failed; whether a commit in flight was written is not known.
    #[error("the storage engine failed")]
    Engine(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// The same failure, for another who waited for the same thing.
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::Engine(source) => Self::Engine(Arc::clone(source)),
            Self::Corrupt { path, detail } => Self::Corrupt { path: path.clone(), detail: detail.clone() },
            Self::Unreadable { key, revision, others, source } => Self::Unreadable {
                key: Arc::clone(key),
                revision: *revision,
                others: *others,
                source: Arc::clone(source),
            },
            _ => Self::Closed,
        }
    }
}

/// How many keys besides the one that was named, in words.
struct Others(usize);

impl std::fmt::Display for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            n => write!(f, " (and of {n} more)"),
        }
    }
}

/// Why a store takes no commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unhealthy {
    /// It was closed, or its writer has failed for good.
    #[error("the store is closed")]
    Ended,
    /// The disk has failed, and cannot be read again yet.
    #[error("what the disk holds is not known after a failure")]
    Unsound,
    /// Commits take too long.
    #[error("the disk does not answer")]
    Slow,
    /// Commits have failed lately.
    #[error("the last commits could not be written")]
    Failing,
}
