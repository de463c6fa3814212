//! A node sees what its pods need, by the objects of the server itself.

use sampan_testkit::{TestServer, fixtures, user};
use serde_json::json;

const NAMESPACE: &str = "/api/v1/namespaces/default";

#[tokio::test]
async fn a_node_reads_what_its_own_pods_refer_to() {
    let server = TestServer::start().await;
    let node = server.asked_by(user("system:node:a", &["system:nodes", "system:authenticated"]));
    for name in ["used", "unused"] {
        server.create(&format!("{NAMESPACE}/configmaps"), &fixtures::config_map(name, "k", "v")).await.ok();
    }
    let mut pod = fixtures::pod("p");
    pod["spec"]["nodeName"] = "a".into();
    pod["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": "used"}}]);
    let used = format!("{NAMESPACE}/configmaps/used");
    node.get(&used).await.refused(403);
    server.create(&format!("{NAMESPACE}/pods"), &pod).await.ok();
    node.get(&used).await.ok();
    node.get(&format!("{NAMESPACE}/configmaps?fieldSelector=metadata.name=used")).await.ok();
    let status = node.get(&format!("{NAMESPACE}/configmaps/unused")).await.refused(403);
    assert_eq!(
        status["message"],
        "configmaps \"unused\" is forbidden: User \"system:node:a\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"default\": no relationship found between node 'a' and this object"
    );
    let pods = node.get("/api/v1/pods?fieldSelector=spec.nodeName=a").await.ok();
    assert_eq!(pods["items"].as_array().unwrap().len(), 1);
    for path in
        ["/api/v1/pods", "/api/v1/pods?fieldSelector=spec.nodeName=b", "/api/v1/pods?fieldSelector=,,x"]
    {
        node.get(path).await.refused(403);
    }
    server.delete(&format!("{NAMESPACE}/pods/p?gracePeriodSeconds=0")).await.ok();
    node.get(&used).await.refused(403);
}
