//! Emptier nodes (NodeResourcesFit's LeastAllocated) and evenly used ones (NodeResourcesBalancedAllocation), by CPU and memory.

use super::MAX;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The part of each resource that is free once the pod is there, in the middle. Who requests nothing counts for something.
pub(super) fn least_allocated(pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let added = pod.demands.non_zero;
    let score = |node: &&NodeInfo| {
        let all = &node.node.allocatable;
        let free = [
            (node.non_zero.milli_cpu + added.milli_cpu, all.milli_cpu),
            (node.non_zero.memory + added.memory, all.memory),
        ];
        let parts: Vec<i64> =
            free.into_iter().filter(|(_, all)| *all > 0).map(|(used, all)| part(used, all)).collect();
        parts.iter().sum::<i64>() / i64::try_from(parts.len().max(1)).unwrap_or(1)
    };
    nodes.iter().map(score).collect()
}

fn part(used: i64, all: i64) -> i64 {
    if used > all {
        0
    } else {
        i64::try_from(i128::from(all - used) * i128::from(MAX) / i128::from(all)).unwrap_or(0)
    }
}

/// How little the used parts of CPU and memory differ. Nothing for a pod that requests neither.
pub(super) fn balanced_allocation(pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let added = &pod.demands.requests;
    if added.milli_cpu == 0 && added.memory == 0 {
        return vec![0; nodes.len()];
    }
    let score = |node: &&NodeInfo| {
        let all = &node.node.allocatable;
        let cpu = fraction(node.requested.milli_cpu + added.milli_cpu, all.milli_cpu);
        let memory = fraction(node.requested.memory + added.memory, all.memory);
        let deviation = cpu.zip(memory).map_or(0.0, |(cpu, memory)| ((cpu - memory) / 2.0).abs());
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let score = ((1.0 - deviation) * MAX as f64) as i64;
        score
    };
    nodes.iter().map(score).collect()
}

#[allow(clippy::cast_precision_loss)]
fn fraction(used: i64, all: i64) -> Option<f64> {
    (all > 0).then(|| (used as f64 / all as f64).min(1.0))
}
