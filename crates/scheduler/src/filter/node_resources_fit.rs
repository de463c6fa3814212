//! What a pod requests is free on the node, and there is room for one more pod.

use super::Reason;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// Says everything that is lacking, not only the first.
pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    let mut lacking = Vec::new();
    if i64::try_from(node.pods.len()).is_ok_and(|pods| pods >= node.node.max_pods) {
        lacking.push("Too many pods".into());
    }
    let (wanted, all, taken) = (&pod.demands.requests, &node.node.allocatable, &node.requested);
    let insufficient = wanted.lacking(all, taken).into_iter();
    lacking.extend(insufficient.map(|lack| format!("Insufficient {}", lack.resource).into()));
    lacking
}
