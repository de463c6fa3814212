//! Nobody grants what they do not have, on whatever way a role or binding is written.

use sampan_testkit::{TestServer, user};
use serde_json::{Value, json};

use super::{RBAC, bind, grant, rule};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

/// A server, asked by `eve`, who may write roles and bindings, and read pods.
async fn server() -> (TestServer, TestServer) {
    let server = TestServer::start().await;
    let all = "roles,rolebindings,clusterroles,clusterrolebindings";
    let rules =
        [rule("create,update,patch,get", "rbac.authorization.k8s.io", all), rule("get,list", "", "pods")];
    grant(&server, "eve", &rules).await;
    let eve = server.asked_by(user("eve", &["system:authenticated"]));
    (server, eve)
}

fn role(name: &str, verbs: &str, resources: &str) -> Value {
    json!({"metadata": {"name": name}, "rules": [rule(verbs, "", resources)]})
}

fn binding(name: &str, kind: &str, role: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"}],
    })
}

const WHO: &str = "user \"eve\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:";

#[tokio::test]
async fn a_role_with_more_than_its_writer_has_is_refused_on_every_way() {
    let (server, eve) = server().await;
    eve.create(ROLES, &role("less", "get", "pods")).await.ok();
    let path = format!("{ROLES}/less");
    let more = role("less", "get", "pods,secrets");
    let rules = json!({"rules": more["rules"]});
    let replaced = json!([{"op": "replace", "path": "/rules", "value": more["rules"]}]);
    let applied = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "new"}, "rules": more["rules"]});
    let rows = [
        ("create", eve.create(ROLES, &role("less", "get", "pods,secrets")).await, "less"),
        ("replace", eve.replace(&path, &more).await, "less"),
        (
            "replace of what is not there",
            eve.replace(&format!("{ROLES}/new"), &role("new", "get", "pods,secrets")).await,
            "new",
        ),
        ("merge patch", eve.patch(&path, "merge-patch", &rules).await, "less"),
        ("strategic patch", eve.patch(&path, "strategic-merge-patch", &rules).await, "less"),
        ("JSON patch", eve.patch(&path, "json-patch", &replaced).await, "less"),
        ("apply", eve.apply(&format!("{ROLES}/new"), "m", &applied).await, "new"),
    ];
    for (way, reply, name) in rows {
        let status = reply.refused(403);
        let want = format!(
            "roles.rbac.authorization.k8s.io \"{name}\" is forbidden: {WHO}\n{{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}}"
        );
        assert_eq!(status["message"], want.as_str(), "{way}");
    }
    assert_eq!(server.get(&path).await.ok()["rules"], json!([rule("get", "", "pods")]));
    server.get(&format!("{ROLES}/new")).await.refused(404);
}

#[tokio::test]
async fn the_verb_escalate_lets_a_role_have_more() {
    let (server, eve) = server().await;
    eve.create(&format!("{RBAC}/clusterroles"), &role("big", "*", "*")).await.refused(403);
    server
        .create(
            &format!("{RBAC}/clusterroles"),
            &json!({"metadata": {"name": "escalator"}, "rules": [rule("escalate", "rbac.authorization.k8s.io", "clusterroles")]}),
        )
        .await
        .ok();
    bind(&server, "eve", "escalator").await;
    eve.create(&format!("{RBAC}/clusterroles"), &role("big", "*", "*")).await.ok();
    // It was granted for cluster roles alone.
    eve.create(ROLES, &role("big", "*", "*")).await.refused(403);
}

#[tokio::test]
async fn a_binding_needs_the_rules_of_its_role_or_the_verb_bind() {
    let (server, eve) = server().await;
    server.create(ROLES, &role("big", "list", "secrets")).await.ok();
    server.create(ROLES, &role("small", "list", "pods")).await.ok();
    eve.create(BINDINGS, &binding("small", "Role", "small")).await.ok();
    let status = eve.create(BINDINGS, &binding("x", "Role", "big")).await.refused(403);
    let want = format!(
        "rolebindings.rbac.authorization.k8s.io \"x\" is forbidden: {WHO}\n{{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"list\"]}}"
    );
    assert_eq!(status["message"], want.as_str());
    let status = eve.create(BINDINGS, &binding("x", "Role", "none")).await.refused(404);
    assert_eq!(status["message"], "role.rbac.authorization.k8s.io \"none\" not found");
    let cluster_admin = binding("x", "ClusterRole", "cluster-admin");
    eve.create(&format!("{RBAC}/clusterrolebindings"), &cluster_admin).await.refused(403);
    // `bind` on that role, in that namespace.
    let mut binder = role("binder", "bind", "roles");
    binder["rules"][0]["apiGroups"] = json!(["rbac.authorization.k8s.io"]);
    binder["rules"][0]["resourceNames"] = json!(["big"]);
    server.create(ROLES, &binder).await.ok();
    let mut to_eve = binding("binder", "Role", "binder");
    to_eve["subjects"][0]["name"] = "eve".into();
    server.create(BINDINGS, &to_eve).await.ok();
    eve.create(BINDINGS, &binding("x", "Role", "big")).await.ok();
    let elsewhere = BINDINGS.replace("/default/", "/kube-public/");
    eve.create(&elsewhere, &cluster_admin).await.refused(403);
}

#[tokio::test]
async fn only_who_may_everything_lets_a_role_gather_others() {
    let (server, eve) = server().await;
    let mut gathers = role("gathers", "get", "pods");
    gathers["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let path = format!("{RBAC}/clusterroles");
    let status = eve.create(&path, &gathers).await.refused(403);
    assert_eq!(
        status["message"],
        "clusterroles.rbac.authorization.k8s.io \"gathers\" is forbidden: must have cluster-admin privileges to use the aggregationRule"
    );
    bind(&server, "eve", "cluster-admin").await;
    eve.create(&path, &gathers).await.ok();
}

#[tokio::test]
async fn owners_and_finalizers_of_a_role_may_change_without_its_rules() {
    let (server, eve) = server().await;
    server.create(ROLES, &role("big", "list", "secrets")).await.ok();
    let path = format!("{ROLES}/big");
    eve.patch(&path, "merge-patch", &json!({"metadata": {"finalizers": ["a.b/c"]}})).await.ok();
    eve.patch(&path, "merge-patch", &json!({"metadata": {"labels": {"a": "b"}}})).await.refused(403);
}
