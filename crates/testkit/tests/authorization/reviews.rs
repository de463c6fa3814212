//! The access reviews.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use sampan_apiserver::admission::{Admission, Plugins};
use sampan_apiserver::{Context, Verb};
use sampan_model::{Status, Value};
use sampan_store::embedded::Embedded;
use sampan_testkit::{Admitting, TestServer, user};
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

/// Refuses what is about mallory, and remembers what it saw.
#[derive(Debug, Default)]
struct Watchful(Mutex<Vec<String>>);

#[async_trait]
impl Admission for Watchful {
    fn name(&self) -> &'static str {
        "Watchful"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && cx.resource.gvr.group.ends_with("k8s.io")
    }

    async fn validate(
        &self,
        cx: &Context<'_>,
        _verb: Verb,
        object: &Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let dry = if cx.dry_run { " (dry run)" } else { "" };
        self.0.lock().push(format!("{}{dry}", cx.resource.gvr.resource));
        if object.str_at(&["spec", "user"]) == "mallory" {
            return Err(Status::bad_request("not about mallory"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_review_is_admitted_like_whatever_is_created() {
    let watchful = Arc::new(Watchful::default());
    let plugin = Arc::clone(&watchful);
    let server = TestServer::configured(Arc::new(Embedded::in_memory()), |config| {
        config.admission = Plugins::default().and(plugin);
    })
    .await;
    let path = format!("{REVIEWS}/subjectaccessreviews");
    let about =
        |user: &str| json!({"spec": {"user": user, "nonResourceAttributes": {"path": "/", "verb": "get"}}});
    server.create(&path, &about("jane")).await.ok();
    let dry = server.create(&format!("{path}?dryRun=All"), &about("jane")).await.ok();
    assert_eq!(dry["status"]["allowed"], false);
    let status = server.create(&path, &about("mallory")).await.refused(400);
    assert_eq!(status["message"], "not about mallory");
    server.create("/apis/authentication.k8s.io/v1/tokenreviews", &json!({"spec": {"token": "x"}})).await.ok();
    server.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await.ok();
    let seen = watchful.0.lock().clone();
    let review = "subjectaccessreviews";
    assert_eq!(
        seen,
        [review, "subjectaccessreviews (dry run)", review, "tokenreviews", "selfsubjectreviews"]
    );
}

#[tokio::test]
async fn whether_a_namespace_is_there_is_not_told_to_whoever_asks_about_access() {
    let server = Admitting::default().start().await;
    let local = format!("{REVIEWS}/namespaces/nowhere/localsubjectaccessreviews");
    let review = json!({"spec": {"user": "u", "resourceAttributes": {"namespace": "nowhere", "verb": "get", "resource": "pods"}}});
    assert_eq!(server.create(&local, &review).await.ok()["status"], json!({"allowed": false}));
}
