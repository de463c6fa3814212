//! A pod that names a node goes nowhere else.

use super::Reason;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    match &pod.node {
        Some(name) if *name != node.node.name => vec!["node(s) didn't match the requested node name".into()],
        _ => Vec::new(),
    }
}
