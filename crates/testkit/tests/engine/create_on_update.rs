//! An apply or a PUT where there is nothing makes the object as a POST would.

use sampan_testkit::{TestServer, fixtures};
use serde_json::{Value, json};

use crate::CONFIG_MAPS;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const SERVICES: &str = "/api/v1/namespaces/default/services";

fn lease(metadata: &Value) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata})
}

#[tokio::test]
async fn a_put_that_creates_sets_the_defaults() {
    let server = TestServer::start().await;
    let service = json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
    let reply = server.replace(&format!("{SERVICES}/a"), &service).await;
    let made = reply.ok();
    assert_eq!((reply.code, &made["spec"]["sessionAffinity"]), (201, &json!("None")));
    assert_eq!(made["spec"]["ports"][0]["protocol"], "TCP");
    let binding = json!({
        "metadata": {"name": "a"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "eve"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/a";
    let made = server.replace(bindings, &binding).await.ok();
    assert_eq!(made["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
}

#[tokio::test]
async fn a_put_that_creates_does_not_mind_an_old_revision() {
    let server = TestServer::start().await;
    let reply =
        server.replace(&format!("{LEASES}/a"), &lease(&json!({"name": "a", "resourceVersion": "7"}))).await;
    let made = reply.ok();
    assert_eq!(reply.code, 201);
    assert_ne!(made["metadata"]["resourceVersion"], "7");
    // A POST does.
    server.create(LEASES, &lease(&json!({"name": "b", "resourceVersion": "7"}))).await.refused(500);
}

#[tokio::test]
async fn an_object_with_a_uid_is_not_made_again() {
    let server = TestServer::start().await;
    let put =
        server.replace(&format!("{LEASES}/a"), &lease(&json!({"name": "a", "uid": "u"}))).await.refused(409);
    assert_eq!(
        put["message"],
        "Operation cannot be fulfilled on leases.coordination.k8s.io \"a\": StorageError: invalid object, Code: 4, \
         Key: /registry/coordination.k8s.io/leases/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in \
         precondition: u, UID in object meta: "
    );
    let mut object = fixtures::config_map("a", "k", "v");
    object["metadata"]["uid"] = json!("u");
    let path = format!("{CONFIG_MAPS}/a");
    let applied = server.apply(&path, "m", &object).await.refused(409);
    assert_eq!(
        applied["message"],
        "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid u, and no \
         existing object was found"
    );
    server.get(&path).await.refused(404);
}

#[tokio::test]
async fn an_object_must_have_the_name_of_its_path() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let nameless = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    let undeterminable = "the name of the object (a based on URL) was undeterminable: name must be provided";
    let path = format!("{CONFIG_MAPS}/a");
    let removes = json!([{"op": "remove", "path": "/metadata/name"}]);
    let rows = [
        ("put", server.replace(&path, &nameless).await),
        ("put of a status", server.replace("/api/v1/namespaces/a/status", &json!({"metadata": {}})).await),
        ("json patch", server.patch(&path, "json-patch", &removes).await),
        ("merge patch", server.patch(&path, "merge-patch", &json!({"metadata": {"name": null}})).await),
    ];
    for (row, reply) in rows {
        assert_eq!(reply.refused(400)["message"], undeterminable, "{row}");
    }
    let nowhere = format!("{CONFIG_MAPS}/b");
    let message = server.apply(&nowhere, "m", &nameless).await.refused(400)["message"].clone();
    assert_eq!(message, undeterminable.replace("(a", "(b"));
    // The name is looked at before the object.
    let message =
        server.replace(&nowhere, &fixtures::config_map("c", "k", "v")).await.refused(400)["message"].clone();
    assert_eq!(message, "the name of the object (c) does not match the name on the URL (b)");
    server.replace(&nowhere, &fixtures::config_map("b", "k", "v")).await.refused(404);
    // What is there keeps its name under an apply that names nothing.
    server
        .apply(&path, "m", &json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "y"}}))
        .await
        .ok();
}
