//! Plug-ins about pods: ServiceAccount, AlwaysPullImages, PodNodeSelector, PodTolerationRestriction,
//! ExtendedResourceToleration, LimitPodHardAntiAffinityTopology.

use sampan_testkit::{Admitting, TestServer};
use serde_json::{Value, json};

use crate::{PODS, expect, pod, sized};

async fn annotate(server: &TestServer, annotations: Value) {
    let change = json!({"metadata": {"annotations": annotations}});
    server.patch("/api/v1/namespaces/default", "merge-patch", &change).await.ok();
}

#[tokio::test]
async fn an_account_that_enforces_its_secrets_lets_its_pods_use_no_others() {
    let server = Admitting::default().start().await;
    let account = json!({
        "metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "mine"}], "imagePullSecrets": [{"name": "pull"}],
    });
    server.create("/api/v1/namespaces/default/serviceaccounts", &account).await.ok();
    let env = |name: &str| json!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]);
    let container = |field: &str, value: Value| json!({"name": "c", "image": "i", field: value});
    let all = |name: &str| json!([{"secretRef": {"name": name}}]);
    let no = "is not allowed because service account strict does not reference that";
    let rows = [
        ("nothing", json!({}), None),
        ("its own", json!({"volumes": [{"name": "v", "secret": {"secretName": "mine"}}]}), None),
        (
            "a volume",
            json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}),
            Some(format!("volume with secret.secretName=\"x\" {no} secret")),
        ),
        (
            "a variable",
            json!({"containers": [container("env", env("x"))]}),
            Some(format!("container c with envVar E referencing secret.secretName=\"x\" {no} secret")),
        ),
        (
            "all of a secret",
            json!({"containers": [container("envFrom", all("x"))]}),
            Some(format!("container c with envFrom referencing secret.secretName=\"x\" {no} secret")),
        ),
        (
            "an init container",
            json!({"initContainers": [container("env", env("x"))]}),
            Some(format!("init container c with envVar E referencing secret.secretName=\"x\" {no} secret")),
        ),
        (
            "pulling",
            json!({"imagePullSecrets": [{"name": "pull"}, {"name": "x"}]}),
            Some(format!("imagePullSecrets[1].name=\"x\" {no} imagePullSecret")),
        ),
    ];
    for (i, (row, mut spec, refusal)) in rows.into_iter().enumerate() {
        spec["serviceAccountName"] = json!("strict");
        let name = format!("p{i}");
        let message = refusal.map(|why| format!("pods {name:?} is forbidden: {why}"));
        expect(row, &server.create(PODS, &pod(&name, &spec)).await, message.as_deref());
    }
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "i", "envFrom": all("x")}]}});
    let reply =
        server.patch(&format!("{PODS}/p0/ephemeralcontainers"), "strategic-merge-patch", &debug).await;
    let message = format!(
        "pods \"p0\" is forbidden: ephemeral container d with envFrom referencing secret.secretName=\"x\" {no} secret"
    );
    expect("an ephemeral container", &reply, Some(&message));
}

#[tokio::test]
async fn a_mirror_pod_has_no_account_and_nothing_that_needs_one() {
    let server = Admitting::default().start().await;
    let rows = [
        ("account", json!({"serviceAccountName": "default"}), Some("reference service accounts")),
        (
            "secret",
            json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}),
            Some("reference secrets"),
        ),
        (
            "token",
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            Some("use ServiceAccountToken volume projections"),
        ),
        ("nothing", json!({}), None),
    ];
    for (row, mut spec, refusal) in rows {
        spec["nodeName"] = json!("n");
        let mut mirror = pod("m", &spec);
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        let message = refusal.map(|why| format!("pods \"m\" is forbidden: a mirror pod may not {why}"));
        let reply = server.create(PODS, &mirror).await;
        expect(row, &reply, message.as_deref());
        if refusal.is_none() {
            assert_eq!(reply.json()["spec"].get("volumes"), None);
        }
    }
}

#[tokio::test]
async fn a_token_is_mounted_unless_the_account_or_the_pod_says_otherwise() {
    let server = Admitting::default().start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    server
        .create(accounts, &json!({"metadata": {"name": "off"}, "automountServiceAccountToken": false}))
        .await
        .ok();
    let rows = [
        ("default", json!(null), true),
        ("default", json!(false), false),
        ("off", json!(null), false),
        ("off", json!(true), true),
    ];
    for (i, (account, automount, mounted)) in rows.into_iter().enumerate() {
        let spec = json!({"serviceAccountName": account, "automountServiceAccountToken": automount});
        let made = server.create(PODS, &pod(&format!("p{i}"), &spec)).await.ok();
        assert_eq!(made["spec"]["volumes"].is_array(), mounted, "row {i}");
    }
}

