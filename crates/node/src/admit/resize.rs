//! Whether a pod that runs may have other resources: the kubelet's decision, in its words. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_placement::resources::wanted;

use super::{DEFERRED, Place, in_words, taken};
use crate::pods::memory::Pending;

/// Whether the pod may have what it asks for beside `others`: never on this node (`Infeasible`), or not now (`Deferred`).
///
/// Only room is asked for. That the node's labels or taints have changed since is no reason to keep a pod that runs from less or more.
pub fn resize(pod: &Pod, others: &[Arc<Pod>], place: &Place) -> Result<(), Pending> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let pending = |reason: &str, message| {
        Err(Pending { reason: reason.into(), message, generation: pod.metadata.generation })
    };
    let (wanted, all) = (wanted(spec), &place.allocatable);
    for (name, requested, capacity) in
        [("memory", wanted.memory, all.memory), ("cpu", wanted.milli_cpu, all.milli_cpu)]
    {
        if requested > capacity {
            let message = format!(
                "Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}"
            );
            return pending("Infeasible", message);
        }
    }
    let mut lacking = wanted.lacking(all, &taken(others)).into_iter();
    // Only these two can be changed; whatever else it has is its own already.
    match lacking.find(|lack| matches!(&*lack.resource, "cpu" | "memory")) {
        Some(lack) => pending(DEFERRED, in_words(&lack)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::Node;
    use serde_json::json;

    use super::*;
    use crate::pressure::State;

    fn pod(cpu: &str, memory: &str) -> Pod {
        let requests = json!({"cpu": cpu, "memory": memory});
        let value = json!({"metadata": {"generation": 7}, "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}});
        serde_json::from_value(value).expect("a pod")
    }

    #[test]
    fn a_pod_gets_what_is_free_waits_for_what_others_have_and_never_gets_what_is_not_there() {
        let own: BTreeMap<_, _> =
            serde_json::from_value(json!({"cpu": "4", "memory": "4Gi", "pods": "2"})).expect("quantities");
        let place = Place::new(&Node::default(), &own, State::default());
        let others = [Arc::new(pod("2", "2Gi"))];
        for (name, cpu, memory, expected) in [
            ("free", "2", "2Gi", None),
            (
                "too much memory",
                "5",
                "4500Mi",
                Some((
                    "Infeasible",
                    "Node didn't have enough capacity: memory, requested: 4718592000, capacity: 4294967296",
                )),
            ),
            (
                "too much CPU",
                "5",
                "1Gi",
                Some((
                    "Infeasible",
                    "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000",
                )),
            ),
            (
                "not now",
                "2500m",
                "1Gi",
                Some((
                    "Deferred",
                    "Node didn't have enough resource: cpu, requested: 2500, used: 2000, capacity: 4000",
                )),
            ),
        ] {
            let got = resize(&pod(cpu, memory), &others, &place);
            let expected = expected.map_or(Ok(()), |(reason, message)| {
                Err(Pending { reason: reason.into(), message: message.into(), generation: Some(7) })
            });
            assert_eq!(got, expected, "{name}");
        }
    }
}
