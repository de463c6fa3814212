//! ResourceQuota, one write at a time.

use sampan_testkit::{Admitting, TestServer, fixtures};
use serde_json::{Value, json};

use crate::{PODS, expect, pod, sized};

pub(crate) const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

async fn with_quota(spec: Value) -> TestServer {
    let server = Admitting::default().start().await;
    server.create(QUOTAS, &json!({"metadata": {"name": "q"}, "spec": spec})).await.ok();
    server
}

pub(crate) async fn used(server: &TestServer, quota: &str) -> Value {
    server.get(&format!("{QUOTAS}/{quota}")).await.ok()["status"]["used"].clone()
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[tokio::test]
async fn a_new_quota_counts_what_is_there_and_a_changed_one_counts_anew() {
    let server = Admitting::default().start().await;
    server.create(SECRETS, &named("a")).await.ok();
    server.create(PODS, &sized("p", &json!({"requests": {"cpu": "100m"}}))).await.ok();
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "5", "requests.cpu": "1", "pods": "3"}}});
    server.create(QUOTAS, &quota).await.ok();
    let status = server.get(&format!("{QUOTAS}/q")).await.ok()["status"].clone();
    assert_eq!(status["hard"], quota["spec"]["hard"]);
    assert_eq!(status["used"], json!({"secrets": "1", "requests.cpu": "100m", "pods": "1"}));
    let change = json!({"spec": {"hard": {"pods": null, "requests.cpu": null, "configmaps": "4"}}});
    server.patch(&format!("{QUOTAS}/q"), "merge-patch", &change).await.ok();
    assert_eq!(used(&server, "q").await, json!({"secrets": "1", "configmaps": "0"}));
}

#[tokio::test]
async fn what_goes_beyond_a_quota_is_refused_and_what_goes_away_makes_room() {
    let server = with_quota(json!({"hard": {"secrets": "1", "count/secrets": "9"}})).await;
    server.create(SECRETS, &named("a")).await.ok();
    let refused = server.create(SECRETS, &named("b")).await;
    let message = "secrets \"b\" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1";
    expect("full", &refused, Some(message));
    assert_eq!(used(&server, "q").await, json!({"secrets": "1", "count/secrets": "1"}));
    server.delete(&format!("{SECRETS}/a")).await.ok();
    assert_eq!(used(&server, "q").await, json!({"secrets": "0", "count/secrets": "0"}));
    expect("room again", &server.create(SECRETS, &named("b")).await, None);
}

#[tokio::test]
async fn a_dry_run_is_judged_and_not_counted() {
    let server = with_quota(json!({"hard": {"secrets": "1"}})).await;
    let path = format!("{SECRETS}?dryRun=All");
    server.create(&path, &named("a")).await.ok();
    assert_eq!(used(&server, "q").await, json!({"secrets": "0"}));
    server.create(SECRETS, &named("a")).await.ok();
    server.create(&path, &named("b")).await.refused(403);
    server.request(http::Method::DELETE, &format!("{SECRETS}/a?dryRun=All"), &[], "").await.ok();
    assert_eq!(used(&server, "q").await, json!({"secrets": "1"}));
}

#[tokio::test]
async fn every_kind_can_be_counted_by_its_number() {
    let server = with_quota(json!({"hard": {"count/deployments.apps": "1", "count/configmaps": "9"}})).await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    server.create(path, &fixtures::deployment("a", 1)).await.ok();
    let message = "deployments.apps \"b\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1";
    expect("second", &server.create(path, &fixtures::deployment("b", 1)).await, Some(message));
}

#[tokio::test]
async fn a_quota_counts_quotas_and_may_go_itself() {
    let server = with_quota(json!({"hard": {"resourcequotas": "2"}})).await;
    assert_eq!(used(&server, "q").await, json!({"resourcequotas": "1"}));
    let another = json!({"metadata": {"name": "r"}, "spec": {"hard": {"pods": "1"}}});
    server.create(QUOTAS, &another).await.ok();
    assert_eq!(used(&server, "q").await, json!({"resourcequotas": "2"}));
    server.delete(&format!("{QUOTAS}/r")).await.ok();
    assert_eq!(used(&server, "q").await, json!({"resourcequotas": "1"}));
    server.delete(&format!("{QUOTAS}/q")).await.ok();
    server.create(QUOTAS, &another).await.ok();
}

