//! The tree's nodes: all leaves are at one depth; a branch knows the size of each child.

use std::sync::Arc;

use crate::Entry;

/// A node splits beyond this many. Copying a node costs a touch of every child, so it must not be large.
const CAPACITY: usize = 32;
/// A node that shrinks to this many is merged into a neighbour if there is room.
const SMALL: usize = CAPACITY / 4;
/// How full a tree is built, so that the first inserts do not split every node.
const BUILT: usize = CAPACITY - CAPACITY / 8;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Leaf),
    Branch(Branch),
}

/// Entries, with their keys beside them: a search touches the keys only.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaf {
    /// Shared, since most writes are of keys that are there already.
    keys: Arc<Vec<Arc<str>>>,
    entries: Vec<Arc<Entry>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Branch {
    children: Vec<Arc<Node>>,
    lens: Vec<usize>,
    /// No key of child `i` is below `bounds[i]`; `bounds[0]` means nothing. Shared, since few changes touch it.
    bounds: Arc<Vec<Arc<str>>>,
}

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Leaf::default())
    }
}

impl Leaf {
    fn build(entries: Vec<Arc<Entry>>) -> Self {
        Self { keys: Arc::new(entries.iter().map(|e| Arc::clone(&e.key)).collect()), entries }
    }

    pub(super) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// Where the key is, or else where it would be.
    pub(super) fn find(&self, key: &str) -> Result<usize, usize> {
        self.keys.binary_search_by(|k| (**k).cmp(key))
    }

    /// How many keys are before the boundary that `before` describes.
    pub(super) fn position(&self, before: impl Fn(&str) -> bool) -> usize {
        self.keys.partition_point(|key| before(key))
    }

    fn insert(&mut self, i: usize, entry: Arc<Entry>) {
        Arc::make_mut(&mut self.keys).insert(i, Arc::clone(&entry.key));
        self.entries.insert(i, entry);
    }

    fn remove(&mut self, i: usize) -> Arc<Entry> {
        Arc::make_mut(&mut self.keys).remove(i);
        self.entries.remove(i)
    }

    fn split_off(&mut self, at: usize) -> Leaf {
        Leaf {
            keys: Arc::new(Arc::make_mut(&mut self.keys).split_off(at)),
            entries: self.entries.split_off(at),
        }
    }

    fn append(&mut self, right: &Leaf) {
        Arc::make_mut(&mut self.keys).extend_from_slice(&right.keys);
        self.entries.extend_from_slice(&right.entries);
    }
}

impl Branch {
    pub(super) fn child(&self, i: usize) -> &Arc<Node> {
        &self.children[i]
    }

    pub(super) fn lens(&self) -> &[usize] {
        &self.lens
    }

    pub(super) fn len_before(&self, i: usize) -> usize {
        self.lens[..i].iter().sum()
    }

    /// The child in which the boundary lies that `before` describes.
    pub(super) fn position(&self, before: impl Fn(&str) -> bool) -> usize {
        self.bounds[1..].partition_point(|bound| before(bound))
    }

    fn push(&mut self, child: Arc<Node>) {
        self.lens.push(child.len());
        Arc::make_mut(&mut self.bounds).push(child.first_key());
        self.children.push(child);
    }

    fn insert_child(&mut self, i: usize, child: Arc<Node>) {
        self.lens.insert(i, child.len());
        Arc::make_mut(&mut self.bounds).insert(i, child.first_key());
        self.children.insert(i, child);
    }

    fn remove_child(&mut self, i: usize) -> Arc<Node> {
        self.lens.remove(i);
        Arc::make_mut(&mut self.bounds).remove(i);
        self.children.remove(i)
    }

    fn split_off(&mut self, at: usize) -> Branch {
        Branch {
            children: self.children.split_off(at),
            lens: self.lens.split_off(at),
            bounds: Arc::new(Arc::make_mut(&mut self.bounds).split_off(at)),
        }
    }

    /// Merges child `i`, which has become smaller, into a neighbour if it is small now.
    fn tidy(&mut self, i: usize) {
        let width = self.children[i].width();
        if width == 0 {
            self.remove_child(i);
            return;
        }
        if width > SMALL {
            return;
        }
        let fits = |j: usize| self.children.get(j).is_some_and(|n| n.width() + width <= BUILT);
        let left = if i > 0 && fits(i - 1) {
            i - 1
        } else if fits(i + 1) {
            i
        } else {
            return;
        };
        // The right one's bound is taken along: it may be below its first key, and is true nevertheless.
        let bound = Arc::clone(&self.bounds[left + 1]);
        let right = self.remove_child(left + 1);
        Arc::make_mut(&mut self.children[left]).append(&right, bound);
        self.lens[left] += right.len();
    }
}

