//! Where a pod fits: one pure function a plugin, with upstream's names, order and words. A plugin says nothing when the node passes.
//!
//! Each looks at one node only, so a change of one node is worth a look at that node. Those of upstream that are not here yet: volumes, spreading, affinity among pods.

mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod taint_toleration;

use std::borrow::Cow;

pub(crate) use node_affinity::ABSENT;

use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// Why a node does not take a pod. `Insufficient NAME` is the only one that is not always the same text.
pub(crate) type Reason = Cow<'static, str>;

type Filter = fn(&PodInfo, &NodeInfo) -> Vec<Reason>;

/// In the order in which they are asked; the first one that refuses says why.
const FILTERS: [(&str, Filter); 6] = [
    ("NodeUnschedulable", node_unschedulable::filter),
    ("NodeName", node_name::filter),
    ("TaintToleration", taint_toleration::filter),
    ("NodeAffinity", node_affinity::filter),
    ("NodePorts", node_ports::filter),
    ("NodeResourcesFit", node_resources_fit::filter),
];

/// Why the node does not take the pod, and which plugin says so; `None`: it does.
pub(crate) fn refusal(pod: &PodInfo, node: &NodeInfo) -> Option<(&'static str, Vec<Reason>)> {
    FILTERS.iter().map(|(name, filter)| (*name, filter(pod, node))).find(|(_, reasons)| !reasons.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{node, pod};

    /// A name, the pod, the node, the pods that are there, and the plugin that refuses with its reasons.
    type Row<'a> = (&'a str, Value, Value, Vec<Value>, &'a [&'a str]);

    #[test]
    fn a_node_refuses_a_pod_in_upstreams_words() {
        let capacity = json!({"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi", "pods": "2", "example.org/card": "1"});
        let plain = json!({"metadata": {"name": "n1"}, "status": {"allocatable": capacity}});
        let with = |spec: Value| json!({"metadata": {"name": "n1", "labels": {"disk": "ssd"}}, "spec": spec, "status": {"allocatable": capacity}});
        let asks = |requests: Value| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}});
        let port = json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}});
        let taint = |effect: &str| json!({"taints": [{"key": "k", "value": "v", "effect": effect}]});
        let affine = json!({"spec": {"containers": [], "nodeSelector": {"disk": "hdd"}}});
        let on = |name: &str| {
            json!({"spec": {"containers": [], "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}}})
        };
        let nothing = json!({"spec": {"containers": []}});
        let named = json!({"spec": {"containers": [], "nodeName": "n2"}});
        let tolerant = json!({"spec": {"containers": [], "tolerations": [{"operator": "Exists"}]}});
        let rows: Vec<Row> = vec![
            ("nothing is asked", nothing.clone(), plain.clone(), vec![], &[]),
            (
                "another node is named",
                named,
                plain.clone(),
                vec![],
                &["NodeName", "node(s) didn't match the requested node name"],
            ),
            (
                "unschedulable",
                nothing.clone(),
                with(json!({"unschedulable": true})),
                vec![],
                &["NodeUnschedulable", "node(s) were unschedulable"],
            ),
            ("unschedulable, tolerated", tolerant.clone(), with(json!({"unschedulable": true})), vec![], &[]),
            (
                "tainted",
                nothing.clone(),
                with(taint("NoSchedule")),
                vec![],
                &["TaintToleration", "node(s) had untolerated taint(s)"],
            ),
            (
                "tainted for execution",
                nothing.clone(),
                with(taint("NoExecute")),
                vec![],
                &["TaintToleration", "node(s) had untolerated taint(s)"],
            ),
            ("tainted a little", nothing.clone(), with(taint("PreferNoSchedule")), vec![], &[]),
            ("tainted, tolerated", tolerant, with(taint("NoSchedule")), vec![], &[]),
            (
                "a label is missing",
                affine.clone(),
                plain.clone(),
                vec![],
                &["NodeAffinity", "node(s) didn't match Pod's node affinity/selector"],
            ),
            (
                "a label differs",
                affine,
                with(json!({})),
                vec![],
                &["NodeAffinity", "node(s) didn't match Pod's node affinity/selector"],
            ),
            ("its own node", on("n1"), plain.clone(), vec![], &[]),
            (
                "not its own node",
                on("n2"),
                plain.clone(),
                vec![],
                &["NodeAffinity", "node(s) didn't match Pod's node affinity/selector"],
            ),
            ("a port is free", port.clone(), plain.clone(), vec![], &[]),
            (
                "a port is taken",
                port.clone(),
                plain.clone(),
                vec![port],
                &["NodePorts", "node(s) didn't have free ports for the requested pod ports"],
            ),
            ("all of it", asks(json!({"cpu": "1", "memory": "1Gi"})), plain.clone(), vec![], &[]),
            (
                "what others left",
                asks(json!({"cpu": "501m"})),
                plain.clone(),
                vec![asks(json!({"cpu": "500m"}))],
                &["NodeResourcesFit", "Insufficient cpu"],
            ),
            (
                "several",
                asks(
                    json!({"cpu": "2", "memory": "2Gi", "ephemeral-storage": "2Gi", "example.org/card": "2"}),
                ),
                plain.clone(),
                vec![],
                &[
                    "NodeResourcesFit",
                    "Insufficient cpu",
                    "Insufficient memory",
                    "Insufficient ephemeral-storage",
                    "Insufficient example.org/card",
                ],
            ),
            (
                "what the node has not",
                asks(json!({"example.org/other": "1"})),
                plain.clone(),
                vec![],
                &["NodeResourcesFit", "Insufficient example.org/other"],
            ),
            (
                "none of what the node has not",
                asks(json!({"example.org/other": "0"})),
                plain.clone(),
                vec![],
                &[],
            ),
            (
                "too many",
                nothing.clone(),
                plain,
                vec![nothing.clone(), nothing],
                &["NodeResourcesFit", "Too many pods"],
            ),
        ];
        for (name, asking, object, there, expected) in rows {
            let mut info = NodeInfo { node: node(object), ..NodeInfo::default() };
            for (number, there) in there.into_iter().enumerate() {
                let mut there = pod(there);
                there.uid = number.to_string().into();
                info.add(Arc::new(there));
            }
            let refused = refusal(&pod(asking), &info);
            let words: Vec<_> = refused
                .iter()
                .flat_map(|(plugin, reasons)| std::iter::once(*plugin).chain(reasons.iter().map(|r| &**r)))
                .collect();
            assert_eq!(words, expected, "{name}");
        }
    }

    #[test]
    fn a_node_that_is_over_full_takes_what_asks_for_nothing_of_it() {
        let mut info = NodeInfo {
            node: node(
                json!({"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "9"}}}),
            ),
            ..NodeInfo::default()
        };
        let asks = |requests: Value| {
            pod(json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}))
        };
        info.add(Arc::new(asks(json!({"cpu": "2"}))));
        assert_eq!(refusal(&asks(json!({"memory": "1Mi"})), &info), None);
    }
}
