//! What of pods is counted.

use std::collections::{BTreeMap, BTreeSet};

use sampan_model::{Map, Quantity, Value};

use super::super::amounts::{Amounts, Side, Source, add, amounts, of_pod};
use super::super::resource_names::{HUGE_PAGES, REQUESTS, is_extended, is_native};
use super::scopes::Requirement;

const NUMBER: &str = "count/pods";
const NAMES: [&str; 11] = [
    NUMBER,
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// Where a quota limits one of these, every container has to declare it. (Upstream calls that a mistake which it keeps.)
const DEMANDED: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

pub(super) fn tracks(name: &str) -> bool {
    let huge = name.strip_prefix(REQUESTS).unwrap_or(name).starts_with(HUGE_PAGES);
    NAMES.contains(&name) || huge || (!is_native(name) && name.starts_with(REQUESTS))
}

/// A pod that has ended counts only by number.
///
/// Upstream also lets go of pods whose grace period has passed twice over. That depends on the clock, and what
/// is counted up and down with the objects must not.
pub(super) fn usage(pod: &Value) -> Amounts {
    let mut usage = Amounts::from([(NUMBER.to_owned(), Quantity::from_int(1))]);
    if matches!(pod.str_at(&["status", "phase"]), "Failed" | "Succeeded") {
        return usage;
    }
    let overhead = amounts(pod, &["spec", "overhead"]);
    let mut requests = of_pod(pod, Side::Requests, Source::SpecAndStatus);
    add(&mut requests, &overhead);
    let mut limits = of_pod(pod, Side::Limits, Source::SpecAndStatus);
    let limited: Amounts = overhead.into_iter().filter(|(name, _)| limits.contains_key(name)).collect();
    add(&mut limits, &limited);
    usage.extend(names(&requests, &limits));
    usage
}

/// Requests and limits under the names of quotas.
fn names(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut named = Amounts::from([("pods".to_owned(), Quantity::from_int(1))]);
    for (name, amount) in requests {
        let compute = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        if compute || name.starts_with(HUGE_PAGES) {
            named.insert(name.clone(), *amount);
        }
        if compute || name.starts_with(HUGE_PAGES) || is_extended(name) {
            named.insert(format!("{REQUESTS}{name}"), *amount);
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(amount) = limits.get(name) {
            named.insert(format!("limits.{name}"), *amount);
        }
    }
    named
}

/// Which containers declare nothing of what they have to.
pub(super) fn missing<'a>(hard: impl Iterator<Item = &'a str>, pod: &Value) -> Option<String> {
    let declared = |holder: &Value| {
        names(&amounts(holder, &["resources", "requests"]), &amounts(holder, &["resources", "limits"]))
    };
    let whole = pod.get("spec").map(declared).unwrap_or_default();
    let demanded: BTreeSet<&str> = hard.filter(|n| DEMANDED.contains(n) && !whole.contains_key(*n)).collect();
    if demanded.is_empty() {
        return None;
    }
    let mut lacking: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let lists = ["containers", "initContainers"].into_iter();
    for container in lists.flat_map(|list| pod.array_at(&["spec", list])) {
        let own = declared(container);
        for name in demanded.iter().filter(|n| !own.contains_key(**n)) {
            lacking.entry(name).or_default().insert(container.str_at(&["name"]));
        }
    }
    if lacking.is_empty() {
        return None;
    }
    let join = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(",");
    let parts: Vec<_> = lacking.iter().map(|(name, of)| format!("{name} for: {}", join(of))).collect();
    Some(format!("must specify {}", parts.join("; ")))
}

pub(super) fn fulfils(requirement: &Requirement, pod: &Value) -> bool {
    let terminating = || {
        let deadline = pod.at(&["spec", "activeDeadlineSeconds"]).and_then(Value::as_i64);
        deadline.is_some_and(|seconds| seconds >= 0)
    };
    let best_effort = || sampan_validation::core::pod::current_qos_class(pod) == "BestEffort";
    match requirement.scope.as_str() {
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            let class = pod.str_at(&["spec", "priorityClassName"]);
            requirement.accepts(Some(class).filter(|c| !c.is_empty()))
        }
        "CrossNamespacePodAffinity" => looks_into_other_namespaces(pod),
        _ => false,
    }
}

/// Whether the pod wants to be near to or far from pods of other namespaces.
fn looks_into_other_namespaces(pod: &Value) -> bool {
    let foreign = |term: &Value| {
        !term.array_at(&["namespaces"]).is_empty()
            || term.get("namespaceSelector").is_some_and(|s| !s.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let terms = |when: &str| pod.array_at(&["spec", "affinity", kind, when]);
        let none: Value = Map::new().into();
        terms("requiredDuringSchedulingIgnoredDuringExecution").iter().any(foreign)
            || terms("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|t| foreign(t.get("podAffinityTerm").unwrap_or(&none)))
    })
}
