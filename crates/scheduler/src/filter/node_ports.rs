//! Ports of the node that a pod takes are free.

use super::Reason;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    let wanted = &pod.demands.ports;
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut taken = node.pods.values().flat_map(|pod| &pod.demands.ports);
    if taken.any(|taken| wanted.iter().any(|port| port.conflicts(taken))) {
        return vec!["node(s) didn't have free ports for the requested pod ports".into()];
    }
    Vec::new()
}
