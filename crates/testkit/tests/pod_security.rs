//! PodSecurity as clients meet it: what namespaces' labels refuse, warn of, and tell the audit log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use sampan_apiserver::admission::Plugins;
use sampan_apiserver::audit::Recorder;
use sampan_builtins::admission::pod_security::{Configuration, PodSecurity};
use sampan_store::embedded::Embedded;
use sampan_testkit::{TestServer, fixtures, user};
use serde_json::{Value, json};

const RESTRICTED: &str = "allowPrivilegeEscalation != false (container \"main\" must set securityContext.allowPrivilegeEscalation=false), \
     unrestricted capabilities (container \"main\" must set securityContext.capabilities.drop=[\"ALL\"]), \
     runAsNonRoot != true (pod or container \"main\" must set securityContext.runAsNonRoot=true), \
     seccompProfile (pod or container \"main\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";

async fn server(config: Value) -> TestServer {
    over(Arc::new(Embedded::in_memory()), config).await
}

async fn over(store: Arc<Embedded>, config: Value) -> TestServer {
    let mut config = config;
    config["apiVersion"] = "pod-security.admission.config.k8s.io/v1".into();
    config["kind"] = "PodSecurityConfiguration".into();
    let config = Configuration::from_value(&sampan_model::Value::from(config)).unwrap();
    TestServer::configured(store, |server| {
        server.admission = Plugins::new(vec![Arc::new(PodSecurity::new(config))]);
    })
    .await
}

fn labels(of: &[(&str, &str)]) -> Value {
    of.iter().map(|(k, v)| (format!("pod-security.kubernetes.io/{k}"), Value::from(*v))).collect()
}

async fn namespace(server: &TestServer, name: &str, of: &[(&str, &str)]) -> Vec<String> {
    let body = json!({"metadata": {"name": name, "labels": labels(of)}});
    let reply = server.create("/api/v1/namespaces", &body).await;
    reply.ok();
    reply.warnings()
}

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

/// A pod that baseline refuses.
fn bad_pod(name: &str) -> Value {
    let mut pod = fixtures::pod(name);
    pod["spec"]["hostNetwork"] = true.into();
    pod
}

/// What a request tells the audit log.
async fn annotations(server: &TestServer, path: &str, body: &Value) -> BTreeMap<String, String> {
    let recorder = Recorder::listening();
    let request = Request::post(path).header("content-type", "application/json");
    let mut request = request.body(Bytes::from(body.to_string())).unwrap();
    request.extensions_mut().insert(recorder.clone());
    server.send(request).await;
    recorder.annotations()
}

#[tokio::test]
async fn a_pod_that_violates_the_enforced_level_is_refused_and_its_controller_is_not() {
    let server = server(json!({})).await;
    namespace(&server, "r", &[("enforce", "restricted")]).await;
    let status = server.create(&pods("r"), &fixtures::pod("p")).await.refused(403);
    assert_eq!(
        status["message"],
        format!("pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": {RESTRICTED}")
    );
    let reply = server.create("/apis/apps/v1/namespaces/r/deployments", &fixtures::deployment("d", 1)).await;
    reply.ok();
    assert!(reply.warnings().is_empty());
}

#[tokio::test]
async fn an_older_version_demands_what_it_demanded_then() {
    let server = server(json!({})).await;
    namespace(&server, "old", &[("enforce", "restricted"), ("enforce-version", "v1.7")]).await;
    let status = server.create(&pods("old"), &fixtures::pod("p")).await.refused(403);
    assert_eq!(
        status["message"],
        "pods \"p\" is forbidden: violates PodSecurity \"restricted:v1.7\": runAsNonRoot != true (pod or container \"main\" must set securityContext.runAsNonRoot=true)"
    );
}

#[tokio::test]
async fn every_kind_that_embeds_a_pod_is_warned_about() {
    let server = server(json!({})).await;
    namespace(&server, "w", &[("warn", "baseline")]).await;
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {
        "hostNetwork": true, "restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}],
    }});
    let mut lasting = template.clone();
    lasting["spec"]["restartPolicy"] = "Always".into();
    let selector = json!({"matchLabels": {"app": "x"}});
    let spec = json!({"selector": selector, "template": lasting, "serviceName": "s"});
    let without_service = json!({"selector": selector, "template": lasting});
    let rows = [
        ("/apis/apps/v1", "deployments", json!({"spec": without_service})),
        ("/apis/apps/v1", "replicasets", json!({"spec": without_service})),
        ("/apis/apps/v1", "daemonsets", json!({"spec": without_service})),
        ("/apis/apps/v1", "statefulsets", json!({"spec": spec})),
        (
            "/api/v1",
            "replicationcontrollers",
            json!({"spec": {"selector": {"app": "x"}, "template": lasting}}),
        ),
        ("/api/v1", "podtemplates", json!({"template": lasting})),
        ("/apis/batch/v1", "jobs", json!({"spec": {"template": template}})),
        (
            "/apis/batch/v1",
            "cronjobs",
            json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}}),
        ),
        ("/api/v1", "pods", bad_pod("p")),
    ];
    for (root, resource, mut body) in rows {
        body["metadata"]["name"] = "a".into();
        let reply = server.create(&format!("{root}/namespaces/w/{resource}"), &body).await;
        reply.ok();
        assert_eq!(
            reply.warnings(),
            [
                "299 - \"would violate PodSecurity \\\"baseline:latest\\\": host namespaces (hostNetwork=true)\""
            ],
            "{resource}"
        );
    }
}

