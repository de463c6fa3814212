//! Amounts of resources, what a pod requests of them, and what a node lacks of that.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What a container counts for in scores when it requests no CPU or memory: upstream's `DefaultMilliCPURequest`, `DefaultMemoryRequest`.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

type Quantities = BTreeMap<String, Quantity>;

/// Amounts by resource, in the units in which they are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a processor.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Extended resources, huge pages and whatever else is counted in whole numbers.
    pub scalars: BTreeMap<Box<str>, i64>,
}

/// A resource of which a node has not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Which.
    pub resource: Box<str>,
    /// What is wanted of it.
    pub requested: i64,
    /// What others have taken.
    pub used: i64,
    /// All of it.
    pub capacity: i64,
}

/// CPU and memory as scores count them, where nobody requests nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonZero {
    /// Thousandths of a processor.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
}

/// An amount as a number; none if it cannot be read, which a server never sends.
pub fn parse(quantity: &Quantity) -> sampan_model::Quantity {
    quantity.0.parse().unwrap_or(sampan_model::Quantity::ZERO)
}

impl Resources {
    /// Reads a list of resources. `pods` is not among them: pods are counted apart.
    pub fn of(quantities: &Quantities) -> Self {
        let mut resources = Self::default();
        resources.set_all(quantities);
        resources
    }

    fn set_all(&mut self, quantities: &Quantities) {
        for (name, quantity) in quantities {
            let quantity = parse(quantity);
            match name.as_str() {
                "cpu" => self.milli_cpu = quantity.milli_value(),
                "memory" => self.memory = quantity.value(),
                "ephemeral-storage" => self.ephemeral_storage = quantity.value(),
                "pods" => {}
                name => {
                    self.scalars.insert(name.into(), quantity.value());
                }
            }
        }
    }

    /// Adds each amount.
    pub fn add(&mut self, other: &Self) {
        self.zip(other, i64::saturating_add);
    }

    /// Takes each amount away.
    pub fn subtract(&mut self, other: &Self) {
        self.zip(other, i64::saturating_sub);
    }

    /// Each amount becomes the larger one of both.
    fn raise(&mut self, other: &Self) {
        self.zip(other, i64::max);
    }

    /// What a node lacks that has these `all`, of which others have `taken` theirs: everything, in upstream's order. What is not asked for is not looked at: the node may be
    /// over full.
    pub fn lacking(&self, all: &Self, taken: &Self) -> Vec<Lack> {
        let mut lacking = Vec::new();
        let mut look = |resource: &str, requested: i64, capacity: i64, used: i64| {
            if requested > 0 && requested > capacity.saturating_sub(used) {
                lacking.push(Lack { resource: resource.into(), requested, used, capacity });
            }
        };
        look("cpu", self.milli_cpu, all.milli_cpu, taken.milli_cpu);
        look("memory", self.memory, all.memory, taken.memory);
        look("ephemeral-storage", self.ephemeral_storage, all.ephemeral_storage, taken.ephemeral_storage);
        for (name, amount) in &self.scalars {
            let of = |resources: &Self| resources.scalars.get(name).copied().unwrap_or_default();
            look(name, *amount, of(all), of(taken));
        }
        lacking
    }

    fn zip(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalars {
            match self.scalars.get_mut(name) {
                Some(own) => *own = with(*own, *amount),
                None => {
                    self.scalars.insert(name.clone(), with(0, *amount));
                }
            }
        }
    }
}

/// What a pod requests of its node: for filters, and for scores.
///
/// The containers together, or what its initialization needs at its most (sidecars that have started run beside whatever starts later), whichever is more; pod-level
/// requests replace those of containers (KEP-2837); the overhead of the runtime class comes on top (KEP-688). While a container is resized, the larger size
/// counts (KEP-1287).
pub fn requests(pod: &Pod) -> (Resources, NonZero) {
    let Some(spec) = &pod.spec else { return <(Resources, NonZero)>::default() };
    let exact = total(spec, pod.status.as_ref(), false);
    let filled = total(spec, pod.status.as_ref(), true);
    (exact, NonZero { milli_cpu: filled.milli_cpu, memory: filled.memory })
}

/// What a spec requests, whatever the status of the pod says of it.
pub fn wanted(spec: &PodSpec) -> Resources {
    total(spec, None, false)
}

