//! `nodeSelector` and required node affinity.

use super::Reason;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// What is said of the nodes that need no look, since the pod names others.
pub(crate) const ABSENT: &str = "node(s) didn't satisfy plugin(s) [NodeAffinity]";

pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    if pod.demands.required.matches(&node.node.name, &node.node.labels) {
        return Vec::new();
    }
    vec!["node(s) didn't match Pod's node affinity/selector".into()]
}
