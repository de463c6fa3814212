use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use sampan_testkit::{TestServer, eventually, fixtures};
use serde_json::{Value, json};

use super::plan::{Zone, is_all_gone, unknown_conditions, wanted_taints, zones};
use super::*;
use crate::testing;

fn node(object: Value) -> Node {
    serde_json::from_value(object).expect("a node")
}

fn with(ready: &str, taints: &Value) -> Node {
    node(json!({"metadata": {"name": "n"}, "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
}

#[test]
fn conditions_become_taints_and_go_with_them() {
    let taint =
        |name: &str, effect: &str| json!({"key": format!("node.kubernetes.io/{name}"), "effect": effect});
    let pressure = node(
        json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": "True"},
        {"type": "DiskPressure", "status": "False"}]}}),
    );
    let cordoned = node(
        json!({"spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    let new = node(json!({"spec": {"taints": [taint("not-ready", "NoSchedule")]}}));
    let (allowed, later, off) = (Eviction::Allowed, Eviction::Later, Eviction::Off);
    let lost = json!([taint("unreachable", "NoSchedule"), taint("unreachable", "NoExecute")]);
    let rows: Vec<(&str, Node, Eviction, Option<&[&str]>)> = vec![
        ("ready", with("True", &json!([])), later, None),
        (
            "a new node that says it is ready",
            with("True", &json!([taint("not-ready", "NoSchedule")])),
            later,
            Some(&[]),
        ),
        ("a new node that says nothing", new, allowed, None),
        ("not ready", with("False", &json!([])), later, Some(&["not-ready:NoSchedule"])),
        (
            "not ready, and its pods may go",
            with("False", &json!([])),
            allowed,
            Some(&["not-ready:NoSchedule", "not-ready:NoExecute"]),
        ),
        (
            "unknown",
            with("Unknown", &json!([])),
            allowed,
            Some(&["unreachable:NoSchedule", "unreachable:NoExecute"]),
        ),
        ("all is done", with("Unknown", &lost), later, None),
        (
            "it speaks again, but is not ready",
            with("False", &lost),
            later,
            Some(&["not-ready:NoSchedule", "not-ready:NoExecute"]),
        ),
        ("it is back", with("True", &lost), later, Some(&[])),
        ("all nodes are gone", with("Unknown", &lost), off, Some(&["unreachable:NoSchedule"])),
        (
            "taints of others stay",
            with(
                "True",
                &json!([{"key": "mine", "effect": "NoExecute"}, taint("unreachable", "NoSchedule"),
            taint("out-of-service", "NoExecute")]),
            ),
            later,
            Some(&["mine:NoExecute", "out-of-service:NoExecute"]),
        ),
        ("under pressure", pressure, later, Some(&["memory-pressure:NoSchedule"])),
        ("cordoned", cordoned, later, Some(&["unschedulable:NoSchedule"])),
    ];
    for (name, node, eviction, expected) in rows {
        let wanted = wanted_taints(&node, eviction, Timestamp::UNIX_EPOCH);
        let text = |t: &Taint| format!("{}:{}", t.key.trim_start_matches("node.kubernetes.io/"), t.effect);
        let seen = wanted.as_ref().map(|taints| taints.iter().map(text).collect::<Vec<_>>());
        assert_eq!(seen, expected.map(|e| e.iter().map(|t| (*t).to_owned()).collect()), "{name}");
        if let Some(taints) = wanted {
            let mut after = node.clone();
            after.spec.get_or_insert_default().taints = Some(taints);
            assert_eq!(
                wanted_taints(&after, Eviction::Later, Timestamp::UNIX_EPOCH).filter(|_| eviction != off),
                None,
                "{name}: then nothing is left to do"
            );
        }
    }
}

#[test]
fn a_node_that_says_nothing_is_unknown() {
    let silent = node(json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}));
    let conditions = unknown_conditions(&silent, Timestamp::UNIX_EPOCH);
    assert_eq!(conditions.len(), 4);
    assert!(
        conditions
            .iter()
            .all(|c| c.reason.as_deref() == Some("NodeStatusNeverUpdated") && c.status == "Unknown")
    );
    let spoke = node(json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}, {"type": "MemoryPressure", "status": "Unknown"},
        {"type": "DiskPressure", "status": "False"}, {"type": "PIDPressure", "status": "False"}, {"type": "Mine", "status": "True"}]}}));
    let conditions = unknown_conditions(&spoke, Timestamp::UNIX_EPOCH);
    let names: Vec<_> = conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(names, ["Ready", "DiskPressure", "PIDPressure"]);
    assert_eq!(conditions[0].message.as_deref(), Some("Kubelet stopped posting node status."));
    assert_eq!(
        conditions[0].last_heartbeat_time,
        super::plan::condition(&spoke, "Ready").and_then(|c| c.last_heartbeat_time.clone())
    );
}

