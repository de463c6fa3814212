//! Who goes when the node is short of something, and what is said of it: the kubelet's order. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use sampan_model::quantity::Quantity;

use super::local_storage::LocalStorage;
use super::thresholds::{Short, Signal};
use crate::pods::roles;
use crate::runtime::Usage;

/// From this priority on a pod is critical (`scheduling.SystemCriticalPriority`).
const CRITICAL: i32 = 2_000_000_000;

/// A pod, with what it uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) pod: &'a Pod,
    pub(super) usage: &'a Usage,
    /// What it keeps on the disk; empty unless that is what is short.
    pub(super) storage: &'a LocalStorage,
}

/// Whether a pod is never evicted: static ones, and those of the highest priorities.
pub(crate) fn is_critical(pod: &Pod) -> bool {
    let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
    crate::source::config_hash(pod).is_some() || priority >= CRITICAL
}

/// The one that goes: first who uses more than was asked for, then the lowest priority, then who is furthest above what was asked for.
pub(super) fn victim(short: &Short, candidates: &[Candidate<'_>]) -> Option<usize> {
    let key = |candidate: &Candidate<'_>| {
        let priority = candidate.pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
        let used = used(short.signal, candidate);
        let asked = asked(short.signal, candidate.pod.spec.as_ref());
        // Of processes nothing can be asked for: the priority alone comes first.
        let exceeds = asked.is_some_and(|asked| used > asked);
        let above = i128::from(used) - i128::from(asked.unwrap_or_default());
        (!exceeds, priority, Reverse(above))
    };
    let possible = candidates.iter().enumerate().filter(|(_, candidate)| !is_critical(candidate.pod));
    possible.min_by_key(|(_, candidate)| key(candidate)).map(|(place, _)| place)
}

fn used(signal: Signal, candidate: &Candidate<'_>) -> u64 {
    match signal {
        Signal::Memory => candidate.usage.pod.memory_working_set_bytes,
        Signal::Disk | Signal::ImageDisk => candidate.storage.bytes(),
        Signal::Inodes => candidate.storage.inodes(),
        Signal::Processes => candidate.usage.pod.processes,
    }
}

/// What the containers of a pod ask for together; `None` of what cannot be asked for.
fn asked(signal: Signal, spec: Option<&PodSpec>) -> Option<u64> {
    let name = match signal {
        Signal::Memory => "memory",
        Signal::Disk | Signal::ImageDisk => "ephemeral-storage",
        // Whoever has files has more than it asked for.
        Signal::Inodes => return Some(0),
        Signal::Processes => return None,
    };
    let requests = spec.into_iter().flat_map(roles::containers).filter_map(|(container, _)| {
        container.resources.as_ref()?.requests.as_ref()?.get(name)?.0.parse::<Quantity>().ok()
    });
    let sum: i64 = requests.map(Quantity::value).fold(0, i64::saturating_add);
    Some(u64::try_from(sum).unwrap_or_default())
}

/// What is said of an eviction: what is short, and which containers use more of it than they asked for.
pub(super) fn message(short: &Short, candidate: &Candidate<'_>) -> String {
    let mut message = short.to_string();
    let used: BTreeMap<&str, u64> = match short.signal {
        Signal::Memory => {
            let each = candidate.usage.containers.iter();
            each.map(|(name, usage)| (name.as_str(), usage.memory_working_set_bytes)).collect()
        }
        Signal::Disk | Signal::ImageDisk => candidate.storage.containers().collect(),
        Signal::Inodes | Signal::Processes => BTreeMap::new(),
    };
    let resource = short.signal.resource();
    for (container, _) in candidate.pod.spec.iter().flat_map(roles::containers) {
        let Some(used) = used.get(container.name.as_str()) else { continue };
        let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
        let request = requests.and_then(|r| r.get(resource)).and_then(|text| text.0.parse::<Quantity>().ok());
        let request = request.unwrap_or(Quantity::from_bytes(0));
        let used = Quantity::from_bytes(i64::try_from(*used).unwrap_or(i64::MAX));
        if used.value() > request.value() {
            write!(
                message,
                "Container {} was using {used}, request is {request}, has larger consumption of {resource}. ",
                container.name
            )
            .expect("a string can be written to");
        }
    }
    message
}

