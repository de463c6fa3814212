#![allow(clippy::needless_pass_by_value, reason = "a row of a table is read once")]

use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec})).expect("a pod")
}

fn asks(requests: Value) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": requests}}]})
}

fn place(pressure: State) -> Place {
    let node = json!({"metadata": {"name": "n1", "labels": {"disk": "ssd"}},
        "spec": {"taints": [{"key": "k", "effect": "NoExecute"}, {"key": "l", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "64", "example.org/card": "1"}}});
    let node = serde_json::from_value(node).expect("a node");
    let own = json!({"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi", "pods": "3"});
    Place::new(&node, &serde_json::from_value(own).expect("quantities"), pressure)
}

fn tolerant(mut spec: Value) -> Value {
    spec["tolerations"] = json!([{"key": "k", "operator": "Exists"}]);
    spec
}

/// A name, the pod, those that are there, and the refusal.
type Row<'a> = (&'a str, Value, Vec<Value>, Option<(&'a str, &'a str)>);

#[test]
fn a_pod_is_refused_in_the_kubelets_words() {
    let port = || json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    let with = |more: Value| {
        let mut spec = json!({"containers": [{"name": "c"}]});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        spec
    };
    let affinity = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    let rows: Vec<Row> = vec![
        ("nothing is asked", with(json!({})), vec![], None),
        (
            "too much",
            asks(json!({"cpu": "4"})),
            vec![],
            Some((
                "OutOfcpu",
                "Node didn't have enough resource: cpu, requested: 4000, used: 0, capacity: 2000",
            )),
        ),
        (
            "others have it",
            asks(json!({"memory": "600Mi"})),
            vec![asks(json!({"memory": "500Mi"}))],
            Some((
                "OutOfmemory",
                "Node didn't have enough resource: memory, requested: 629145600, used: 524288000, capacity: 1073741824",
            )),
        ),
        (
            "of two the first is told",
            asks(json!({"memory": "2Gi", "cpu": "3"})),
            vec![],
            Some((
                "OutOfcpu",
                "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000",
            )),
        ),
        (
            "what only the object has",
            asks(json!({"example.org/card": "2"})),
            vec![],
            Some((
                "OutOfexample.org/card",
                "Node didn't have enough resource: example.org/card, requested: 2, used: 0, capacity: 1",
            )),
        ),
        ("what nobody has", asks(json!({"example.org/other": "2"})), vec![], None),
        (
            "huge pages that are not there",
            asks(json!({"hugepages-2Mi": "2Mi"})),
            vec![],
            Some((
                "OutOfhugepages-2Mi",
                "Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, capacity: 0",
            )),
        ),
        (
            "too many",
            with(json!({})),
            vec![with(json!({})); 3],
            Some(("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3")),
        ),
        (
            "its labels",
            with(json!({"nodeSelector": {"disk": "ssd", "kubernetes.io/os": "linux"}})),
            vec![],
            None,
        ),
        (
            "other labels",
            with(json!({"nodeSelector": {"disk": "hdd"}})),
            vec![],
            Some(("NodeAffinity", affinity)),
        ),
        ("its name", with(json!({"nodeName": "n1"})), vec![], None),
        (
            "another name",
            with(json!({"nodeName": "n2"})),
            vec![],
            Some(("NodeName", "Predicate NodeName failed: node(s) didn't match the requested node name")),
        ),
        ("a free port", port(), vec![with(json!({}))], None),
        (
            "a port that is taken",
            port(),
            vec![port()],
            Some((
                "NodePorts",
                "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
            )),
        ),
        (
            "another system",
            with(json!({"os": {"name": "windows"}})),
            vec![],
            Some(("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")),
        ),
    ];
    for (name, asking, there, expected) in rows {
        let there: Vec<_> = there.into_iter().map(|spec| Arc::new(pod(spec))).collect();
        let failure = admit(&pod(tolerant(asking)), &there, &place(State::default()));
        let got = failure.as_ref().map(|f| (f.reason.as_str(), f.message.as_str()));
        assert_eq!(got, expected, "{name}");
        assert!(failure.is_none_or(|f| f.rejected));
    }
}

#[test]
fn a_taint_for_execution_keeps_away_all_but_static_pods_and_those_that_tolerate_it() {
    let reason = |pod: &Pod| admit(pod, &[], &place(State::default())).map(|f| (f.reason, f.message));
    let message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
    let mut asking = pod(asks(json!({})));
    assert_eq!(reason(&asking), Some(("TaintToleration".into(), message.into())));
    assert_eq!(reason(&pod(tolerant(asks(json!({}))))), None, "NoSchedule is the scheduler's business");
    let annotations = [("kubernetes.io/config.source", "file"), ("kubernetes.io/config.hash", "h")];
    asking.metadata.annotations = Some(annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(reason(&asking), None, "static");
}

#[test]
fn a_pod_that_says_another_system_in_its_labels_is_refused() {
    let mut asking = pod(tolerant(asks(json!({}))));
    asking.metadata.labels = Some([("kubernetes.io/os".to_owned(), "windows".to_owned())].into());
    let failure = admit(&asking, &[], &place(State::default())).expect("a refusal");
    assert_eq!(failure.reason, "PodOSSelectorNodeLabelDoesNotMatch");
}

#[test]
fn a_node_that_is_short_takes_what_matters_most() {
    let memory = State { memory: true, ..State::default() };
    let both = State { memory: true, disk: true, ..State::default() };
    let processes = State { processes: true, ..State::default() };
    let best_effort = || tolerant(json!({"containers": [{"name": "c"}]}));
    let with_memory = || tolerant(asks(json!({"memory": "1Mi"})));
    let critical = || {
        let mut spec = best_effort();
        spec["priority"] = json!(2_000_000_000);
        spec
    };
    let steadfast = || {
        let mut spec = best_effort();
        spec["tolerations"] = json!([{"operator": "Exists"}]);
        spec
    };
    for (name, short, spec, message) in [
        ("nothing asked for", memory, best_effort(), Some("The node had condition: [MemoryPressure]. ")),
        ("memory asked for", memory, with_memory(), None),
        ("tolerated", memory, steadfast(), None),
        ("critical", both, critical(), None),
        ("two at once", both, with_memory(), Some("The node had condition: [DiskPressure MemoryPressure]. ")),
        ("processes", processes, steadfast(), Some("The node had condition: [PIDPressure]. ")),
    ] {
        let failure = admit(&pod(spec), &[], &place(short));
        assert_eq!(failure.as_ref().map(|f| f.message.as_str()), message, "{name}");
        assert!(failure.is_none_or(|f| f.reason == "Evicted"), "{name}");
    }
}