#[tokio::test(start_paused = true)]
async fn pods_are_evicted_one_node_after_the_other() {
    let settings = Settings::default();
    let names = |set: std::collections::BTreeSet<String>| set.into_iter().collect::<Vec<_>>();
    let one_zone = |ready, not_ready| BTreeMap::from([(":".to_owned(), Zone { ready, not_ready })]);
    let waiting =
        |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), ":".to_owned())).collect::<Vec<_>>();
    let mut limiter = Limiter::default();
    let (first, again) = limiter.admit(&waiting(&["b", "a"]), &one_zone(5, 2), &settings, Instant::now());
    assert_eq!((names(first), again), (vec!["b".into()], Some(Duration::from_secs(10))));
    tokio::time::advance(Duration::from_secs(10)).await;
    let (second, again) = limiter.admit(&waiting(&["a"]), &one_zone(5, 2), &settings, Instant::now());
    assert_eq!((names(second), again), (vec!["a".into()], None));
    tokio::time::advance(Duration::from_mins(10)).await;
    let (none, again) = limiter.admit(&waiting(&["c"]), &one_zone(2, 3), &settings, Instant::now());
    assert_eq!((names(none), again), (vec![], None), "most of a small zone is gone");
    let (slowly, _) = limiter.admit(&waiting(&["c"]), &one_zone(20, 40), &settings, Instant::now());
    assert_eq!(names(slowly), ["c"]);
    let (_, again) = limiter.admit(&waiting(&["d"]), &one_zone(20, 40), &settings, Instant::now());
    assert_eq!(again, Some(Duration::from_secs(100)), "in a large one it goes slowly");
}

#[test]
fn when_no_node_is_ready_it_is_not_the_nodes() {
    let gone = |nodes: &[Node]| is_all_gone(&zones(nodes.iter()));
    assert!(!gone(&[]));
    assert!(gone(&[with("Unknown", &json!([])), with("False", &json!([]))]));
    assert!(!gone(&[with("Unknown", &json!([])), with("True", &json!([]))]));
}

async fn read(server: &TestServer, path: &str) -> Value {
    serde_json::from_slice(&server.get(path).await.body).unwrap_or_default()
}

async fn ready(server: &TestServer, name: &str) {
    server
        .create(
            "/api/v1/nodes",
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}}),
        )
        .await;
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": Time(Timestamp::now())}]}});
    let told = server.patch(&format!("/api/v1/nodes/{name}/status"), "strategic-merge-patch", &status).await;
    assert_eq!(told.code, 200, "{}", told.text());
}

async fn renew(server: &TestServer, name: &str) {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}?fieldManager=kubelet&force=true"
    );
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(Timestamp::now());
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}});
    let headers = [("content-type", "application/apply-patch+yaml")];
    let reply = server.request(http::Method::PATCH, &path, &headers, lease.to_string()).await;
    assert!(matches!(reply.code, 200 | 201), "{}", reply.text());
}

fn taints(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    taints
        .iter()
        .map(|t| {
            format!("{}:{}", t["key"].as_str().unwrap_or_default(), t["effect"].as_str().unwrap_or_default())
        })
        .collect()
}

#[tokio::test]
async fn a_node_that_stops_renewing_its_lease_is_tainted_until_it_is_back() {
    let server = TestServer::start().await;
    let running = testing::run(&server, "node-lifecycle-controller", |settings| {
        settings.node_lifecycle.monitor_grace = Duration::from_millis(1500);
    });
    for name in ["lives", "dies"] {
        ready(&server, name).await;
    }
    for name in ["lives", "dies"] {
        let path = format!("/api/v1/nodes/{name}");
        eventually("a node that is ready has no taints", || async {
            let node = read(&server, &path).await;
            (node["metadata"]["name"] == name && taints(&node).is_empty()).then_some(())
        })
        .await;
    }
    let mut pod = fixtures::pod("a");
    pod["spec"]["nodeName"] = "dies".into();
    server.create("/api/v1/namespaces/default/pods", &pod).await;
    let is_ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    server.patch("/api/v1/namespaces/default/pods/a/status", "strategic-merge-patch", &is_ready).await;
    let path = "/api/v1/nodes/dies";
    let node = eventually("the silent node is tainted", || async {
        renew(&server, "lives").await;
        Some(read(&server, path).await).filter(|node| taints(node).len() == 2)
    })
    .await;
    assert_eq!(
        taints(&node),
        ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]
    );
    let condition = node["status"]["conditions"]
        .as_array()
        .and_then(|c| c.iter().find(|c| c["type"] == "Ready"))
        .cloned();
    assert_eq!(condition.expect("a condition")["reason"], "NodeStatusUnknown");
    eventually("its pod is not ready", || async {
        renew(&server, "lives").await;
        let pod = read(&server, "/api/v1/namespaces/default/pods/a").await;
        let conditions = pod["status"]["conditions"].as_array().cloned()?;
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "False").then_some(())
    })
    .await;
    assert_eq!(taints(&read(&server, "/api/v1/nodes/lives").await), [""; 0], "its lease is enough");
    ready(&server, "dies").await;
    eventually("it is back", || async { taints(&read(&server, path).await).is_empty().then_some(()) }).await;
    let reconciles = running.metrics.reconciles("node-lifecycle-controller");
    assert!(reconciles < 60, "no hot loop: {reconciles}");
}