#[tokio::test]
async fn pods_are_counted_by_what_they_ask_for_until_they_end() {
    let server = with_quota(json!({"hard": {
        "pods": "4", "count/pods": "9", "cpu": "2", "limits.memory": "1Gi", "requests.ephemeral-storage": "1Gi",
        "requests.example.com/gpu": "2", "hugepages-2Mi": "8Mi",
    }}))
    .await;
    let resources = json!({
        "requests": {"cpu": "500m", "ephemeral-storage": "1Mi"},
        "limits": {"cpu": "1", "memory": "100Mi", "example.com/gpu": "1", "hugepages-2Mi": "4Mi"},
    });
    let mut full = sized("a", &resources);
    full["spec"]["initContainers"] = json!([
        {"name": "i", "image": "i", "resources": {"requests": {"cpu": "800m"}, "limits": {"memory": "1Mi"}}},
    ]);
    server.create(PODS, &full).await.ok();
    let expected = json!({
        "pods": "1", "count/pods": "1", "cpu": "800m", "limits.memory": "100Mi", "requests.ephemeral-storage": "1Mi",
        "requests.example.com/gpu": "1", "hugepages-2Mi": "4Mi",
    });
    assert_eq!(used(&server, "q").await, expected);
    let ended = json!({"status": {"phase": "Succeeded"}});
    server.patch(&format!("{PODS}/a/status"), "merge-patch", &ended).await.ok();
    let expected = json!({
        "pods": "0", "count/pods": "1", "cpu": "0", "limits.memory": "0", "requests.ephemeral-storage": "0",
        "requests.example.com/gpu": "0", "hugepages-2Mi": "0",
    });
    assert_eq!(used(&server, "q").await, expected);
    server.delete(&format!("{PODS}/a?gracePeriodSeconds=0")).await.ok();
    assert_eq!(used(&server, "q").await["count/pods"], "0");
}

#[tokio::test]
async fn where_compute_is_limited_every_container_has_to_declare_it() {
    let server = with_quota(json!({"hard": {"requests.cpu": "1", "limits.memory": "1Gi"}})).await;
    let two = json!({
        "containers": [{"name": "b", "image": "i"}, {"name": "a", "image": "i", "resources": {"requests": {"cpu": "1m"}}}],
    });
    let message =
        "pods \"p\" is forbidden: failed quota: q: must specify limits.memory for: a,b; requests.cpu for: b";
    expect("two", &server.create(PODS, &pod("p", &two)).await, Some(message));
    let whole = json!({"resources": {"requests": {"cpu": "1m"}, "limits": {"memory": "1Mi", "cpu": "1m"}}});
    expect("declared as a whole", &server.create(PODS, &pod("p", &whole)).await, None);
}

#[tokio::test]
async fn scopes_say_which_pods_a_quota_counts() {
    let asks = json!({"containers": [{"name": "m", "image": "i", "resources": {"requests": {"cpu": "1m"}}}]});
    let with = |field: &str, value: Value| {
        let mut spec = asks.clone();
        spec[field] = value;
        spec
    };
    let near = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "k", "labelSelector": {"matchLabels": {"a": "b"}}, "namespaces": ["other"]}
    ]}});
    let high = |operator: &str, values: Value| {
        json!({"hard": {"pods": "5"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": operator, "values": values}
        ]}})
    };
    let scope = |name: &str| json!({"hard": {"pods": "5"}, "scopes": [name]});
    let plain = json!({});
    let rows = [
        ("terminating", scope("Terminating"), with("activeDeadlineSeconds", json!(5)), "1"),
        ("not terminating", scope("Terminating"), plain.clone(), "0"),
        ("endless", scope("NotTerminating"), plain.clone(), "1"),
        ("best effort", scope("BestEffort"), plain.clone(), "1"),
        ("asks for something", scope("BestEffort"), asks.clone(), "0"),
        ("not best effort", scope("NotBestEffort"), asks.clone(), "1"),
        ("across namespaces", scope("CrossNamespacePodAffinity"), with("affinity", near), "1"),
        ("within its namespace", scope("CrossNamespacePodAffinity"), plain.clone(), "0"),
        (
            "of the class",
            high("In", json!(["system-node-critical"])),
            with("priorityClassName", json!("system-node-critical")),
            "1",
        ),
        (
            "of another class",
            high("In", json!(["x"])),
            with("priorityClassName", json!("system-node-critical")),
            "0",
        ),
        ("of no class", high("NotIn", json!(["x"])), plain.clone(), "1"),
        ("of any class", high("Exists", json!([])), plain, "0"),
    ];
    for (row, spec, pod_spec, expected) in rows {
        let server = with_quota(spec).await;
        server.create(PODS, &pod("p", &pod_spec)).await.ok();
        assert_eq!(used(&server, "q").await, json!({"pods": expected}), "{row}");
        server.delete(&format!("{PODS}/p?gracePeriodSeconds=0")).await.ok();
        assert_eq!(used(&server, "q").await, json!({"pods": "0"}), "{row}: gone");
    }
}

