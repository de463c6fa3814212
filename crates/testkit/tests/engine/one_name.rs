//! A watch or a list that was authorized for one name shows that one, whatever its selector says.

use sampan_testkit::{TestServer, fixtures, user};
use serde_json::json;

use crate::CONFIG_MAPS;

const MISMATCH: &str = "fieldSelector metadata.name doesn't match requested name";

/// A server with two objects, as somebody sees it who may watch and list one of them.
async fn asked_by_who_may_see_one() -> TestServer {
    let server = TestServer::start().await;
    for name in ["mine", "other"] {
        server.create(CONFIG_MAPS, &fixtures::config_map(name, "k", "v")).await.ok();
    }
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({
        "metadata": {"name": "one"},
        "rules": [{"verbs": ["watch", "list"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"]}],
    });
    server.create(&format!("{rbac}/clusterroles"), &role).await.ok();
    let binding = json!({
        "metadata": {"name": "one"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "one"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}],
    });
    server.create(&format!("{rbac}/clusterrolebindings"), &binding).await.ok();
    server.asked_by(user("eve", &[]))
}

#[tokio::test]
async fn a_selector_that_does_not_name_the_object_of_the_path_is_refused() {
    let eve = asked_by_who_may_see_one().await;
    let path = "/api/v1/watch/namespaces/default/configmaps/mine?timeoutSeconds=1&fieldSelector=";
    for selector in ["metadata.name!=zz", "metadata.namespace=default", "metadata.name=other"] {
        let status = eve.get(&format!("{path}{}", selector.replace('=', "%3D"))).await.refused(400);
        assert_eq!(status["message"], MISMATCH, "{selector}");
    }
}

#[tokio::test]
async fn a_watch_of_one_name_tells_of_no_other() {
    let eve = asked_by_who_may_see_one().await;
    let paths = [
        "/api/v1/watch/namespaces/default/configmaps/mine?timeoutSeconds=1",
        "/api/v1/watch/namespaces/default/configmaps/mine?timeoutSeconds=1&fieldSelector=metadata.name%3Dmine",
        "/api/v1/watch/namespaces/default/configmaps/mine?timeoutSeconds=1&labelSelector=nothing!%3Dx",
        "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dmine",
        "/api/v1/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dmine",
    ];
    for path in paths {
        let mut watch = eve.watch(path).await;
        let mut told = Vec::new();
        while let Some(event) = watch.next().await {
            told.push(event.object["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        }
        assert_eq!(told, ["mine"], "{path}");
    }
}

#[tokio::test]
async fn a_list_of_one_name_shows_no_other() {
    let eve = asked_by_who_may_see_one().await;
    let list = eve.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dmine")).await.ok();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    // Two names: authorized for the first, and nothing can be both.
    let both = format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dmine,metadata.name%3Dother");
    assert_eq!(eve.get(&both).await.ok()["items"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn an_old_watch_path_that_names_an_object_names_its_namespace() {
    let server = TestServer::start().await;
    server.get("/api/v1/watch/configmaps/mine?timeoutSeconds=1").await.refused(404);
}
