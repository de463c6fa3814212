//! Finding what stands twice in a list, in a time that grows with the list and not with its square.

use std::collections::HashSet;
use std::hash::Hash;

/// So many are compared one by one: most lists are no longer, and need no set.
const FEW: usize = 16;

/// What of a list was seen already.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    few: Vec<T>,
    many: HashSet<T>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { few: Vec::new(), many: HashSet::new() }
    }
}

impl<T: Hash + Eq> Seen<T> {
    /// Whether it was seen.
    pub(crate) fn has(&self, item: &T) -> bool {
        if self.many.is_empty() { self.few.contains(item) } else { self.many.contains(item) }
    }

    /// How many different ones were seen.
    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// Whether it was seen before; it is from now on.
    pub(crate) fn again(&mut self, item: T) -> bool {
        if !self.many.is_empty() {
            return !self.many.insert(item);
        }
        if self.few.contains(&item) {
            return true;
        }
        self.few.push(item);
        if self.few.len() > FEW {
            self.many.extend(self.few.drain(..));
        }
        false
    }
}

impl<T: Hash + Eq> Extend<T> for Seen<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.again(item);
        }
    }
}

impl<T: Hash + Eq> FromIterator<T> for Seen<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut seen = Self::default();
        seen.extend(items);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_twice_is_noticed_in_short_lists_and_in_long_ones() {
        for length in [1, FEW, FEW + 1, 1000] {
            let mut seen: Seen<usize> = (0..length).collect();
            assert!((0..length).all(|n| seen.has(&n) && seen.again(n)), "{length}");
            assert!(!seen.has(&length) && !seen.again(length) && seen.again(length), "{length}");
        }
    }
}
