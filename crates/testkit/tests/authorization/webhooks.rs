//! A webhook that cannot be asked is no yes, whatever the order.

use std::sync::Arc;
use std::time::Duration;

use sampan_auth::authorization::modes::{Mode, WebhookMode};
use sampan_auth::authorization::webhook::{FailurePolicy, Settings, Version};
use sampan_store::embedded::Embedded;
use sampan_testkit::{TestServer, user};

use super::{grant, rule};

/// A server that asks a webhook which is not there, and then RBAC.
async fn server(on_failure: FailurePolicy) -> TestServer {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let kubeconfig = dir.path().join("webhook.kubeconfig");
    let text = "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1/authorize'}}]\n\
        contexts: [{name: c, context: {cluster: c}}]\n\
        current-context: c\n";
    std::fs::write(&kubeconfig, text).expect("a file can be written");
    let (authorized_ttl, unauthorized_ttl) = (Duration::from_mins(5), Duration::from_secs(30));
    let settings = Settings {
        name: "gone".into(),
        authorized_ttl,
        unauthorized_ttl,
        on_failure,
        version: Version::V1,
        conditions: Arc::default(),
    };
    let webhook = WebhookMode { kubeconfig, timeout: Duration::from_secs(3), settings };
    TestServer::with_modes(Arc::new(Embedded::in_memory()), vec![Mode::Webhook(webhook), Mode::Rbac]).await
}

const PODS: &str = "/api/v1/pods";

#[tokio::test]
async fn a_webhook_without_an_answer_fails_what_nobody_else_allows() {
    let server = server(FailurePolicy::NoOpinion).await;
    let eve = server.asked_by(user("eve", &[]));
    let reply = eve.get(PODS).await;
    assert_eq!(reply.code, 500);
    assert!(
        reply.text().starts_with("Internal Server Error: \"/api/v1/pods\": cannot connect: "),
        "{}",
        reply.text()
    );
    grant(&server, "eve", &[rule("list", "", "pods")]).await;
    eve.get(PODS).await.ok();
    server.get(PODS).await.ok();
}

#[tokio::test]
async fn a_webhook_that_fails_closed_is_a_no() {
    let server = server(FailurePolicy::Deny).await;
    grant(&server, "eve", &[rule("list", "", "pods")]).await;
    assert_eq!(server.asked_by(user("eve", &[])).get(PODS).await.code, 500);
    server.get(PODS).await.ok();
}
