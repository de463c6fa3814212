//! Finds keys that stand twice in a map while it is read, without a cost for maps that are sorted or small.

use std::collections::HashSet;

use sampan_model::{Str, Value};

/// Up to this many keys are compared one by one.
const FEW: usize = 24;

/// The keys of a map read so far.
#[derive(Default)]
pub(super) struct Keys {
    unsorted: bool,
    many: HashSet<Str>,
}

impl Keys {
    /// Whether `key` is among `entries`, which hold all keys asked for before (but those that were dropped).
    pub(super) fn again(&mut self, entries: &[(Str, Value)], key: &Str) -> bool {
        if !self.unsorted {
            if entries.last().is_none_or(|(last, _)| last < key) {
                return false;
            }
            self.unsorted = true;
        }
        if entries.len() <= FEW {
            return entries.iter().any(|(name, _)| name == key);
        }
        if self.many.is_empty() {
            self.many.extend(entries.iter().map(|(name, _)| name.clone()));
        }
        !self.many.insert(key.clone())
    }
}