#[tokio::test]
async fn only_changes_that_matter_are_looked_at_again() {
    let server = server(json!({})).await;
    namespace(&server, "n", &[]).await;
    server.create(&pods("n"), &bad_pod("p")).await.ok();
    let relabel = json!({"metadata": {"labels": labels(&[("enforce", "baseline")])}});
    server.patch("/api/v1/namespaces/n", "merge-patch", &relabel).await.ok();

    let path = format!("{}/p", pods("n"));
    server.patch(&path, "merge-patch", &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    let status = json!({"status": {"phase": "Running"}});
    server.patch(&format!("{path}/status"), "merge-patch", &status).await.ok();
    let image = json!({"spec": {"containers": [{"name": "main", "image": "other"}]}});
    server.patch(&path, "strategic-merge-patch", &image).await.refused(403);
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "x"}]}});
    let refusal = server.patch(&format!("{path}/ephemeralcontainers"), "strategic-merge-patch", &debug).await;
    assert_eq!(
        refusal.refused(403)["message"],
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    );
}

#[tokio::test]
async fn a_stricter_namespace_tells_of_its_pods_that_would_be_refused() {
    let server = server(json!({})).await;
    namespace(&server, "n", &[]).await;
    for name in ["c", "a", "b"] {
        server.create(&pods("n"), &bad_pod(name)).await.ok();
    }
    let mut privileged = fixtures::pod("z");
    privileged["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    server.create(&pods("n"), &privileged).await.ok();
    server.create(&pods("n"), &fixtures::pod("good")).await.ok();

    let relabel = |level: &str| json!({"metadata": {"labels": labels(&[("enforce", level)])}});
    let change = async |level: &str| {
        let reply = server.patch("/api/v1/namespaces/n", "merge-patch", &relabel(level)).await;
        reply.ok();
        reply.warnings()
    };
    assert_eq!(
        change("baseline").await,
        [
            "299 - \"existing pods in namespace \\\"n\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
            "299 - \"a (and 2 other pods): host namespaces\"",
            "299 - \"z: privileged\"",
        ]
    );
    assert!(change("baseline").await.is_empty(), "nothing changed");
    assert_eq!(change("restricted").await.len(), 4, "a third group: the good pod");
    assert!(change("baseline").await.is_empty(), "less is asked of them than before");
    assert!(change("privileged").await.is_empty(), "nothing is asked of them");
}

#[tokio::test]
async fn one_pod_of_each_controller_is_looked_at_before_the_rest_of_three_thousand() {
    let server = server(json!({})).await;
    namespace(&server, "n", &[]).await;
    let owner =
        |uid: &str| json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": uid, "controller": true}]);
    for i in 0..3001 {
        let mut pod = fixtures::pod(&format!("a{i:04}"));
        pod["metadata"]["ownerReferences"] = owner("one");
        server.create(&pods("n"), &pod).await.ok();
    }
    let mut bad = bad_pod("z");
    bad["metadata"]["ownerReferences"] = owner("two");
    server.create(&pods("n"), &bad).await.ok();
    let relabel = json!({"metadata": {"labels": labels(&[("enforce", "baseline")])}});
    let warnings = server.patch("/api/v1/namespaces/n", "merge-patch", &relabel).await.warnings();
    assert!(warnings[0].starts_with("299 - \"new PodSecurity enforce level only checked against the first "));
    assert!(warnings[0].ends_with(" of 3002 existing pods\""), "{warnings:?}");
    assert_eq!(warnings.last().unwrap(), "299 - \"z: host namespaces\"");
}

#[tokio::test]
async fn malformed_labels_are_refused_unless_they_were_there_before() {
    let store = Arc::new(Embedded::in_memory());
    let careless = TestServer::over(store.clone()).await;
    let body = json!({"metadata": {"name": "n", "labels": labels(&[("enforce", "x")])}});
    careless.create("/api/v1/namespaces", &body).await.ok();

    let server = over(store, json!({})).await;
    let change = async |change: Value| {
        let body = json!({"metadata": {"labels": change}});
        server.patch("/api/v1/namespaces/n", "merge-patch", &body).await
    };
    change(json!({"a": "b"})).await.ok();
    change(labels(&[("warn-version", "1.1")])).await.refused(422);
    let told = annotations(&server, &pods("n"), &fixtures::pod("p")).await;
    assert_eq!(told["pod-security.kubernetes.io/enforce-policy"], "restricted:latest");
    assert_eq!(
        told["pod-security.kubernetes.io/error"],
        "Failed to parse policy: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted"
    );
    server.create(&pods("n"), &fixtures::pod("p")).await.refused(403);

    let mut other = body;
    other["metadata"]["name"] = "m".into();
    assert_eq!(
        server.create("/api/v1/namespaces", &other).await.refused(422)["message"],
        "Namespace \"m\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted"
    );
}

#[tokio::test]
async fn exemptions_and_defaults_come_from_the_configuration() {
    let server = server(json!({
        "defaults": {"enforce": "baseline"},
        "exemptions": {"usernames": ["trusted"], "namespaces": ["exempt"], "runtimeClasses": ["vm"]},
    }))
    .await;
    namespace(&server, "n", &[]).await;
    let warnings = namespace(&server, "exempt", &[("enforce", "restricted"), ("warn", "baseline")]).await;
    assert_eq!(
        warnings,
        [
            "299 - \"namespace \\\"exempt\\\" is exempt from Pod Security, and the policy (enforce=restricted:latest, warn=baseline:latest) will be ignored\""
        ]
    );
    server.create(&pods("n"), &bad_pod("a")).await.refused(403);
    server.create(&pods("exempt"), &bad_pod("a")).await.ok();
    let mut in_vm = bad_pod("b");
    in_vm["spec"]["runtimeClassName"] = "vm".into();
    server.create(&pods("n"), &in_vm).await.ok();
    let trusted = server.asked_by(user("trusted", &["system:masters"]));
    trusted.create(&pods("n"), &bad_pod("c")).await.ok();
    let metrics = server.get("/metrics").await.text();
    assert!(
        metrics.contains(
            "pod_security_exemptions_total{request_operation=\"create\",resource=\"pod\",subresource=\"\"} 3"
        ),
        "{metrics}"
    );
    assert!(metrics.contains(
        "pod_security_evaluations_total{decision=\"deny\",policy_level=\"baseline\",policy_version=\"latest\",mode=\"enforce\",request_operation=\"create\",resource=\"pod\",subresource=\"\"} 1"
    ));
}

/// A name, where what is posted, and what is told.
type Told = (&'static str, String, Value, &'static [(&'static str, &'static str)]);

#[tokio::test]
async fn the_audit_log_is_told_what_was_enforced_and_what_was_violated() {
    let server = server(json!({"exemptions": {"namespaces": ["exempt"]}})).await;
    namespace(
        &server,
        "n",
        &[("audit", "baseline"), ("enforce", "privileged"), ("enforce-version", "v1.30")],
    )
    .await;
    namespace(&server, "plain", &[]).await;
    namespace(&server, "exempt", &[]).await;
    let rows: [Told; 4] = [
        (
            "a pod",
            pods("n"),
            bad_pod("p"),
            &[
                (
                    "audit-violations",
                    "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)",
                ),
                ("enforce-policy", "privileged:v1.30"),
            ],
        ),
        (
            "a good controller",
            "/apis/apps/v1/namespaces/n/deployments".into(),
            fixtures::deployment("d", 0),
            &[],
        ),
        ("an exempt namespace", pods("exempt"), bad_pod("p"), &[("exempt", "namespace")]),
        (
            "a namespace without labels",
            pods("plain"),
            bad_pod("p"),
            &[("enforce-policy", "privileged:latest")],
        ),
    ];
    for (name, path, body, want) in rows {
        let got = annotations(&server, &path, &body).await;
        let want = want.iter().map(|(k, v)| (format!("pod-security.kubernetes.io/{k}"), (*v).to_owned()));
        assert_eq!(got, want.collect(), "{name}");
    }
}
