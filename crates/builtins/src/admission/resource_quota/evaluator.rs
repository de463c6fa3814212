//! What of each kind is counted, and under which names.

use sampan_apiserver::{Resource, Verb};
use sampan_model::{GroupResource, Quantity, Value};

use super::super::amounts::Amounts;
use super::scopes::Requirement;
use super::{claims, pods};

/// Counts objects of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Evaluator {
    Pods,
    Services,
    Claims,
    /// Claims of devices.
    DeviceClaims,
    /// Any other: only their number.
    Number(GroupResource),
}

/// Those whose number has an older name too.
const OLD_NAMES: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

const SERVICES: [&str; 4] = ["count/services", "services", "services.nodeports", "services.loadbalancers"];

/// The name under which the number of a resource is counted.
pub(super) fn count_name(resource: &GroupResource) -> String {
    match resource.group.as_str() {
        "" => format!("count/{}", resource.resource),
        group => format!("count/{}.{group}", resource.resource),
    }
}

/// Whether any evaluator counts under that name.
pub(super) fn is_tracked(name: &str) -> bool {
    name.starts_with("count/")
        || OLD_NAMES.contains(&name)
        || [Evaluator::Pods, Evaluator::Services, Evaluator::Claims, Evaluator::DeviceClaims]
            .iter()
            .any(|e| e.tracks(name))
}

impl Evaluator {
    /// The evaluator of a resource.
    pub(super) fn of(resource: &Resource) -> Self {
        Self::of_resource(&resource.group_resource())
    }

    pub(super) fn of_resource(resource: &GroupResource) -> Self {
        match (resource.group.as_str(), resource.resource.as_str()) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            ("resource.k8s.io", "resourceclaims") => Self::DeviceClaims,
            _ => Self::Number(resource.clone()),
        }
    }

    /// The evaluator of a resource whose objects are counted at all: events are not.
    pub(super) fn counting(resource: &Resource) -> Option<Self> {
        (resource.namespaced && resource.gvr.resource != "events").then(|| Self::of(resource))
    }

    /// Whether such a write may change what is used.
    pub(super) fn handles(resource: &Resource, subresource: &str, verb: Verb) -> bool {
        let Some(evaluator) = Self::counting(resource) else { return false };
        match (verb, subresource) {
            (Verb::Create, "") => true,
            (Verb::Update, "") => !matches!(evaluator, Self::Number(_)),
            (Verb::Update, "status") => matches!(evaluator, Self::Pods | Self::Claims),
            (Verb::Update, "resize") => evaluator == Self::Pods,
            _ => false,
        }
    }

    /// Whether such a write is refused when it goes too far. Others are only counted: that a pod has ended, for one.
    pub(super) fn enforces(resource: &Resource, subresource: &str, verb: Verb) -> bool {
        match (verb, subresource) {
            (Verb::Create, _) => true,
            (_, "") => Self::of(resource) != Self::Pods,
            (_, subresource) => subresource == "resize",
        }
    }

    /// Whether it counts under that name.
    pub(super) fn tracks(&self, name: &str) -> bool {
        match self {
            Self::Pods => pods::tracks(name),
            Self::Services => SERVICES.contains(&name),
            Self::Claims => claims::tracks(name),
            Self::DeviceClaims => claims::tracks_devices(name),
            Self::Number(resource) => {
                name == count_name(resource)
                    || (resource.group.is_empty() && OLD_NAMES.contains(&name) && resource.resource == name)
            }
        }
    }

    /// What an object uses.
    pub(super) fn usage(&self, object: &Value) -> Amounts {
        match self {
            Self::Pods => pods::usage(object),
            Self::Services => service_usage(object),
            Self::Claims => claims::usage(object),
            Self::DeviceClaims => claims::device_usage(object),
            Self::Number(resource) => {
                let mut usage = Amounts::from([(count_name(resource), Quantity::from_int(1))]);
                if resource.group.is_empty() && OLD_NAMES.contains(&resource.resource.as_str()) {
                    usage.insert(resource.resource.to_string(), Quantity::from_int(1));
                }
                usage
            }
        }
    }

    /// Whether an object is what a scope demands.
    pub(super) fn fulfils(&self, requirement: &Requirement, object: &Value) -> bool {
        match self {
            Self::Pods => pods::fulfils(requirement, object),
            Self::Claims => claims::fulfils(requirement, object),
            _ => false,
        }
    }

    /// What an object fails to declare that a quota with these names demands of it.
    pub(super) fn missing<'a>(&self, names: impl Iterator<Item = &'a str>, object: &Value) -> Option<String> {
        match self {
            Self::Pods => pods::missing(names, object),
            _ => None,
        }
    }
}

fn service_usage(service: &Value) -> Amounts {
    let number = |n: usize| Quantity::from_int(i64::try_from(n).unwrap_or(i64::MAX));
    let ports = service.array_at(&["spec", "ports"]);
    let (node_ports, balancers) = match service.str_at(&["spec", "type"]) {
        "NodePort" => (ports.len(), 0),
        // Ports are not allocated yet, so what counts is that they will be.
        "LoadBalancer" => {
            let allocates = service.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool);
            let given = || ports.iter().filter(|p| p.get("nodePort").and_then(Value::as_i64) > Some(0));
            (if allocates == Some(false) { given().count() } else { ports.len() }, 1)
        }
        _ => (0, 0),
    };
    let values = [1, 1, node_ports, balancers];
    SERVICES.iter().zip(values).map(|(name, n)| ((*name).to_owned(), number(n))).collect()
}
