//! The labels of a node that the node itself may not set: those that place workloads.

use std::collections::BTreeSet;

use sampan_model::Map;

/// For labels that isolate nodes: no node sets them.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Namespaces of labels that are left to nodes.
const OPEN: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// What a kubelet says of its machine.
const KUBELET: [&str; 13] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

/// The labels that differ and that a node may not change, in order.
pub(super) fn forbidden(new: Option<&Map>, old: Option<&Map>) -> Vec<String> {
    let get = |labels: Option<&Map>, key: &str| labels.and_then(|l| l.get(key)).cloned();
    let keys =
        |labels: Option<&Map>| labels.map(|l| l.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let all: BTreeSet<_> = keys(new).into_iter().chain(keys(old)).collect();
    all.into_iter()
        .filter(|key| get(new, key) != get(old, key) && is_forbidden(key))
        .map(|key| key.to_string())
        .collect()
}

fn is_forbidden(label: &str) -> bool {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |domain: &str| {
        namespace.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let kubernetes = within("kubernetes.io") || within("k8s.io");
    within(RESTRICTED) || (kubernetes && !KUBELET.contains(&label) && !OPEN.iter().any(|d| within(d)))
}