impl Node {
    /// Makes a tree of entries in ascending order.
    pub(super) fn build(entries: Vec<Arc<Entry>>) -> Arc<Node> {
        let mut level = Vec::with_capacity(entries.len() / BUILT + 1);
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            level.push(Arc::new(Node::Leaf(Leaf::build(entries.by_ref().take(BUILT).collect()))));
        }
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len() / BUILT + 1);
            for children in level.chunks(BUILT) {
                let mut branch = Branch::default();
                for child in children {
                    branch.push(Arc::clone(child));
                }
                above.push(Arc::new(Node::Branch(branch)));
            }
            level = above;
        }
        level.pop().unwrap_or_default()
    }

    /// The node above two.
    pub(super) fn parent(left: Arc<Node>, right: Arc<Node>) -> Arc<Node> {
        let mut branch = Branch::default();
        branch.push(left);
        branch.push(right);
        Arc::new(Node::Branch(branch))
    }

    /// How many entries are in it and below it.
    pub(super) fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.entries.len(),
            Node::Branch(branch) => branch.lens.iter().sum(),
        }
    }

    /// How many entries or children it has itself.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.entries.len(),
            Node::Branch(branch) => branch.children.len(),
        }
    }

    /// What may stand in place of a root that has at most one child.
    pub(super) fn only_child(&self) -> Option<Arc<Node>> {
        match self {
            Node::Branch(branch) => match branch.children.as_slice() {
                [] => Some(Arc::default()),
                [only] => Some(Arc::clone(only)),
                _ => None,
            },
            Node::Leaf(_) => None,
        }
    }

    fn first_key(&self) -> Arc<str> {
        match self {
            Node::Leaf(leaf) => Arc::clone(&leaf.keys[0]),
            Node::Branch(branch) => branch.children[0].first_key(),
        }
    }

    fn append(&mut self, right: &Node, bound: Arc<str>) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => left.append(right),
            (Node::Branch(left), Node::Branch(right)) => {
                left.children.extend_from_slice(&right.children);
                left.lens.extend_from_slice(&right.lens);
                let bounds = Arc::make_mut(&mut left.bounds);
                bounds.push(bound);
                bounds.extend_from_slice(&right.bounds[1..]);
            }
            _ => unreachable!("all leaves are at one depth"),
        }
    }

    /// Gives the entry that had the key, and the right half if the node had to be split.
    pub(super) fn insert(this: &mut Arc<Node>, entry: Arc<Entry>) -> (Option<Arc<Entry>>, Option<Arc<Node>>) {
        match Arc::make_mut(this) {
            Node::Leaf(leaf) => match leaf.find(&entry.key) {
                Ok(i) => (Some(std::mem::replace(&mut leaf.entries[i], entry)), None),
                Err(i) => {
                    leaf.insert(i, entry);
                    let right = (leaf.entries.len() > CAPACITY).then(|| {
                        // Keys that come in ascending order leave full leaves behind.
                        let at = if i + 1 == leaf.entries.len() { i } else { leaf.entries.len() / 2 };
                        Arc::new(Node::Leaf(leaf.split_off(at)))
                    });
                    (None, right)
                }
            },
            Node::Branch(branch) => {
                let i = branch.position(|k| k <= &*entry.key);
                let (old, split) = Node::insert(&mut branch.children[i], entry);
                if old.is_none() {
                    branch.lens[i] = branch.children[i].len();
                }
                let Some(right) = split else { return (old, None) };
                branch.insert_child(i + 1, right);
                let right = (branch.children.len() > CAPACITY).then(|| {
                    let at = if i + 2 == branch.children.len() { i + 1 } else { branch.children.len() / 2 };
                    Arc::new(Node::Branch(branch.split_off(at)))
                });
                (old, right)
            }
        }
    }

    /// Takes out the entry of a key that is there.
    pub(super) fn remove(this: &mut Arc<Node>, key: &str) -> Arc<Entry> {
        match Arc::make_mut(this) {
            Node::Leaf(leaf) => {
                let i = leaf.find(key).expect("the caller has found the key");
                leaf.remove(i)
            }
            Node::Branch(branch) => {
                let i = branch.position(|k| k <= key);
                let old = Node::remove(&mut branch.children[i], key);
                branch.lens[i] -= 1;
                branch.tidy(i);
                old
            }
        }
    }

    /// Asserts what every other function here relies on; gives the depth.
    #[cfg(test)]
    pub(super) fn check_shape(&self) -> usize {
        match self {
            Node::Leaf(leaf) => {
                assert!(leaf.entries.len() <= CAPACITY && leaf.keys.is_sorted_by(|a, b| a < b));
                assert!(leaf.keys.iter().eq(leaf.entries.iter().map(|e| &e.key)));
                0
            }
            Node::Branch(branch) => {
                assert!(!branch.children.is_empty() && branch.children.len() <= CAPACITY);
                assert!(
                    branch.bounds.len() == branch.children.len()
                        && branch.lens.len() == branch.children.len()
                );
                let depths: Vec<_> = branch.children.iter().map(|n| n.check_shape()).collect();
                assert!(depths.iter().all(|d| *d == depths[0]));
                for (i, child) in branch.children.iter().enumerate() {
                    assert_eq!(branch.lens[i], child.len());
                    assert!(child.len() > 0 && (i == 0 || branch.bounds[i] <= child.first_key()));
                }
                depths[0] + 1
            }
        }
    }
}
