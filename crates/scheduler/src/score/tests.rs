use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::testing::{node, pod};

fn asks(cpu: &str, memory: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}})
}

fn info(name: &str, more: &Value, pods: &[Value]) -> NodeInfo {
    let mut object = json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "memory": "10000Mi", "pods": "10"}}});
    for (key, value) in more.as_object().expect("an object") {
        match object.get_mut(key).and_then(Value::as_object_mut) {
            Some(there) => there.extend(value.as_object().expect("an object").clone()),
            None => object[key] = value.clone(),
        }
    }
    let mut info = NodeInfo { node: node(object), ..NodeInfo::default() };
    for (number, there) in pods.iter().enumerate() {
        let mut there = pod(there.clone());
        there.uid = number.to_string().into();
        info.add(Arc::new(there));
    }
    info
}

#[test]
fn emptier_nodes_are_better() {
    let nodes = [
        info("a", &json!({}), &[]),
        info("b", &json!({}), &[asks("1", "5000Mi")]),
        info("c", &json!({}), &[asks("4", "0")]),
    ];
    let nodes: Vec<_> = nodes.iter().collect();
    // (4000-1000)/4000 and (10000-5000)/10000 are free of the first one.
    assert_eq!(node_resources::least_allocated(&pod(asks("1", "5000Mi")), &nodes), [62, 25, 25]);
    let unasked = pod(json!({"spec": {"containers": [{"name": "c"}]}}));
    assert_eq!(
        node_resources::least_allocated(&unasked, &nodes),
        [97, 60, 49],
        "who asks for nothing counts as 100m and 200Mi"
    );
}

#[test]
fn nodes_of_which_cpu_and_memory_are_used_alike_are_better() {
    let nodes = [info("a", &json!({}), &[asks("2", "5000Mi")]), info("b", &json!({}), &[asks("2", "0")])];
    let nodes: Vec<_> = nodes.iter().collect();
    assert_eq!(node_resources::balanced_allocation(&pod(asks("1", "2500Mi")), &nodes), [100, 75]);
    let unasked = pod(json!({"spec": {"containers": [{"name": "c"}]}}));
    assert_eq!(
        node_resources::balanced_allocation(&unasked, &nodes),
        [0, 0],
        "who asks for nothing balances nothing"
    );
}

#[test]
fn preferred_terms_add_their_weights() {
    let term = |weight: i64, key: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
    let asking = pod(json!({"spec": {"containers": [], "affinity": {"nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [term(10, "a"), term(30, "b"), {"weight": 100, "preference": {}}]}}}}));
    let labelled = |labels: &Value| info("n", &json!({"metadata": {"labels": labels}}), &[]);
    let nodes = [labelled(&json!({"a": ""})), labelled(&json!({"a": "", "b": ""})), labelled(&json!({}))];
    let nodes: Vec<_> = nodes.iter().collect();
    assert_eq!(node_affinity::scores(&asking, &nodes), [25, 100, 0]);
}

#[test]
fn taints_that_are_not_tolerated_make_a_node_worse() {
    let taint = |key: &str| json!({"key": key, "effect": "PreferNoSchedule"});
    let tainted = |taints: &[Value]| info("n", &json!({"spec": {"taints": taints}}), &[]);
    let nodes =
        [tainted(&[]), tainted(&[taint("a")]), tainted(&[taint("a"), taint("b")]), tainted(&[taint("c")])];
    let nodes: Vec<_> = nodes.iter().collect();
    let asking = pod(json!({"spec": {"containers": [], "tolerations": [{"key": "c", "operator": "Exists"},
        {"key": "a", "operator": "Exists", "effect": "NoSchedule"}]}}));
    assert_eq!(taint_toleration::scores(&asking, &nodes), [100, 50, 0, 100]);
}

#[test]
fn large_images_that_are_there_make_a_node_better() {
    let mut snapshot = Snapshot::default();
    let images = |size: i64| json!({"images": [{"names": ["x:latest"], "sizeBytes": size}]});
    for (name, size) in [("a", 1000 << 20), ("b", 100 << 20), ("c", 10 << 20)] {
        snapshot.set_node(info(name, &json!({"status": images(size)}), &[]).node);
    }
    snapshot.set_node(info("d", &json!({}), &[]).node);
    let nodes: Vec<_> = snapshot.nodes().iter().collect();
    let asking = pod(json!({"spec": {"containers": [{"name": "c", "image": "x"}]}}));
    // Three of four nodes have it: 750 MiB of 23 to 1000, 75 MiB; 7.5 MiB are too small to count.
    assert_eq!(image_locality::scores(&asking, &nodes, &snapshot), [74, 5, 0, 0]);
}

#[test]
fn scores_are_weighted() {
    let tainted = json!({"spec": {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}});
    let nodes = [info("a", &tainted, &[]), info("b", &json!({}), &[asks("4", "9000Mi")])];
    let nodes: Vec<_> = nodes.iter().collect();
    let scores = scores(&pod(asks("0", "0")), &nodes, &Snapshot::default());
    assert!(scores[0] < scores[1], "a taint weighs three times as much as room: {scores:?}");
}