fn total(spec: &PodSpec, status: Option<&PodStatus>, fill: bool) -> Resources {
    let infeasible = status.is_some_and(is_resize_infeasible);
    let statuses = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let mut sum = Resources::default();
    for container in &spec.containers {
        sum.add(&of_container(container, statuses, infeasible, fill));
    }
    let statuses = status.and_then(|s| s.init_container_statuses.as_deref()).unwrap_or_default();
    let mut sidecars = Resources::default();
    let mut start = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut needed = of_container(container, statuses, infeasible, fill);
        if container.restart_policy.as_deref() == Some("Always") {
            sum.add(&needed);
            sidecars.add(&needed);
            needed = sidecars.clone();
        } else {
            needed.add(&sidecars);
        }
        start.raise(&needed);
    }
    sum.raise(&start);
    if let Some(whole) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        sum.set_all(whole);
    }
    if let Some(overhead) = &spec.overhead {
        sum.add(&Resources::of(overhead));
    }
    sum
}

fn of_container(
    container: &Container,
    statuses: &[ContainerStatus],
    infeasible: bool,
    fill: bool,
) -> Resources {
    let wanted = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    let mut has = wanted.map(Resources::of).unwrap_or_default();
    let status = statuses.iter().find(|s| s.name == container.name);
    if let Some((status, resources)) = status.and_then(|s| Some((s, s.resources.as_ref()?))) {
        if infeasible {
            has = Resources::default();
        }
        for known in [resources.requests.as_ref(), status.allocated_resources.as_ref()].into_iter().flatten()
        {
            has.raise(&Resources::of(known));
        }
    }
    if fill {
        let names = |name| wanted.is_some_and(|w| w.contains_key(name));
        has.milli_cpu = if names("cpu") { has.milli_cpu } else { has.milli_cpu.max(DEFAULT_MILLI_CPU) };
        has.memory = if names("memory") { has.memory } else { has.memory.max(DEFAULT_MEMORY) };
    }
    has
}

fn is_resize_infeasible(status: &PodStatus) -> bool {
    status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "PodResizePending" && c.reason.as_deref() == Some("Infeasible"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(requests: &Value) -> Value {
        json!({"name": "c", "resources": {"requests": requests}})
    }

    #[test]
    fn a_pod_requests_what_it_needs_at_its_most() {
        let small = container(&json!({"cpu": "100m", "memory": "1Mi"}));
        let sidecar =
            json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}});
        let large = container(&json!({"cpu": "300m"}));
        let rows = [
            ("nothing", json!({"containers": [{"name": "c"}]}), (0, 0)),
            ("containers are added", json!({"containers": [small, small]}), (200, 2 << 20)),
            (
                "one init container at a time",
                json!({"containers": [small], "initContainers": [large, large]}),
                (300, 1 << 20),
            ),
            (
                "a sidecar runs for good",
                json!({"containers": [small], "initContainers": [sidecar]}),
                (150, 1 << 20),
            ),
            (
                "a sidecar runs beside what starts after it",
                json!({"containers": [small], "initContainers": [sidecar, large]}),
                (350, 1 << 20),
            ),
            (
                "and not beside what started before it",
                json!({"containers": [small], "initContainers": [large, sidecar]}),
                (300, 1 << 20),
            ),
            (
                "the overhead comes on top",
                json!({"containers": [small], "overhead": {"cpu": "10m"}}),
                (110, 1 << 20),
            ),
            (
                "requests of the whole pod replace the others",
                json!({"containers": [small], "resources": {"requests": {"cpu": "1"}}}),
                (1000, 1 << 20),
            ),
        ];
        for (name, spec, (milli_cpu, memory)) in rows {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).expect(name);
            let (exact, _) = requests(&pod);
            assert_eq!((exact.milli_cpu, exact.memory), (milli_cpu, memory), "{name}");
        }
    }

    #[test]
    fn a_container_that_is_resized_counts_with_its_larger_size() {
        let pod = |conditions: Value| -> Pod {
            serde_json::from_value(json!({
                "spec": {"containers": [container(&json!({"cpu": "200m"}))]},
                "status": {"conditions": conditions, "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true,
                    "restartCount": 0, "allocatedResources": {"cpu": "100m"}, "resources": {"requests": {"cpu": "100m"}}}]},
            }))
            .expect("a pod")
        };
        assert_eq!(requests(&pod(json!([]))).0.milli_cpu, 200);
        let infeasible = json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]);
        assert_eq!(requests(&pod(infeasible)).0.milli_cpu, 100);
    }

    #[test]
    fn in_scores_nobody_requests_nothing() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "0", "example.org/card": "2"}}},
        ]}}))
        .expect("a pod");
        let (exact, filled) = requests(&pod);
        assert_eq!(filled, NonZero { milli_cpu: 100, memory: 400 << 20 });
        assert_eq!(exact.scalars["example.org/card"], 2);
    }
}
