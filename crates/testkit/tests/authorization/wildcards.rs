//! Rules with every wildcard, and what looks like one.

use sampan_testkit::{TestServer, user};
use serde_json::{Value, json};

use super::grant;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Whether a user with this rule alone may do what these attributes say.
async fn may(server: &TestServer, user: &str, attributes: &Value) -> bool {
    let field = if attributes.get("path").is_some() { "nonResourceAttributes" } else { "resourceAttributes" };
    let review = json!({"spec": {"user": user, field: attributes}});
    server.create(REVIEWS, &review).await.ok()["status"]["allowed"] == true
}

#[tokio::test]
async fn a_star_stands_for_all_where_it_is_one_and_for_nothing_elsewhere() {
    let server = TestServer::start().await;
    let rule = |verbs: &str, groups: &str, resources: &str| json!({"verbs": [verbs], "apiGroups": [groups], "resources": [resources]});
    let get = |group: &str, resource: &str, subresource: &str| json!({"verb": "get", "group": group, "resource": resource, "subresource": subresource, "name": "x", "namespace": "n"});
    let path = |path: &str| json!({"verb": "get", "path": path});
    let rows = [
        ("all of everything", rule("*", "*", "*"), get("apps", "deployments", "scale"), true),
        ("all of everything, but no path", rule("*", "*", "*"), path("/metrics"), false),
        ("all verbs", rule("*", "", "pods"), get("", "pods", ""), true),
        ("all verbs, another resource", rule("*", "", "pods"), get("", "nodes", ""), false),
        ("all groups", rule("get", "*", "pods"), get("metrics.k8s.io", "pods", ""), true),
        ("all resources of a group", rule("get", "apps", "*"), get("apps", "deployments", "scale"), true),
        ("all resources, another group", rule("get", "apps", "*"), get("", "pods", ""), false),
        ("a subresource of all", rule("get", "*", "*/scale"), get("apps", "deployments", "scale"), true),
        (
            "a subresource of all, the thing itself",
            rule("get", "*", "*/scale"),
            get("apps", "deployments", ""),
            false,
        ),
        ("all subresources is no wildcard", rule("get", "", "pods/*"), get("", "pods", "log"), false),
        ("a part of a name is no wildcard", rule("get", "", "po*"), get("", "pods", ""), false),
        ("a part of a verb is no wildcard", rule("g*", "", "pods"), get("", "pods", ""), false),
        (
            "the name of all is no wildcard",
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["*"]}),
            get("", "pods", ""),
            false,
        ),
        ("all paths", json!({"verbs": ["*"], "nonResourceURLs": ["*"]}), path("/any/where"), true),
        (
            "paths below one",
            json!({"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}),
            path("/logs/a/b"),
            true,
        ),
        ("paths beside one", json!({"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}), path("/log"), false),
    ];
    for (i, (name, rule, attributes, allowed)) in rows.into_iter().enumerate() {
        let who = format!("user-{i}");
        grant(&server, &who, &[rule]).await;
        assert_eq!(may(&server, &who, &attributes).await, allowed, "{name}");
    }
}

#[tokio::test]
async fn whoever_has_no_star_gives_none() {
    let server = TestServer::start().await;
    let rules = [
        json!({"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]}),
        json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}),
    ];
    grant(&server, "joe", &rules).await;
    let joe = server.asked_by(user("joe", &["system:authenticated"]));
    let stars = [
        json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}),
        json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["pods"]}),
        json!({"verbs": ["get"], "apiGroups": [""], "resources": ["*"]}),
        json!({"verbs": ["get"], "nonResourceURLs": ["*"]}),
    ];
    for (i, rule) in stars.into_iter().enumerate() {
        let role = json!({"metadata": {"name": format!("star-{i}")}, "rules": [rule]});
        joe.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role).await.refused(403);
    }
    let own = json!({"metadata": {"name": "own"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    joe.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &own).await.ok();
}
