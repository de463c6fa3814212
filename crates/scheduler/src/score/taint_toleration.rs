//! The fewer `PreferNoSchedule` taints are not tolerated, the better.

use k8s_openapi::api::core::v1::Toleration;
use sampan_placement::taints::tolerates;

use crate::node::NodeInfo;
use crate::pod::PodInfo;

const EFFECT: &str = "PreferNoSchedule";

pub(super) fn scores(pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let is_for =
        |t: &&Toleration| t.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == EFFECT);
    let tolerations: Vec<_> = pod.demands.tolerations.iter().filter(is_for).cloned().collect();
    let count = |node: &&NodeInfo| {
        let taints = node.node.taints.iter().filter(|taint| taint.effect == EFFECT);
        i64::try_from(taints.filter(|taint| !tolerates(&tolerations, taint)).count()).unwrap_or(i64::MAX)
    };
    super::normalize(nodes.iter().map(count).collect(), true)
}
