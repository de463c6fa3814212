//! A walk over the tree from one position to another.

use std::sync::Arc;

use crate::Entry;

use super::node::{Branch, Node};

/// Entries in key order. Its length is known from the start.
#[derive(Clone, Debug, Default)]
pub struct Range<'a> {
    /// The branches above the leaf, each with the child to visit next.
    above: Vec<(&'a Branch, usize)>,
    leaf: std::slice::Iter<'a, Arc<Entry>>,
    left: usize,
}

impl<'a> Range<'a> {
    pub(super) fn new(root: &'a Arc<Node>, mut start: usize, end: usize) -> Self {
        let mut range = Self { left: end.saturating_sub(start), ..Self::default() };
        if range.left == 0 {
            return range;
        }
        let mut node = root;
        loop {
            match &**node {
                Node::Leaf(leaf) => {
                    range.leaf = leaf.entries()[start..].iter();
                    return range;
                }
                Node::Branch(branch) => {
                    let mut i = 0;
                    while start >= branch.lens()[i] {
                        start -= branch.lens()[i];
                        i += 1;
                    }
                    range.above.push((branch, i + 1));
                    node = branch.child(i);
                }
            }
        }
    }

    fn next_leaf(&mut self) {
        while let Some((branch, next)) = self.above.pop() {
            if next == branch.lens().len() {
                continue;
            }
            self.above.push((branch, next + 1));
            let mut node = branch.child(next);
            loop {
                match &**node {
                    Node::Leaf(leaf) => {
                        self.leaf = leaf.entries().iter();
                        return;
                    }
                    Node::Branch(branch) => {
                        self.above.push((branch, 1));
                        node = branch.child(0);
                    }
                }
            }
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a Arc<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if let Some(entry) = self.leaf.next() {
            return Some(entry);
        }
        self.next_leaf();
        self.leaf.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Range<'_> {}
