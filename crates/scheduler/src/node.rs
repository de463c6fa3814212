//! What the scheduler knows of a node, and what the pods on it take. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node as Object, Taint};
use sampan_placement::resources::parse;
use sampan_placement::{NonZero, Resources};

use crate::pod::{PodInfo, Uid};

/// A node: what decisions look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Resources,
    pub(crate) max_pods: i64,
    /// Sizes in bytes of the images that are there.
    pub(crate) images: HashMap<String, i64>,
}

impl Node {
    pub(crate) fn new(node: &Object) -> Option<Self> {
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        let allocatable = status.and_then(|s| s.allocatable.as_ref());
        let images = status.and_then(|s| s.images.as_deref()).unwrap_or_default();
        let sizes = images.iter().flat_map(|image| {
            image.names.iter().flatten().map(|name| (name.clone(), image.size_bytes.unwrap_or_default()))
        });
        Some(Self {
            name: node.metadata.name.as_deref()?.into(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|s| s.taints.clone()).unwrap_or_default(),
            unschedulable: spec.and_then(|s| s.unschedulable).unwrap_or_default(),
            allocatable: allocatable.map(Resources::of).unwrap_or_default(),
            max_pods: allocatable.and_then(|a| a.get("pods")).map_or(0, |q| parse(q).value()),
            images: sizes.collect(),
        })
    }

    /// Whether a pod that did not fit before may fit now. Images and conditions let no pod in.
    fn may_help(&self, before: &Self) -> bool {
        self.labels != before.labels
            || self.taints != before.taints
            || self.unschedulable != before.unschedulable
            || self.allocatable != before.allocatable
            || self.max_pods != before.max_pods
    }
}

/// A node with its pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeInfo {
    pub(crate) node: Node,
    pub(crate) pods: HashMap<Uid, Arc<PodInfo>>,
    pub(crate) requested: Resources,
    pub(crate) non_zero: NonZero,
}

impl NodeInfo {
    /// A newer version of the node. Whether pods that did not fit may fit now.
    pub(crate) fn update(&mut self, node: Node) -> bool {
        let helps = node.may_help(&self.node);
        self.node = node;
        helps
    }

    pub(crate) fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.demands.requests);
        self.non_zero.milli_cpu += pod.demands.non_zero.milli_cpu;
        self.non_zero.memory += pod.demands.non_zero.memory;
        self.pods.insert(Arc::clone(&pod.uid), pod);
    }

    pub(crate) fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.subtract(&pod.demands.requests);
        self.non_zero.milli_cpu -= pod.demands.non_zero.milli_cpu;
        self.non_zero.memory -= pod.demands.non_zero.memory;
        Some(pod)
    }
}
