//! The more of a pod's images a node has, and the larger they are, the better. An image that few nodes have counts less, so that not all pods go to one node.

use super::MAX;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

/// Less is pulled in no time; more than this, for each container, is not worth more.
const LEAST: i64 = 23 << 20;
const MOST: i64 = 1000 << 20;

pub(super) fn scores(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot) -> Vec<i64> {
    let images = &pod.demands.images;
    let most = MOST * i64::try_from(images.len().max(1)).unwrap_or(1);
    let spread = |image: &String| ratio(snapshot.nodes_with(image), snapshot.nodes().len());
    let spreads: Vec<f64> = images.iter().map(spread).collect();
    let score = |node: &&NodeInfo| {
        let there = images.iter().zip(&spreads).filter_map(|(image, spread)| {
            let size = *node.node.images.get(image)?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
            let counted = (size as f64 * spread) as i64;
            Some(counted)
        });
        let sum = there.sum::<i64>().clamp(LEAST, most);
        MAX * (sum - LEAST) / (most - LEAST)
    };
    nodes.iter().map(score).collect()
}

#[allow(clippy::cast_precision_loss)]
fn ratio(some: usize, all: usize) -> f64 {
    some as f64 / all.max(1) as f64
}
