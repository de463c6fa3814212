//! A pod tolerates the taints of its node that keep pods away.

use sampan_placement::taints::tolerates;

use super::Reason;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    let mut taints =
        node.node.taints.iter().filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"));
    if taints.all(|taint| tolerates(&pod.demands.tolerations, taint)) {
        return Vec::new();
    }
    vec!["node(s) had untolerated taint(s)".into()]
}
