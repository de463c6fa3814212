//! LimitRanger.

use sampan_testkit::{Admitting, TestServer};
use serde_json::{Value, json};

use crate::{PODS, expect, pod, sized};

const RANGES: &str = "/api/v1/namespaces/default/limitranges";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

async fn with_range(limits: Value) -> TestServer {
    let server = Admitting::default().start().await;
    server.create(RANGES, &json!({"metadata": {"name": "l"}, "spec": {"limits": limits}})).await.ok();
    server
}

#[tokio::test]
async fn containers_of_each_kind_get_defaults_and_the_annotation_tells_of_them() {
    let server = with_range(json!([{
        "type": "Container", "default": {"cpu": "500m", "memory": "64Mi"}, "defaultRequest": {"cpu": "100m"}
    }]))
    .await;
    let made = server
        .create(
            PODS,
            &pod(
                "a",
                &json!({"initContainers": [
                    {"name": "first", "image": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
                    {"name": "beside", "image": "i", "restartPolicy": "Always"},
                ]}),
            ),
        )
        .await
        .ok();
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu, memory request for container main; cpu, memory limit for container main; cpu, memory request for init container beside; cpu, memory limit for init container beside"
    );
    let resources = |list: &str, i: usize| made["spec"][list][i]["resources"].clone();
    let filled =
        json!({"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}});
    assert_eq!(resources("containers", 0), filled);
    assert_eq!(resources("initContainers", 1), filled);
    assert_eq!(resources("initContainers", 0)["requests"], json!({"cpu": "1", "memory": "1Gi"}));
}

#[tokio::test]
async fn amounts_out_of_bounds_are_refused_in_upstreams_words() {
    let rows: [(&str, Value, Value, Option<&str>); 10] = [
        ("within", json!({"min": {"cpu": "1"}}), json!({"requests": {"cpu": "1"}}), None),
        (
            "nothing asked",
            json!({"min": {"cpu": "1"}}),
            json!({"requests": {"memory": "1"}}),
            // The least is the default.
            None,
        ),
        (
            "too little asked",
            json!({"min": {"cpu": "1"}}),
            json!({"requests": {"cpu": "900m"}}),
            Some("minimum cpu usage per Container is 1, but request is 900m"),
        ),
        ("no limit", json!({"max": {"example.com/x": "2"}, "default": {}}), json!({}), None),
        (
            "limit too high",
            json!({"max": {"memory": "1Gi"}}),
            json!({"limits": {"memory": "1.5Gi"}}),
            Some("maximum memory usage per Container is 1Gi, but limit is 1536Mi"),
        ),
        (
            "ratio kept",
            json!({"maxLimitRequestRatio": {"cpu": "2"}}),
            json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
            None,
        ),
        (
            "ratio too great",
            json!({"maxLimitRequestRatio": {"cpu": "2"}}),
            json!({"limits": {"cpu": "5"}, "requests": {"cpu": "2"}}),
            Some("cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000"),
        ),
        (
            "ratio of nothing",
            json!({"maxLimitRequestRatio": {"cpu": "2"}}),
            json!({"limits": {"memory": "1"}}),
            Some(
                "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
            ),
        ),
        (
            "ratio without limit",
            json!({"maxLimitRequestRatio": {"cpu": "2"}}),
            json!({"requests": {"cpu": "1"}}),
            Some(
                "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
            ),
        ),
        (
            "two complaints",
            json!({"min": {"cpu": "1", "memory": "1Gi"}}),
            json!({"requests": {"cpu": "1m", "memory": "1Mi"}}),
            Some(
                "[minimum cpu usage per Container is 1, but request is 1m, minimum memory usage per Container is 1Gi, but request is 1Mi]",
            ),
        ),
    ];
    for (row, mut item, resources, refusal) in rows {
        item["type"] = json!("Container");
        let server = with_range(json!([item])).await;
        let reply = server.create(PODS, &sized("a", &resources)).await;
        let message = refusal.map(|why| format!("pods \"a\" is forbidden: {why}"));
        expect(row, &reply, message.as_deref());
    }
}

#[tokio::test]
async fn a_pod_counts_with_its_init_containers_its_sidecars_and_what_it_declares_as_a_whole() {
    let container = |name: &str, cpu: &str| json!({"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}});
    let sidecar = |name: &str, cpu: &str| {
        let mut container = container(name, cpu);
        container["restartPolicy"] = json!("Always");
        container
    };
    let over = |sum: &str| {
        Some(format!("pods \"a\" is forbidden: maximum cpu usage per Pod is 3, but limit is {sum}"))
    };
    let rows = [
        ("containers together", json!({"containers": [container("a", "2"), container("b", "2")]}), over("4")),
        (
            "an init container alone",
            json!({"containers": [container("a", "1")], "initContainers": [container("i", "4")]}),
            over("4"),
        ),
        (
            "an init container that ends before",
            json!({"containers": [container("a", "2")], "initContainers": [container("i", "2")]}),
            None,
        ),
        (
            "a sidecar beside",
            json!({"containers": [container("a", "2")], "initContainers": [sidecar("s", "1500m")]}),
            over("3500m"),
        ),
        (
            "an init container beside a sidecar",
            json!({"containers": [container("a", "1")], "initContainers": [sidecar("s", "1"), container("i", "3")]}),
            over("4"),
        ),
        (
            "the pod as a whole",
            json!({"resources": {"limits": {"cpu": "3"}, "requests": {"cpu": "3"}}}),
            None,
        ),
        (
            "the pod as a whole, too much",
            json!({"resources": {"limits": {"cpu": "5"}, "requests": {"cpu": "3"}}}),
            over("5"),
        ),
    ];
    for (row, spec, refusal) in rows {
        let server = with_range(json!([{"type": "Pod", "max": {"cpu": "3"}}])).await;
        expect(row, &server.create(PODS, &pod("a", &spec)).await, refusal.as_deref());
    }
}

#[tokio::test]
async fn claims_are_held_to_their_own_bounds() {
    let server = with_range(
        json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]),
    )
    .await;
    let rows = [
        ("1Gi", None),
        ("1Mi", Some("minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi")),
        ("3Gi", Some("maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi")),
    ];
    for (size, refusal) in rows {
        let claim = json!({
            "metadata": {"name": format!("c{}", size.to_lowercase())},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
        });
        let name = claim["metadata"]["name"].as_str().unwrap().to_owned();
        let message = refusal.map(|why| format!("persistentvolumeclaims {name:?} is forbidden: {why}"));
        expect(size, &server.create(CLAIMS, &claim).await, message.as_deref());
    }
}

#[tokio::test]
async fn a_generated_name_is_told_as_far_as_upstream_knows_it() {
    let server = with_range(json!([{"type": "Container", "min": {"cpu": "1"}}])).await;
    let mut generated = sized("", &json!({"requests": {"cpu": "1m"}}));
    generated["metadata"] = json!({"generateName": "web-"});
    let message = server.create(PODS, &generated).await.refused(403)["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("pods \"web-"), "{message}");
    assert!(message.contains("minimum cpu usage"), "{message}");
    generated["spec"]["serviceAccountName"] = json!("nobody");
    let message = server.create(PODS, &generated).await.refused(403)["message"].clone();
    assert_eq!(
        message,
        "pods \"web-\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"
    );
}
