//! Whether a pod may run on this node beside those that are here: the kubelet's admission, in its order and words. Pure; `own_node` knows the node.
//!
//! What would be refused has come past the scheduler, or the scheduler knew less. Pods that run already are not asked again. A critical pod that does not fit
//! is refused as any other.

mod own_node;
mod resize;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sampan_placement::resources::{Lack, parse, requests, wanted};
use sampan_placement::taints::tolerates;
use sampan_placement::{HostPort, Required, Resources};

use crate::pods::config::qos::Class;
use crate::pods::plan::Failure;
use crate::pressure::{State, is_critical};
use crate::source::config_hash;

pub use own_node::OwnNode;
pub use resize::resize;

/// Refused since the node's labels do not match: the only refusal by which the API may know better by now.
pub(crate) const NODE_AFFINITY: &str = "NodeAffinity";

/// There is no room for other resources now.
pub(crate) const DEFERRED: &str = "Deferred";

const OS_LABEL: &str = "kubernetes.io/os";
const OS: &str = "linux";

/// The node, as far as admission looks at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What pods may use of it.
    pub allocatable: Resources,
    /// The most pods.
    pub most_pods: i64,
    /// What it is short of.
    pub pressure: State,
}

impl Place {
    /// The node as its object says it. What it has of each resource it knows itself; those of others (extended ones) are in the object only.
    pub fn new(node: &Node, own: &BTreeMap<String, Quantity>, pressure: State) -> Self {
        let mut allocatable = node.status.as_ref().and_then(|s| s.allocatable.clone()).unwrap_or_default();
        allocatable.extend(own.clone());
        let mut labels = node.metadata.labels.clone().unwrap_or_default();
        labels.insert(OS_LABEL.into(), OS.into());
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels,
            taints: node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default(),
            most_pods: allocatable.get("pods").map_or(0, |q| parse(q).value()),
            allocatable: Resources::of(&allocatable),
            pressure,
        }
    }
}

/// Why the pod may not run here beside `others`; `None`: it may.
pub fn admit(pod: &Pod, others: &[Arc<Pod>], place: &Place) -> Option<Failure> {
    let spec = pod.spec.as_ref()?;
    let refusal = pressed(pod, spec, place.pressure)
        .or_else(|| foreign(pod, spec))
        .or_else(|| lacking(spec, others, place))
        .or_else(|| elsewhere(pod, spec, others, place));
    refusal.map(|(reason, message)| Failure { reason, message, grace: None, rejected: true })
}

/// In one word, and in a sentence.
type Refusal = (String, String);

fn refusal(reason: &str, message: impl Into<String>) -> Refusal {
    (reason.to_owned(), message.into())
}

fn predicate(name: &str, reason: &str) -> Refusal {
    (name.to_owned(), format!("Predicate {name} failed: {reason}"))
}

/// A node that is short of something takes only what it cannot do without; of memory, also what has asked for some.
fn pressed(pod: &Pod, spec: &PodSpec, short: State) -> Option<Refusal> {
    let conditions: Vec<&str> =
        [("DiskPressure", short.disk), ("MemoryPressure", short.memory), ("PIDPressure", short.processes)]
            .into_iter()
            .filter_map(|(name, is)| is.then_some(name))
            .collect();
    if conditions.is_empty() || is_critical(pod) {
        return None;
    }
    if conditions == ["MemoryPressure"] {
        let taint = Taint {
            key: "node.kubernetes.io/memory-pressure".into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        };
        let tolerations = spec.tolerations.as_deref().unwrap_or_default();
        if Class::of(pod) != Class::BestEffort || tolerates(tolerations, &taint) {
            return None;
        }
    }
    Some(refusal("Evicted", format!("The node had condition: [{}]. ", conditions.join(" "))))
}

/// Meant for another operating system.
fn foreign(pod: &Pod, spec: &PodSpec) -> Option<Refusal> {
    let labels = pod.metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(OS_LABEL)).is_some_and(|os| os != OS) {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return Some(refusal("PodOSSelectorNodeLabelDoesNotMatch", message));
    }
    let other = spec.os.as_ref().is_some_and(|os| os.name != OS);
    let message = "Failed to admit pod as the OS field doesn't match node OS";
    other.then(|| refusal("PodOSNotSupported", message))
}

/// The first resource that does not suffice.
fn lacking(spec: &PodSpec, others: &[Arc<Pod>], place: &Place) -> Option<Refusal> {
    let used = i64::try_from(others.len()).unwrap_or(i64::MAX);
    let mut wanted = wanted(spec);
    // What the node has never heard of is somebody else's to give.
    wanted.scalars.retain(|name, _| !is_extended(name) || place.allocatable.scalars.contains_key(name));
    let lack = if used >= place.most_pods {
        Some(Lack { resource: "pods".into(), requested: 1, used, capacity: place.most_pods })
    } else {
        wanted.lacking(&place.allocatable, &taken(others)).into_iter().next()
    };
    lack.map(|lack| (format!("OutOf{}", lack.resource), in_words(&lack)))
}

fn in_words(Lack { resource, requested, used, capacity }: &Lack) -> String {
    format!(
        "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    )
}

/// What the others have, or are to have, or had and have not given back yet.
fn taken(others: &[Arc<Pod>]) -> Resources {
    let mut sum = Resources::default();
    for pod in others {
        sum.add(&requests(pod).0);
    }
    sum
}

/// Extended resources have names of a domain that is not Kubernetes' own.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// Meant for another node, or for none of these labels or taints; or it wants ports that others have.
fn elsewhere(pod: &Pod, spec: &PodSpec, others: &[Arc<Pod>], place: &Place) -> Option<Refusal> {
    if !Required::of(spec).matches(&place.name, &place.labels) {
        return Some(predicate(NODE_AFFINITY, "node(s) didn't match Pod's node affinity/selector"));
    }
    if spec.node_name.as_ref().is_some_and(|name| !name.is_empty() && *name != place.name) {
        return Some(predicate("NodeName", "node(s) didn't match the requested node name"));
    }
    let ports = HostPort::of(spec);
    let mut taken = others.iter().filter_map(|other| other.spec.as_ref()).flat_map(HostPort::of);
    if !ports.is_empty() && taken.any(|taken| ports.iter().any(|port| port.conflicts(&taken))) {
        return Some(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let mut taints = place.taints.iter().filter(|taint| taint.effect == "NoExecute");
    if config_hash(pod).is_none() && taints.any(|taint| !tolerates(tolerations, taint)) {
        return Some(predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"));
    }
    None
}

#[cfg(test)]
mod tests;
