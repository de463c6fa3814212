//! Configuration files of who may do what and who is who: followed while the server runs.

use std::path::Path;
use std::time::{Duration, Instant};

use http::Request;
use sampan_tests::Cluster;
use serde_json::{Value, json};

/// How long a change may take to be seen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn text(cluster: &Cluster, path: &str) -> String {
    cluster.client().await.request_text(Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
}

async fn post(cluster: &Cluster, path: &str, body: &Value) -> Value {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    cluster.client().await.request::<Value>(request).await.unwrap()
}

/// The value of a metric with these labels, 0 when it is not there.
async fn metric(cluster: &Cluster, name: &str, labels: &str) -> f64 {
    let metrics = text(cluster, "/metrics").await;
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(labels));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Whether jane may read nodes, as a review says.
async fn jane_may(cluster: &Cluster) -> bool {
    let review =
        json!({"spec": {"user": "jane", "resourceAttributes": {"verb": "list", "resource": "nodes"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    post(cluster, path, &review).await["status"]["allowed"] == true
}

async fn until(reason: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain: {reason}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn write(path: &Path, text: &str) {
    // As an editor does it: whoever reads sees the old text or the new one.
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[tokio::test]
async fn a_changed_order_of_authorizers_is_in_force_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authorization.yaml");
    let order = |authorizers: &str| {
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{authorizers}]\n"
        )
    };
    write(&file, &order("{type: RBAC, name: rbac}"));
    let cluster = Cluster::start_with(&[&format!("--authorization-config={}", file.display())]);
    assert!(!jane_may(&cluster).await);
    let reloads = "apiserver_authorization_config_controller_automatic_reloads_total";
    write(&file, &order("{type: RBAC, name: rbac}, {type: AlwaysAllow, name: all}"));
    until("jane may what everybody may", async || jane_may(&cluster).await).await;
    assert!((metric(&cluster, reloads, "status=\"success\"").await - 1.0).abs() < f64::EPSILON);
    write(&file, &order("{type: Nobody, name: x}"));
    until("the broken file is counted", async || metric(&cluster, reloads, "status=\"failure\"").await > 0.0)
        .await;
    assert!(jane_may(&cluster).await);
    write(&file, &order("{type: RBAC, name: rbac}"));
    until("jane may no more", async || !jane_may(&cluster).await).await;
}

#[tokio::test]
async fn a_changed_configuration_of_issuers_is_tried_and_a_broken_one_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authentication.yaml");
    let config = |rest: &str| {
        format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{rest}")
    };
    write(&file, &config("anonymous: {enabled: true, conditions: [{path: /livez}]}\n"));
    let cluster = Cluster::start_with(&[&format!("--authentication-config={}", file.display())]);
    let reloads = "apiserver_authentication_config_controller_automatic_reloads_total";
    let failures = async || metric(&cluster, reloads, "status=\"failure\"").await;
    // Who may come without credentials cannot change.
    write(&file, &config(""));
    until("the forbidden change is counted", async || failures().await > 0.0).await;
    write(&file, &config("anonymous: {enabled: true, conditions: [{path: /livez}]}\njwt: []\n"));
    until("the good one is taken over", async || metric(&cluster, reloads, "status=\"success\"").await > 0.0)
        .await;
    assert!((failures().await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn what_others_must_know_of_authentication_is_published() {
    let cluster = Cluster::start();
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let read = async || -> Option<Value> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        cluster.client().await.request::<Value>(request).await.ok()
    };
    until("the ConfigMap is there", async || read().await.is_some()).await;
    let own = std::fs::read_to_string(cluster.data_dir().join("pki/ca.crt")).unwrap();
    let body = |pem: &str| pem.lines().filter(|l| !l.starts_with("---")).map(str::trim).collect::<String>();
    let published = read().await.unwrap()["data"].clone();
    assert_eq!(body(published["client-ca-file"].as_str().unwrap()), body(&own));
    assert_eq!(published.as_object().unwrap().len(), 1, "there is no proxy: {published}");
    // Whoever takes it away gets it back.
    let request = Request::delete(path).body(Vec::new()).unwrap();
    cluster.client().await.request::<Value>(request).await.unwrap();
    until("the ConfigMap is back", async || read().await.is_some_and(|found| found["data"] == published))
        .await;
}
