//! Which node a pod gets, or why it gets none. Pure: chance is an argument.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::filter::{self, Reason};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::score;
use crate::snapshot::Snapshot;

/// So many nodes that fit are enough, however many there are: upstream's `minFeasibleNodesToFind`.
const ENOUGH: usize = 100;

/// Why no node takes a pod. Its text is that of the condition and the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unfit {
    nodes: usize,
    reasons: BTreeMap<Reason, usize>,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        write!(f, "0/{} nodes are available:", self.nodes)?;
        let mut reasons: Vec<_> = self.reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
        reasons.sort_unstable();
        write!(f, " {}.", reasons.join(", "))
    }
}

/// How a decision is made.
pub(crate) struct How<'a> {
    /// With which node the look begins: each pod begins where the one before ended, so that all nodes are looked at alike.
    pub(crate) start: &'a mut usize,
    /// Upstream's `percentageOfNodesToScore`; 0: by the size of the cluster.
    pub(crate) percentage: u32,
    /// Picks a number below its argument.
    pub(crate) pick: &'a mut dyn FnMut(usize) -> usize,
}

/// The node for a pod.
pub(crate) fn decide(snapshot: &Snapshot, pod: &PodInfo, how: &mut How<'_>) -> Result<Arc<str>, Unfit> {
    let fitting = match pod.demands.required.only() {
        Some(names) => named(snapshot, pod, &names)?,
        None => look(snapshot, pod, how.start, how.percentage)?,
    };
    let best = match fitting.as_slice() {
        [only] => only,
        several => several[best(&score::scores(pod, several, snapshot), how.pick)],
    };
    Ok(Arc::clone(&best.node.name))
}

/// Looks only at the nodes that the pod names.
fn named<'a>(snapshot: &'a Snapshot, pod: &PodInfo, names: &[&str]) -> Result<Vec<&'a NodeInfo>, Unfit> {
    let there: Vec<_> = names.iter().filter_map(|name| snapshot.node(name)).collect();
    let mut unfit = Unfit { nodes: snapshot.nodes().len(), reasons: BTreeMap::new() };
    if there.len() < unfit.nodes {
        unfit.reasons.insert(filter::ABSENT.into(), unfit.nodes - there.len());
    }
    let fitting: Vec<_> = there.into_iter().filter(|node| unfit.accepts(pod, node)).collect();
    if fitting.is_empty() { Err(unfit) } else { Ok(fitting) }
}

/// Looks at the nodes from `start` on until enough of them fit.
fn look<'a>(
    snapshot: &'a Snapshot,
    pod: &PodInfo,
    start: &mut usize,
    percentage: u32,
) -> Result<Vec<&'a NodeInfo>, Unfit> {
    let nodes = snapshot.nodes();
    let mut unfit = Unfit { nodes: nodes.len(), reasons: BTreeMap::new() };
    let enough = enough(nodes.len(), percentage);
    let first = *start % nodes.len().max(1);
    let mut fitting = Vec::with_capacity(enough.min(nodes.len()));
    let mut looked = 0;
    for node in nodes[first..].iter().chain(&nodes[..first]) {
        looked += 1;
        if unfit.accepts(pod, node) {
            fitting.push(node);
            if fitting.len() >= enough {
                break;
            }
        }
    }
    *start = (first + looked) % nodes.len().max(1);
    if fitting.is_empty() { Err(unfit) } else { Ok(fitting) }
}

impl Unfit {
    /// Whether there is no node at all.
    pub(crate) fn is_without_nodes(&self) -> bool {
        self.nodes == 0
    }

    /// Whether the node takes the pod; if not, why is counted.
    fn accepts(&mut self, pod: &PodInfo, node: &NodeInfo) -> bool {
        let Some((_, reasons)) = filter::refusal(pod, node) else { return true };
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        false
    }
}

/// How many nodes that fit are looked for among `nodes`.
fn enough(nodes: usize, percentage: u32) -> usize {
    if nodes < ENOUGH {
        return nodes;
    }
    let percentage = match percentage {
        0 => 50_usize.saturating_sub(nodes / 125).max(5),
        given => given.min(100) as usize,
    };
    (nodes * percentage / 100).max(ENOUGH)
}

/// The place of the largest score; of several, one by chance.
fn best(scores: &[i64], pick: &mut dyn FnMut(usize) -> usize) -> usize {
    let largest = scores.iter().max();
    let places: Vec<_> = (0..scores.len()).filter(|at| Some(&scores[*at]) == largest).collect();
    match places.as_slice() {
        [only] => *only,
        several => several[pick(several.len()).min(several.len() - 1)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{node, pod};

    fn cluster(nodes: &[Value]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (number, spec) in nodes.iter().enumerate() {
            let object = json!({"metadata": {"name": format!("n{number}")}, "spec": spec,
                "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}}});
            snapshot.set_node(node(object));
        }
        snapshot
    }

    fn decided(snapshot: &Snapshot, asking: Value) -> Result<String, String> {
        let mut how = How { start: &mut 0, percentage: 0, pick: &mut |_| 0 };
        decide(snapshot, &pod(asking), &mut how).map(|n| n.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_pod_that_fits_nowhere_is_told_why_in_upstreams_words() {
        let asks = |cpu: &str, memory: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}});
        let tainted = json!({"taints": [{"key": "a", "effect": "NoSchedule"}]});
        let on = |name: &str| {
            json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}], "affinity": {"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}}})
        };
        let rows = [
            ("no nodes", vec![], asks("1", "0"), "no nodes available to schedule pods"),
            ("one node", vec![json!({})], asks("2", "0"), "0/1 nodes are available: 1 Insufficient cpu."),
            (
                "two lacks",
                vec![json!({}); 2],
                asks("2", "2Gi"),
                "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.",
            ),
            (
                "two kinds",
                vec![json!({}), tainted.clone(), tainted],
                asks("2", "0"),
                "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).",
            ),
            (
                "its own node",
                vec![json!({}); 3],
                on("n1"),
                "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
            ),
            (
                "its own node is not there",
                vec![json!({})],
                on("n9"),
                "0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity].",
            ),
        ];
        for (name, nodes, asking, message) in rows {
            assert_eq!(decided(&cluster(&nodes), asking), Err(message.into()), "{name}");
        }
    }

    #[test]
    fn the_better_node_is_taken_and_of_equals_one_by_chance() {
        let mut snapshot = cluster(&[json!({}), json!({}), json!({})]);
        let asking = || {
            pod(
                json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}]}}),
            )
        };
        snapshot.place(Arc::new(asking()), &"n0".into());
        let mut seen = Vec::new();
        for chance in 0..2 {
            let mut how = How { start: &mut 0, percentage: 0, pick: &mut |_| chance };
            seen.push(decide(&snapshot, &asking(), &mut how).expect("a node").to_string());
        }
        assert_eq!(seen, ["n1", "n2"]);
    }

    #[test]
    fn in_a_large_cluster_some_nodes_are_enough_and_each_has_its_turn() {
        for (nodes, percentage, expected) in
            [(99, 0, 99), (100, 0, 100), (1000, 0, 420), (6000, 0, 300), (10_000, 10, 1000)]
        {
            assert_eq!(enough(nodes, percentage), expected, "{nodes} nodes");
        }
        let snapshot = cluster(&vec![json!({}); 1000]);
        let mut start = 900;
        let mut how = How { start: &mut start, percentage: 0, pick: &mut |_| 0 };
        let asking = pod(json!({"spec": {"containers": []}}));
        assert_eq!(decide(&snapshot, &asking, &mut how).as_deref(), Ok("n900"));
        assert_eq!(start, 320);
    }
}
