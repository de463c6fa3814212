//! All nodes with what their pods take, kept up pod by pod: also with pods that were given a node whose binding the API has not told yet. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::node::{Node, NodeInfo};
use crate::pod::{PodInfo, Uid};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    nodes: Vec<NodeInfo>,
    index: HashMap<Arc<str>, usize>,
    /// The node of each pod.
    places: HashMap<Uid, Arc<str>>,
    /// Pods of nodes that are not known (yet, or any more).
    strays: HashMap<Arc<str>, NodeInfo>,
    /// On how many nodes an image is.
    images: HashMap<String, usize>,
}

impl Snapshot {
    pub(crate) fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    pub(crate) fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).map(|at| &self.nodes[*at])
    }

    /// On how many nodes an image is.
    pub(crate) fn nodes_with(&self, image: &str) -> usize {
        self.images.get(image).copied().unwrap_or_default()
    }

    /// A node that came or changed. Whether pods that fitted nowhere may fit there now.
    pub(crate) fn set_node(&mut self, node: Node) -> bool {
        let name = Arc::clone(&node.name);
        for image in node.images.keys() {
            *self.images.entry(image.clone()).or_default() += 1;
        }
        if let Some(at) = self.index.get(&name).copied() {
            let before = std::mem::take(&mut self.nodes[at].node.images);
            self.forget_images(before.keys());
            return self.nodes[at].update(node);
        }
        let info = NodeInfo { node, ..self.strays.remove(&name).unwrap_or_default() };
        self.index.insert(name, self.nodes.len());
        self.nodes.push(info);
        true
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        let Some(at) = self.index.remove(name) else { return };
        let mut info = self.nodes.swap_remove(at);
        if let Some(moved) = self.nodes.get(at) {
            self.index.insert(Arc::clone(&moved.node.name), at);
        }
        let node = std::mem::take(&mut info.node);
        self.forget_images(node.images.keys());
        if !info.pods.is_empty() {
            self.strays.insert(node.name, info);
        }
    }

    /// The names of all nodes.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.index.keys().cloned().collect()
    }

    /// The pods that have a node.
    pub(crate) fn pods(&self) -> Vec<Uid> {
        self.places.keys().cloned().collect()
    }

    fn forget_images<'a>(&mut self, images: impl Iterator<Item = &'a String>) {
        for image in images {
            if let Some(count) = self.images.get_mut(image) {
                *count -= 1;
                if *count == 0 {
                    self.images.remove(image);
                }
            }
        }
    }

    /// A pod that has a node, or a newer version of it. The node on which it took more before, if there is one.
    pub(crate) fn place(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) -> Option<Arc<str>> {
        let before = self.remove_pod(&pod.uid);
        let freed = before.filter(|(was, old)| was != node || old.demands != pod.demands).map(|(was, _)| was);
        self.places.insert(Arc::clone(&pod.uid), Arc::clone(node));
        match self.index.get(node) {
            Some(at) => self.nodes[*at].add(pod),
            None => self.strays.entry(Arc::clone(node)).or_default().add(pod),
        }
        freed
    }

    /// A pod that is gone, and the node where it was.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> Option<(Arc<str>, Arc<PodInfo>)> {
        let node = self.places.remove(uid)?;
        let removed = if let Some(at) = self.index.get(&node) {
            self.nodes[*at].remove(uid)
        } else {
            let info = self.strays.get_mut(&node)?;
            let removed = info.remove(uid);
            if info.pods.is_empty() {
                self.strays.remove(&node);
            }
            removed
        };
        Some((node, removed?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{node, pod};

    fn taken(snapshot: &Snapshot, name: &str) -> Option<(i64, usize)> {
        snapshot.node(name).map(|n| (n.requested.milli_cpu, n.pods.len()))
    }

    fn named(name: &str) -> Node {
        node(json!({"metadata": {"name": name}}))
    }

    fn asking(uid: &str, cpu: &str) -> Arc<PodInfo> {
        Arc::new(pod(json!({"metadata": {"uid": uid},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})))
    }

    #[test]
    fn a_node_knows_what_its_pods_take_whoever_comes_first() {
        let mut snapshot = Snapshot::default();
        let (n1, n2): (Arc<str>, Arc<str>) = ("n1".into(), "n2".into());
        assert_eq!(snapshot.place(asking("a", "1"), &n1), None);
        assert!(snapshot.set_node(named("n1")), "a new node may help");
        assert_eq!(taken(&snapshot, "n1"), Some((1000, 1)));
        assert_eq!(snapshot.place(asking("a", "1"), &n1), None, "nothing changed");
        assert_eq!(snapshot.place(asking("a", "500m"), &n1), Some(n1.clone()), "it shrank");
        assert_eq!(taken(&snapshot, "n1"), Some((500, 1)));
        snapshot.set_node(named("n2"));
        assert_eq!(snapshot.place(asking("a", "500m"), &n2), Some(n1.clone()), "it is elsewhere after all");
        assert_eq!((taken(&snapshot, "n1"), taken(&snapshot, "n2")), (Some((0, 0)), Some((500, 1))));
        snapshot.remove_node("n1");
        assert_eq!((taken(&snapshot, "n1"), taken(&snapshot, "n2")), (None, Some((500, 1))));
        snapshot.remove_node("n2");
        snapshot.set_node(named("n2"));
        assert_eq!(taken(&snapshot, "n2"), Some((500, 1)), "its pods were not lost with it");
        assert_eq!(snapshot.remove_pod("a").map(|(node, _)| node), Some(n2));
        assert!(snapshot.remove_pod("a").is_none());
        assert_eq!(taken(&snapshot, "n2"), Some((0, 0)));
    }

    #[test]
    fn images_are_counted_by_nodes() {
        let mut snapshot = Snapshot::default();
        let with = |name: &str, images: &[&str]| {
            node(
                json!({"metadata": {"name": name}, "status": {"images": [{"names": images, "sizeBytes": 5}]}}),
            )
        };
        snapshot.set_node(with("n1", &["a", "b"]));
        snapshot.set_node(with("n2", &["a"]));
        assert_eq!((snapshot.nodes_with("a"), snapshot.nodes_with("b")), (2, 1));
        assert!(!snapshot.set_node(with("n1", &["a"])), "an image lets no pod in");
        snapshot.remove_node("n2");
        assert_eq!((snapshot.nodes_with("a"), snapshot.nodes_with("b")), (1, 0));
    }
}