#[tokio::test]
async fn a_pod_that_gets_a_deadline_moves_to_the_other_scope() {
    let server = with_quota(json!({"hard": {"pods": "5"}, "scopes": ["Terminating"]})).await;
    let other =
        json!({"metadata": {"name": "r"}, "spec": {"hard": {"pods": "5"}, "scopes": ["NotTerminating"]}});
    server.create(QUOTAS, &other).await.ok();
    server.create(PODS, &pod("p", &json!({}))).await.ok();
    let of = async |quota| used(&server, quota).await["pods"].as_str().unwrap().to_owned();
    assert_eq!((of("q").await, of("r").await), ("0".into(), "1".into()));
    let deadline = json!({"spec": {"activeDeadlineSeconds": 9}});
    server.patch(&format!("{PODS}/p"), "merge-patch", &deadline).await.ok();
    assert_eq!((of("q").await, of("r").await), ("1".into(), "0".into()));
}

#[tokio::test]
async fn services_count_their_node_ports_and_balancers_and_may_change() {
    const SERVICES: &str = "/api/v1/namespaces/default/services";
    let server = with_quota(
        json!({"hard": {"services": "4", "services.nodeports": "2", "services.loadbalancers": "1"}}),
    )
    .await;
    let service = |name: &str, kind: &str, ports: u16| {
        let ports: Vec<_> = (1..=ports).map(|p| json!({"name": format!("p{p}"), "port": p})).collect();
        json!({"metadata": {"name": name}, "spec": {"type": kind, "ports": ports}})
    };
    // One is the API's own.
    assert_eq!(used(&server, "q").await["services"], "1");
    server.create(SERVICES, &service("a", "LoadBalancer", 2)).await.ok();
    let all = |n: &str, ports: &str, balancers: &str| json!({"services": n, "services.nodeports": ports, "services.loadbalancers": balancers});
    assert_eq!(used(&server, "q").await, all("2", "2", "1"));
    let message = "services \"b\" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=2, limited: services.nodeports=2";
    expect("no port left", &server.create(SERVICES, &service("b", "NodePort", 1)).await, Some(message));
    let plain = json!({"spec": {"type": "ClusterIP"}});
    server.patch(&format!("{SERVICES}/a"), "merge-patch", &plain).await.ok();
    assert_eq!(used(&server, "q").await, all("2", "0", "0"));
    server.create(SERVICES, &service("b", "ClusterIP", 1)).await.ok();
    let balanced = json!({"spec": {"type": "LoadBalancer"}});
    server.patch(&format!("{SERVICES}/b"), "merge-patch", &balanced).await.ok();
    assert_eq!(used(&server, "q").await, all("3", "1", "1"));
    let refused = server.patch(&format!("{SERVICES}/a"), "merge-patch", &balanced).await.refused(403);
    assert!(refused["message"].as_str().unwrap().contains("exceeded quota: q"), "{refused}");
}

#[tokio::test]
async fn claims_count_storage_altogether_and_by_class() {
    const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
    let hard = json!({
        "requests.storage": "10Gi", "persistentvolumeclaims": "5", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    });
    let server = with_quota(json!({"hard": hard})).await;
    let claim = |name: &str, class: &str, size: &str| {
        json!({"metadata": {"name": name}, "spec": {
            "storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}},
        }})
    };
    server.create(CLAIMS, &claim("a", "gold", "1Gi")).await.ok();
    server.create(CLAIMS, &claim("b", "tin", "2Gi")).await.ok();
    let message = "persistentvolumeclaims \"c\" is forbidden: exceeded quota: q, requested: gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1, used: gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1Gi, limited: gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1Gi";
    expect("gold", &server.create(CLAIMS, &claim("c", "gold", "1")).await, Some(message));
    let now = used(&server, "q").await;
    assert_eq!(
        (now["requests.storage"].as_str(), now["persistentvolumeclaims"].as_str()),
        (Some("3Gi"), Some("2"))
    );
    // The finalizer keeps it, and so it counts until it is gone.
    server.delete(&format!("{CLAIMS}/a")).await;
    assert_eq!(used(&server, "q").await["persistentvolumeclaims"], "2");
    let free = json!({"metadata": {"finalizers": null}});
    server.patch(&format!("{CLAIMS}/a"), "merge-patch", &free).await.ok();
    let now = used(&server, "q").await;
    assert_eq!(
        (now["requests.storage"].as_str(), now["persistentvolumeclaims"].as_str()),
        (Some("2Gi"), Some("1"))
    );
}

