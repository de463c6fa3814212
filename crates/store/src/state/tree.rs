//! A persistent B+ tree of entries that knows how many keys lie before any other.
//!
//! `imbl::OrdMap` would do but for two things: it can count a range only by walking it, which every page
//! of a list asks for, and it walks half as fast. Cloning a [`Tree`] costs a reference
//! count; changing it copies only the nodes on the way to the change that another clone still holds.

mod node;
mod range;

use std::sync::Arc;

use crate::Entry;

use node::Node;
pub use range::Range;

#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    root: Arc<Node>,
}

impl Tree {
    /// Makes a tree of entries in strictly ascending order of their keys.
    pub(super) fn build(entries: Vec<Arc<Entry>>) -> Self {
        Self { root: Node::build(entries) }
    }

    pub(super) fn len(&self) -> usize {
        self.root.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(leaf) => {
                    return leaf.find(key).ok().map(|i| &leaf.entries()[i]);
                }
                Node::Branch(branch) => node = branch.child(branch.position(|k| k <= key)),
            }
        }
    }

    /// How many keys are `before` a boundary. `before` must hold for every key up to some point, and for none after.
    pub(super) fn rank(&self, before: impl Fn(&str) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match &**node {
                Node::Leaf(leaf) => return rank + leaf.position(&before),
                Node::Branch(branch) => {
                    let i = branch.position(&before);
                    rank += branch.len_before(i);
                    node = branch.child(i);
                }
            }
        }
    }

    /// The entries at the positions from `start` up to `end`, in order.
    pub(super) fn range(&self, start: usize, end: usize) -> Range<'_> {
        Range::new(&self.root, start, end.min(self.len()))
    }

    /// Puts an entry in; gives the one that had its key.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let (old, split) = Node::insert(&mut self.root, entry);
        if let Some(right) = split {
            let left = std::mem::take(&mut self.root);
            self.root = Node::parent(left, right);
        }
        old
    }

    /// Takes the entry of `key` out.
    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<Entry>> {
        self.get(key)?; // so that nothing is copied for a key that is not there
        let old = Node::remove(&mut self.root, key);
        while let Some(only) = self.root.only_child() {
            self.root = only;
        }
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(key: &str, revision: u64) -> Arc<Entry> {
        Arc::new(Entry {
            key: key.into(),
            revision,
            value: bytes::Bytes::new(),
            form: None,
            memo: crate::Memo::default(),
        })
    }

    fn check(tree: &Tree, model: &BTreeMap<String, u64>, probe: &str) {
        tree.root.check_shape();
        assert_eq!(tree.len(), model.len());
        let all: Vec<_> = tree.range(0, tree.len()).map(|e| (e.key.to_string(), e.revision)).collect();
        let expected: Vec<_> = model.iter().map(|(k, r)| (k.clone(), *r)).collect();
        assert_eq!(all, expected);
        assert_eq!(tree.get(probe).map(|e| e.revision), model.get(probe).copied());
        let rank = tree.rank(|k| k < probe);
        assert_eq!(rank, model.range(..probe.to_owned()).count());
        let tail: Vec<_> = tree.range(rank, tree.len()).map(|e| e.revision).collect();
        let expected: Vec<_> = model.range(probe.to_owned()..).map(|(_, r)| *r).collect();
        assert_eq!(tail, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_tree_is_what_an_ordered_map_is(
            built in 0..3000_u32,
            steps in prop::collection::vec((prop::bool::weighted(0.35), 0..2000_u32), 0..3000),
        ) {
            let mut model: BTreeMap<String, u64> = (0..built).map(|n| (format!("/k/{:05}", n * 2), 0)).collect();
            let mut tree = Tree::build(model.keys().map(|k| entry(k, 0)).collect());
            let (before, before_model) = (tree.clone(), model.clone());
            for (n, (put, key)) in steps.iter().enumerate() {
                let key = format!("/k/{key:05}");
                let old = if *put {
                    prop_assert_eq!(model.insert(key.clone(), n as u64), tree.get(&key).map(|e| e.revision));
                    tree.insert(entry(&key, n as u64));
                    continue;
                } else {
                    tree.remove(&key)
                };
                prop_assert_eq!(model.remove(&key), old.map(|e| e.revision));
            }
            check(&tree, &model, "/k/00777");
            check(&before, &before_model, "/k/01000");
        }
    }

    #[test]
    fn a_tree_grows_from_nothing_in_ascending_order_and_shrinks_to_nothing() {
        let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
        for n in 0..5000 {
            let key = format!("/k/{n:05}");
            tree.insert(entry(&key, n));
            model.insert(key, n);
        }
        check(&tree, &model, "/k/02500");
        for n in 0..5000 {
            assert!(tree.remove(&format!("/k/{n:05}")).is_some());
        }
        check(&tree, &BTreeMap::new(), "");
    }
}
