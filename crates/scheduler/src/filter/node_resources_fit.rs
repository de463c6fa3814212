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
    // What is not asked for is not looked at: the node may be over full.
    let lacks = |wanted: i64, all: i64, taken: i64| wanted > 0 && wanted > all.saturating_sub(taken);
    if lacks(wanted.milli_cpu, all.milli_cpu, taken.milli_cpu) {
        lacking.push("Insufficient cpu".into());
    }
    if lacks(wanted.memory, all.memory, taken.memory) {
        lacking.push("Insufficient memory".into());
    }
    if lacks(wanted.ephemeral_storage, all.ephemeral_storage, taken.ephemeral_storage) {
        lacking.push("Insufficient ephemeral-storage".into());
    }
    for (name, amount) in &wanted.scalars {
        let of = |resources: &crate::resources::Resources| {
            resources.scalars.get(name).copied().unwrap_or_default()
        };
        if lacks(*amount, of(all), of(taken)) {
            lacking.push(format!("Insufficient {name}").into());
        }
    }
    lacking
}
