//! Evictions with preconditions, and what they cost the budget.

use sampan_testkit::{Reply, TestServer, fixtures};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A pod in a phase, on a node, and a budget for it that allows one disruption.
async fn protected(phase: &str) -> TestServer {
    let server = TestServer::start().await;
    let mut pod = fixtures::pod("a");
    pod["spec"]["nodeName"] = json!("n");
    server.create(PODS, &pod).await.ok();
    let status = json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}});
    server.patch(&format!("{PODS}/a/status"), "merge-patch", &status).await.ok();
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}},
    });
    server.create(BUDGETS, &budget).await.ok();
    let status = json!({"status": {
        "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
    }});
    server.patch(&format!("{BUDGETS}/b/status"), "merge-patch", &status).await.ok();
    server
}

async fn evict(server: &TestServer, preconditions: &Value) -> Reply {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"},
        "deleteOptions": {"preconditions": preconditions},
    });
    server.create(&format!("{PODS}/a/eviction"), &eviction).await
}

async fn allowed(server: &TestServer) -> Value {
    server.get(&format!("{BUDGETS}/b")).await.ok()["status"]["disruptionsAllowed"].clone()
}

#[tokio::test]
async fn an_eviction_whose_preconditions_fail_costs_nothing_and_marks_nothing() {
    for phase in ["Running", "Pending"] {
        let server = protected(phase).await;
        let before = server.get(&format!("{PODS}/a")).await.ok();
        let uid = before["metadata"]["uid"].as_str().unwrap();
        let message = evict(&server, &json!({"uid": "other"})).await.refused(409)["message"].clone();
        assert_eq!(
            message,
            format!(
                "Operation cannot be fulfilled on Pod \"a\": the UID in the precondition (other) does not match the UID in \
                 record ({uid}). The object might have been deleted and then recreated"
            )
        );
        evict(&server, &json!({"resourceVersion": "1"})).await.refused(409);
        assert_eq!(server.get(&format!("{PODS}/a")).await.ok(), before, "{phase}");
        assert_eq!(allowed(&server).await, 1, "{phase}");
    }
}

#[tokio::test]
async fn an_eviction_of_the_revision_that_the_client_names_succeeds_at_once() {
    for (phase, left) in [("Running", 0), ("Pending", 1)] {
        let server = protected(phase).await;
        let pod = server.get(&format!("{PODS}/a")).await.ok();
        let preconditions = json!({"resourceVersion": pod["metadata"]["resourceVersion"]});
        assert_eq!(evict(&server, &preconditions).await.code, 201, "{phase}");
        let evicted = server.get(&format!("{PODS}/a")).await.ok();
        assert!(evicted["metadata"]["deletionTimestamp"].is_string(), "{phase}");
        assert!(evicted["status"].to_string().contains("DisruptionTarget"), "{phase}");
        assert_eq!(allowed(&server).await, left, "{phase}");
    }
}