#[tokio::test]
async fn claims_of_devices_count_by_class() {
    const CLAIMS: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    let server = with_quota(json!({"hard": {
        "gpu.deviceclass.resource.k8s.io/devices": "40", "count/resourceclaims.resource.k8s.io": "9",
    }}))
    .await;
    let exact = |mode: &str, count: Option<i64>| {
        let mut exact = json!({"deviceClassName": "gpu", "allocationMode": mode});
        if let Some(count) = count {
            exact["count"] = json!(count);
        }
        exact
    };
    let first = |name: &str, count: i64| json!({"name": name, "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count});
    let claim = json!({"metadata": {"name": "a"}, "spec": {"devices": {"requests": [
        {"name": "r1", "exactly": exact("ExactCount", Some(2))},
        {"name": "r2", "exactly": exact("All", None)},
        {"name": "r3", "firstAvailable": [first("s1", 1), first("s2", 3)]},
    ]}}});
    server.create(CLAIMS, &claim).await.ok();
    assert_eq!(
        used(&server, "q").await,
        json!({"gpu.deviceclass.resource.k8s.io/devices": "37", "count/resourceclaims.resource.k8s.io": "1"})
    );
}

#[tokio::test]
async fn what_is_limited_needs_a_quota_that_covers_it() {
    let limited = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration", "limitedResources": [
        {"resource": "persistentvolumeclaims", "matchContains": ["gold.storageclass"]},
        {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}]},
    ]});
    let server = Admitting::default().configured("ResourceQuota", limited).start().await;
    let claim = json!({"metadata": {"name": "a"}, "spec": {
        "storageClassName": "gold", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}},
    }});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let message = "persistentvolumeclaims \"a\" is forbidden: insufficient quota to consume: gold.storageclass.storage.k8s.io/persistentvolumeclaims,gold.storageclass.storage.k8s.io/requests.storage";
    expect("no quota", &server.create(claims, &claim).await, Some(message));
    let critical = pod("p", &json!({"priorityClassName": "system-node-critical"}));
    let status = server.create(PODS, &critical).await.refused(500);
    assert_eq!(
        status["message"],
        "insufficient quota to match these scopes: [{PriorityClass In [system-node-critical]}]"
    );
    expect("not limited", &server.create(PODS, &pod("q", &json!({}))).await, None);
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
    ]}}});
    server.create(QUOTAS, &quota).await.ok();
    expect("covered", &server.create(PODS, &critical).await, None);
}

#[tokio::test]
async fn a_status_that_was_wiped_is_counted_again_before_it_is_relied_on() {
    let server = with_quota(json!({"hard": {"secrets": "2"}})).await;
    server.create(SECRETS, &named("a")).await.ok();
    let wiped = json!({"status": {"hard": null, "used": null}});
    server.patch(&format!("{QUOTAS}/q/status"), "merge-patch", &wiped).await.ok();
    server.create(SECRETS, &named("b")).await.ok();
    assert_eq!(used(&server, "q").await, json!({"secrets": "2"}));
    server.create(SECRETS, &named("c")).await.refused(403);
}

#[tokio::test]
async fn a_pod_that_changes_its_scope_with_its_last_breath_leaves_nothing_behind() {
    let server = with_quota(json!({"hard": {"pods": "5"}, "scopes": ["Terminating"]})).await;
    let mut held = pod("p", &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/f"]);
    server.create(PODS, &held).await.ok();
    server.delete(&format!("{PODS}/p?gracePeriodSeconds=0")).await.ok();
    let last = json!({"metadata": {"finalizers": null}, "spec": {"activeDeadlineSeconds": 9}});
    server.patch(&format!("{PODS}/p"), "merge-patch", &last).await.ok();
    server.get(&format!("{PODS}/p")).await.refused(404);
    assert_eq!(used(&server, "q").await, json!({"pods": "0"}));
}
