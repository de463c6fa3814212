//! A cordoned node takes only pods that tolerate the taint which stands for it.

use k8s_openapi::api::core::v1::Taint;
use sampan_placement::taints::tolerates;

use super::Reason;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    if !node.node.unschedulable {
        return Vec::new();
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    if tolerates(&pod.demands.tolerations, &taint) {
        return Vec::new();
    }
    vec!["node(s) were unschedulable".into()]
}
