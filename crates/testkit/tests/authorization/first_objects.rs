//! The roles and bindings of a new cluster, and what a later start makes of them.

use std::sync::Arc;

use sampan_store::embedded::Embedded;
use sampan_testkit::TestServer;
use serde_json::json;

use super::RBAC;

#[tokio::test]
async fn a_new_cluster_has_complete_roles_from_its_first_answer_on() {
    let server = TestServer::start().await;
    for role in ["admin", "edit", "view"] {
        let role = server.get(&format!("{RBAC}/clusterroles/{role}")).await.ok();
        let rules = role["rules"].as_array().unwrap();
        assert!(rules.len() > 5, "{role}");
        assert!(role["aggregationRule"].is_object());
    }
}

#[tokio::test]
async fn a_later_start_adds_what_is_missing_and_leaves_what_was_added() {
    let store = Arc::new(Embedded::in_memory());
    let server = TestServer::over(store.clone()).await;
    let role = |name: &str| format!("{RBAC}/clusterroles/{name}");
    let binding = |name: &str| format!("{RBAC}/clusterrolebindings/{name}");
    let mine = json!({"verbs": ["get"], "nonResourceURLs": ["/mine"]});
    server.patch(&role("system:discovery"), "merge-patch", &json!({"rules": [mine]})).await.ok();
    let off = json!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "rules": []});
    server.patch(&role("system:basic-user"), "merge-patch", &off).await.ok();
    server.patch(&binding("system:basic-user"), "merge-patch", &json!({"subjects": []})).await.ok();
    server.delete(&binding("system:discovery")).await.ok();
    let mut other = server.get(&binding("system:node")).await.ok();
    let uid = other["metadata"]["uid"].take();
    server.delete(&binding("system:node")).await.ok();
    other["metadata"] = json!({"name": "system:node"});
    other["roleRef"]["name"] = "view".into();
    server.create(&format!("{RBAC}/clusterrolebindings"), &other).await.ok();

    let server = TestServer::over(store.clone()).await;
    let rules = server.get(&role("system:discovery")).await.ok()["rules"].clone();
    let rules = rules.as_array().unwrap();
    assert_eq!(rules[0], mine);
    let urls: Vec<_> = rules.iter().map(|r| r["nonResourceURLs"][0].as_str().unwrap()).collect();
    assert!(urls.contains(&"/api") && urls.contains(&"/apis/*"), "{urls:?}");
    assert!(server.get(&role("system:basic-user")).await.ok()["rules"].as_array().is_none_or(Vec::is_empty));
    let subjects = server.get(&binding("system:basic-user")).await.ok()["subjects"].clone();
    assert_eq!(subjects[0]["name"], "system:authenticated");
    server.get(&binding("system:discovery")).await.ok();
    let again = server.get(&binding("system:node")).await.ok();
    assert_eq!(again["roleRef"]["name"], "system:node");
    assert_ne!(again["metadata"]["uid"], uid);

    // A third start finds nothing to do.
    let revision = server.server().registry().revision();
    let server = TestServer::over(store).await;
    assert_eq!(server.server().registry().revision(), revision);
}
