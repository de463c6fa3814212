//! One key's current value in a snapshot.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{Form, Revision};

/// A key with its value, as of `revision`. Shared by every snapshot that contains it.
#[derive(Debug)]
pub struct Entry {
    /// The full key.
    pub key: Arc<str>,
    /// The revision of the commit that wrote this value.
    pub revision: Revision,
    /// The value, with its revision spliced in.
    pub value: Bytes,
    /// In which form the value lies on the disk; `None`: as it is.
    pub form: Option<Form>,
    /// Whatever a reader derived from the value.
    pub memo: Memo,
}

/// A place for what a reader derives from an entry's value (its labels, say), so that it is derived
/// once. The store carries it and never looks in.
#[derive(Default, Clone)]
pub struct Memo(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Memo {
    /// A memo that is filled already.
    pub fn filled<T: Any + Send + Sync>(value: Arc<T>) -> Self {
        Self(OnceLock::from(value as Arc<dyn Any + Send + Sync>))
    }

    /// What was kept, or else what `derive` makes, which is then kept. `None` if another type is kept.
    pub fn get_or_init<T: Any + Send + Sync>(&self, derive: impl FnOnce() -> Arc<T>) -> Option<&T> {
        self.0.get_or_init(|| derive() as Arc<dyn Any + Send + Sync>).downcast_ref()
    }
}

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.get().is_some() { "Memo(filled)" } else { "Memo(empty)" })
    }
}
