//! The access reviews.

use sampan_testkit::{TestServer, user};
use serde_json::json;

use super::{grant, rule};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

#[tokio::test]
async fn a_review_answers_what_the_request_would_be_answered() {
    let server = TestServer::start().await;
    grant(&server, "jane", &[rule("get", "", "pods,pods/log")]).await;
    let rows = [
        (json!({"verb": "get", "resource": "pods", "namespace": "n", "name": "x"}), true),
        (json!({"verb": "get", "resource": "pods", "subresource": "log"}), true),
        (json!({"verb": "get", "resource": "pods", "subresource": "exec"}), false),
        (json!({"verb": "list", "resource": "pods"}), false),
        (json!({"verb": "get", "resource": "pods", "group": "metrics.k8s.io"}), false),
    ];
    for (attributes, allowed) in rows {
        let review = json!({"spec": {"user": "jane", "resourceAttributes": attributes}});
        let answer = server.create(&format!("{REVIEWS}/subjectaccessreviews"), &review).await.ok();
        assert_eq!(answer["status"]["allowed"], allowed, "{attributes}");
        let reason = if allowed {
            json!(
                "RBAC: allowed by ClusterRoleBinding \"jane-jane-may\" of ClusterRole \"jane-may\" to User \"jane\""
            )
        } else {
            json!(null)
        };
        assert_eq!(answer["status"]["reason"], reason, "{attributes}");
    }
}

#[tokio::test]
async fn everybody_known_may_ask_about_themselves_and_nobody_about_others() {
    let server = TestServer::start().await;
    let jane = server.asked_by(user("jane", &["system:authenticated"]));
    let own = json!({"spec": {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}}});
    let answer = jane.create(&format!("{REVIEWS}/selfsubjectaccessreviews"), &own).await.ok();
    assert_eq!(answer["status"]["allowed"], true);
    let of_other = json!({"spec": {"user": "u", "nonResourceAttributes": {"path": "/", "verb": "get"}}});
    jane.create(&format!("{REVIEWS}/subjectaccessreviews"), &of_other).await.refused(403);
    let anonymous = server.asked_anonymously();
    anonymous.create(&format!("{REVIEWS}/selfsubjectaccessreviews"), &own).await.refused(403);
}

#[tokio::test]
async fn the_rules_of_the_asker_are_listed() {
    let server = TestServer::start().await;
    grant(&server, "jane", &[rule("get,list", "apps", "deployments")]).await;
    let jane = server.asked_by(user("jane", &["system:authenticated"]));
    let path = format!("{REVIEWS}/selfsubjectrulesreviews");
    let answer = jane.create(&path, &json!({"spec": {"namespace": "default"}})).await.ok();
    let rules = answer["status"]["resourceRules"].as_array().unwrap();
    assert!(rules.contains(&rule("get,list", "apps", "deployments")), "{answer}");
    let paths = answer["status"]["nonResourceRules"].as_array().unwrap();
    assert!(paths.iter().any(|r| r["nonResourceURLs"].as_array().unwrap().contains(&json!("/healthz"))));
    assert_eq!((&answer["status"]["incomplete"], &answer["spec"]), (&json!(false), &json!({})));
    let status = jane.create(&path, &json!({"spec": {}})).await.refused(400);
    assert_eq!(status["message"], "no namespace on request");
    let node = server.asked_by(user("system:node:a", &["system:nodes", "system:authenticated"]));
    let answer = node.create(&path, &json!({"spec": {"namespace": "default"}})).await.ok();
    assert_eq!(answer["status"]["incomplete"], true);
    assert_eq!(answer["status"]["evaluationError"], "node authorizer does not support user rule resolution");
}

#[tokio::test]
async fn a_review_that_asks_nothing_clear_is_refused() {
    let server = TestServer::start().await;
    let path = format!("{REVIEWS}/subjectaccessreviews");
    let status = server.create(&path, &json!({"spec": {"resourceAttributes": {}}})).await.refused(422);
    assert_eq!(
        status["message"],
        ".authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified"
    );
    let local = format!("{REVIEWS}/namespaces/default/localsubjectaccessreviews");
    let elsewhere = json!({"spec": {"user": "u", "resourceAttributes": {"namespace": "other"}}});
    server.create(&local, &elsewhere).await.refused(422);
    let here = json!({"spec": {"user": "u", "resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}});
    let answer = server.create(&local, &here).await.ok();
    assert_eq!(answer["metadata"]["namespace"], "default");
    assert_eq!(answer["status"], json!({"allowed": false}));
}
