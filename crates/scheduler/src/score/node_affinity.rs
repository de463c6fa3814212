//! The weights of the preferred terms that match.

use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) fn scores(pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let preferred = &pod.demands.preferred;
    let sum = |node: &&NodeInfo| {
        preferred
            .iter()
            .filter(|(_, term)| term.matches(&node.node.name, &node.node.labels))
            .map(|(weight, _)| weight)
            .sum()
    };
    super::normalize(nodes.iter().map(sum).collect(), false)
}
