//! Where a pod fits best: one pure function a plugin, with upstream's names and weights; each gives a node 0 to 100.
//!
//! Those of upstream that are not here yet: spreading, affinity among pods.

mod image_locality;
mod node_affinity;
mod node_resources;
mod taint_toleration;

use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

/// The best score of a plugin.
const MAX: i64 = 100;

/// The sum of the weighted scores of each node.
pub(crate) fn scores(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot) -> Vec<i64> {
    let plugins: [(i64, Vec<i64>); 5] = [
        (3, taint_toleration::scores(pod, nodes)),
        (2, node_affinity::scores(pod, nodes)),
        (1, node_resources::least_allocated(pod, nodes)),
        (1, node_resources::balanced_allocation(pod, nodes)),
        (1, image_locality::scores(pod, nodes, snapshot)),
    ];
    let sum = |at: usize| plugins.iter().map(|(weight, scores)| weight * scores[at]).sum();
    (0..nodes.len()).map(sum).collect()
}

/// Makes the largest 100, and the others in proportion; `reverse`: the least is the best.
fn normalize(mut scores: Vec<i64>, reverse: bool) -> Vec<i64> {
    let largest = scores.iter().copied().max().unwrap_or_default();
    for score in &mut scores {
        let part = if largest == 0 { 0 } else { *score * MAX / largest };
        *score = if reverse { MAX - part } else { part };
    }
    scores
}

#[cfg(test)]
mod tests;