/// Why a pod goes that keeps more on the disk than it may, whatever the node has: the first limit that is exceeded.
pub(super) fn exceeded(pod: &Pod, storage: &LocalStorage) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let parse =
        |text: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| text.0.parse::<Quantity>().ok();
    let above =
        |used: u64, limit: Quantity| limit.value() > 0 && i128::from(used) > i128::from(limit.value());
    for volume in spec.volumes.iter().flatten() {
        let Some(limit) = volume.empty_dir.as_ref().and_then(|dir| dir.size_limit.as_ref()) else { continue };
        if parse(limit).is_some_and(|limit| above(storage.volume(&volume.name), limit)) {
            return Some(format!(
                "Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ",
                volume.name, limit.0
            ));
        }
    }
    let limit_of = |container: &k8s_openapi::api::core::v1::Container| {
        container.resources.as_ref()?.limits.as_ref()?.get("ephemeral-storage").cloned()
    };
    let limits: Vec<_> = roles::containers(spec)
        .map(|(container, _)| (container.name.as_str(), limit_of(container)))
        .collect();
    for (name, limit) in &limits {
        let Some(limit) = limit else { continue };
        let used = storage.containers().find(|(known, _)| known == name).map_or(0, |(_, used)| used);
        if parse(limit).is_some_and(|limit| above(used, limit)) {
            return Some(format!(
                "Container {name} exceeded its local ephemeral storage limit \"{}\". ",
                limit.0
            ));
        }
    }
    // The pod as a whole has a limit where each of its containers has.
    let all: Option<Vec<Quantity>> = limits.iter().map(|(_, limit)| limit.as_ref().and_then(parse)).collect();
    let total = all?.into_iter().reduce(Quantity::add)?;
    above(storage.bytes(), total)
        .then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. "))
}

/// Whether what a pod keeps on the disk has a limit of its own.
pub(super) fn is_limited(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let volumes = spec.volumes.iter().flatten();
        let mut containers = roles::containers(spec);
        volumes.filter_map(|v| v.empty_dir.as_ref()).any(|dir| dir.size_limit.is_some())
            || containers.any(|(container, _)| {
                let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
                limits.is_some_and(|limits| limits.contains_key("ephemeral-storage"))
            })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::runtime::ContainerUsage;

    fn pod(name: &str, priority: i32, request: &str) -> Pod {
        let value: Value = json!({"metadata": {"name": name}, "spec": {"priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"memory": request}}}]}});
        serde_json::from_value(value).expect("a pod")
    }

    fn using(megabytes: u64) -> Usage {
        let usage = ContainerUsage { memory_working_set_bytes: megabytes << 20, ..ContainerUsage::default() };
        Usage { containers: vec![("c".into(), usage)], pod: usage, network: None }
    }

    /// A name, the pods (name, priority, request, megabytes used), and who goes.
    type Row<'a> = (&'a str, &'a [(&'a str, i32, &'a str, u64)], Option<&'a str>);

    const SHORT: Short = Short { signal: Signal::Memory, wanted: 100 << 20, available: 50 << 20 };

    #[test]
    fn who_exceeds_goes_first_then_the_lowest_priority_then_the_largest() {
        let rows: [Row; 5] = [
            ("nobody is there", &[], None),
            ("one exceeds", &[("a", 0, "100Mi", 50), ("b", 5, "1Mi", 2)], Some("b")),
            ("both exceed", &[("a", 7, "1Mi", 50), ("b", 5, "1Mi", 2)], Some("b")),
            ("of one priority", &[("a", 0, "10Mi", 50), ("b", 0, "1Mi", 45)], Some("b")),
            ("critical ones stay", &[("a", 2_000_000_000, "1Mi", 90), ("b", 0, "9Mi", 1)], Some("b")),
        ];
        for (name, pods, want) in rows {
            let pods: Vec<_> = pods
                .iter()
                .map(|(name, priority, request, used)| (pod(name, *priority, request), using(*used)))
                .collect();
            let storage = LocalStorage::default();
            let candidates: Vec<_> =
                pods.iter().map(|(pod, usage)| Candidate { pod, usage, storage: &storage }).collect();
            let got = victim(&SHORT, &candidates).map(|i| pods[i].0.metadata.name.clone().expect("a name"));
            assert_eq!(got.as_deref(), want, "{name}");
        }
    }

    #[test]
    fn an_eviction_names_the_containers_that_used_more_than_they_asked_for() {
        let (pod, usage, storage) = (pod("a", 0, "1Mi"), using(3), LocalStorage::default());
        let candidate = Candidate { pod: &pod, usage: &usage, storage: &storage };
        assert_eq!(
            message(&SHORT, &candidate),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. \
             Container c was using 3Mi, request is 1Mi, has larger consumption of memory. "
        );
    }

    #[test]
    fn local_storage_has_limits_of_volumes_containers_and_pods() {
        let value = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
            "containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "2Mi"}}}]}});
        let pod: Pod = serde_json::from_value(value).expect("a pod");
        assert!(is_limited(&pod) && !is_limited(&Pod::default()));
        let rows = [
            ("little", 1 << 20, 1 << 20, None),
            (
                "a full volume",
                (1 << 20) + 1,
                0,
                Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". "),
            ),
            (
                "a full container",
                0,
                3 << 20,
                Some("Container c exceeded its local ephemeral storage limit \"2Mi\". "),
            ),
            (
                "both together",
                1 << 20,
                3 << 19,
                Some("Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "),
            ),
        ];
        for (name, volume, container, want) in rows {
            let storage = LocalStorage::of([("c", container)], [("v", volume)]);
            assert_eq!(exceeded(&pod, &storage).as_deref(), want, "{name}");
        }
    }
}