#[tokio::test]
async fn always_pull_images_pulls_every_image() {
    let server = Admitting::default().with(&["AlwaysPullImages"]).start().await;
    let made = server
        .create(
            PODS,
            &pod(
                "p",
                &json!({
                    "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Never"}],
                    "initContainers": [{"name": "i", "image": "i"}],
                    "volumes": [{"name": "v", "image": {"reference": "r"}}],
                }),
            ),
        )
        .await
        .ok();
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(made["spec"]["initContainers"][0]["imagePullPolicy"], "Always");
    assert_eq!(made["spec"]["volumes"][0]["image"]["pullPolicy"], "Always");
}

#[tokio::test]
async fn pods_get_the_node_selector_of_their_namespace() {
    let configuration = json!({"podNodeSelectorPluginConfig": {
        "clusterDefaultNodeSelector": "region=here", "default": "region=here,zone=a,team=red",
    }});
    let server = Admitting::default()
        .with(&["PodNodeSelector"])
        .configured("PodNodeSelector", configuration)
        .start()
        .await;
    let made = server.create(PODS, &pod("a", &json!({"nodeSelector": {"zone": "a"}}))).await.ok();
    assert_eq!(made["spec"]["nodeSelector"], json!({"region": "here", "zone": "a"}));
    let rows = [
        (
            json!({"region": "there"}),
            "pod node label selector conflicts with its namespace node label selector",
        ),
        (json!({"zone": "b"}), "pod node label selector labels conflict with its namespace whitelist"),
    ];
    for (selector, why) in rows {
        let message = format!("pods \"b\" is forbidden: {why}");
        expect(
            why,
            &server.create(PODS, &pod("b", &json!({"nodeSelector": selector}))).await,
            Some(&message),
        );
    }
    annotate(&server, json!({"scheduler.alpha.kubernetes.io/node-selector": "team=red"})).await;
    let made = server.create(PODS, &pod("c", &json!({}))).await.ok();
    assert_eq!(made["spec"]["nodeSelector"], json!({"team": "red"}));
}

#[tokio::test]
async fn pods_tolerate_what_their_namespace_does_and_no_more_than_it_allows() {
    let server = Admitting::default()
        .with(&["PodTolerationRestriction"])
        .without(&["DefaultTolerationSeconds"])
        .start()
        .await;
    annotate(
        &server,
        json!({
            "scheduler.alpha.kubernetes.io/defaultTolerations": r#"[{"key":"a","operator":"Exists","effect":"NoSchedule"}]"#,
            "scheduler.alpha.kubernetes.io/tolerationsWhitelist":
                r#"[{"key":"a","operator":"Exists"},{"key":"node.kubernetes.io/memory-pressure","operator":"Exists"}]"#,
        }),
    )
    .await;
    let exists = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoSchedule"});
    let made = server.create(PODS, &pod("a", &json!({}))).await.ok();
    assert_eq!(made["spec"]["tolerations"], json!([exists("a")]));
    let narrower = json!([{"key": "a", "operator": "Equal", "value": "v", "effect": "NoSchedule"}]);
    let made = server.create(PODS, &pod("b", &json!({"tolerations": narrower}))).await.ok();
    assert_eq!(made["spec"]["tolerations"], json!([exists("a")]), "the default covers it");
    let made = server.create(PODS, &sized("c", &json!({"requests": {"cpu": "1m"}}))).await.ok();
    assert_eq!(
        made["spec"]["tolerations"],
        json!([exists("a"), exists("node.kubernetes.io/memory-pressure")])
    );
    let status = server.create(PODS, &pod("d", &json!({"tolerations": [exists("b")]}))).await.refused(500);
    assert_eq!(
        status["message"],
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"
    );
}

#[tokio::test]
async fn a_pod_tolerates_the_taints_of_the_devices_that_it_asks_for() {
    let server = Admitting::default()
        .with(&["ExtendedResourceToleration"])
        .without(&["DefaultTolerationSeconds"])
        .start()
        .await;
    let resources = json!({"limits": {"example.com/b": "1", "example.com/a": "1", "cpu": "1"}});
    let made = server.create(PODS, &sized("a", &resources)).await.ok();
    let exists = |key: &str| json!({"key": key, "operator": "Exists"});
    assert_eq!(made["spec"]["tolerations"], json!([exists("example.com/a"), exists("example.com/b")]));
}

#[tokio::test]
async fn a_pod_keeps_others_off_its_node_at_most() {
    let server = Admitting::default().with(&["LimitPodHardAntiAffinityTopology"]).start().await;
    let apart = |key: &str| {
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": key, "labelSelector": {"matchLabels": {"a": "b"}}}
        ]}}})
    };
    expect("node", &server.create(PODS, &pod("a", &apart("kubernetes.io/hostname"))).await, None);
    let message = "pods \"b\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed";
    expect("zone", &server.create(PODS, &pod("b", &apart("zone"))).await, Some(message));
}
