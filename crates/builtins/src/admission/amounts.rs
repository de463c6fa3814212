//! Amounts of resources by name, and what a pod asks for altogether.

use std::collections::BTreeMap;

use sampan_model::{Map, Quantity, Value};

use super::resource_names::HUGE_PAGES;

/// Amounts by the name of the resource (`v1.ResourceList`).
pub(super) type Amounts = BTreeMap<String, Quantity>;

/// The amounts below a path; what cannot be read (validation refuses it) is left out.
pub(super) fn amounts(object: &Value, path: &[&str]) -> Amounts {
    let map = object.at(path).and_then(Value::as_object);
    let read = |(name, amount): (&sampan_model::Str, &Value)| {
        Some((name.to_string(), Quantity::from_value(amount).ok()?))
    };
    map.into_iter().flat_map(Map::iter).filter_map(read).collect()
}

/// Amounts as an object has them.
pub(super) fn to_map(amounts: &Amounts) -> Map {
    amounts.iter().map(|(name, amount)| (name.as_str(), amount.to_string())).collect()
}

/// Adds each amount to its like.
pub(super) fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        sum.entry(name.clone()).and_modify(|a| *a = a.add(*amount)).or_insert(*amount);
    }
}

/// Raises each amount to its like.
fn raise(highest: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let entry = highest.entry(name.clone()).or_insert(*amount);
        if *amount > *entry {
            *entry = *amount;
        }
    }
}

/// One half of what a container declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Limits,
}

impl Side {
    pub(super) fn field(self) -> &'static str {
        match self {
            Side::Requests => "requests",
            Side::Limits => "limits",
        }
    }
}

/// Which amounts of a container count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Those of the spec.
    Spec,
    /// Those that the node still holds for it too, while a resize is under way.
    SpecAndStatus,
}

/// What the containers of a pod ask for together: the greater of what runs at once and what each init container needs while
/// it runs beside the sidecars before it; where the pod declares an amount as a whole, that one.
pub(super) fn of_pod(pod: &Value, side: Side, source: Source) -> Amounts {
    let of = |container: &Value, statuses: &str| match source {
        Source::Spec => amounts(container, &["resources", side.field()]),
        Source::SpecAndStatus => held(pod, container, statuses, side),
    };
    let mut sum = Amounts::new();
    for container in pod.array_at(&["spec", "containers"]) {
        add(&mut sum, &of(container, "containerStatuses"));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in pod.array_at(&["spec", "initContainers"]) {
        let mut own = of(container, "initContainerStatuses");
        if container.str_at(&["restartPolicy"]) == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            own.clone_from(&sidecars);
        } else {
            add(&mut own, &sidecars);
        }
        raise(&mut starting, &own);
    }
    raise(&mut sum, &starting);
    for (name, amount) in amounts(pod, &["spec", "resources", side.field()]) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with(HUGE_PAGES) {
            sum.insert(name, amount);
        }
    }
    sum
}

/// The greatest of what a container declares, what it was given and what is set aside for it. Of a resize that cannot
/// be done only the latter count.
fn held(pod: &Value, container: &Value, statuses: &str, side: Side) -> Amounts {
    let declared = amounts(container, &["resources", side.field()]);
    let name = container.str_at(&["name"]);
    let status = pod.array_at(&["status", statuses]).iter().find(|s| s.str_at(&["name"]) == name);
    let Some(status) = status.filter(|s| s.get("resources").is_some_and(|r| !r.is_null())) else {
        return declared;
    };
    let mut highest = amounts(status, &["resources", side.field()]);
    if side == Side::Requests {
        raise(&mut highest, &amounts(status, &["allocatedResources"]));
    }
    let infeasible = pod
        .array_at(&["status", "conditions"])
        .iter()
        .any(|c| c.str_at(&["type"]) == "PodResizePending" && c.str_at(&["reason"]) == "Infeasible");
    if !infeasible {
        raise(&mut highest, &declared);
    }
    highest
}
