//! Who may write which part of a ResourceClaim's status.

use sampan_apiserver::User;
use sampan_testkit::{TestServer, user};
use serde_json::{Value, json};

const CLAIMS: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Lets a user write the status of claims, and these resources of the group with these verbs.
async fn grant(server: &TestServer, who: &str, resource: &str, verbs: &[&str], names: &[&str]) {
    let group = json!(["resource.k8s.io"]);
    let name = who.replace(':', "-");
    let mut extra = json!({"apiGroups": group, "resources": [resource], "verbs": verbs});
    if !names.is_empty() {
        extra["resourceNames"] = json!(names);
    }
    let role = json!({"metadata": {"name": name}, "rules": [
        {"apiGroups": group, "resources": ["resourceclaims/status"], "verbs": ["get", "update", "patch"]}, extra,
    ]});
    server.create(&format!("{RBAC}/clusterroles"), &role).await.ok();
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}]});
    server.create(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();
}

/// A claim that is allocated on the node `n`, with a device of the driver `d.example`.
async fn world() -> TestServer {
    let server = TestServer::start().await;
    let claim = json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": [
        {"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}]}}});
    server.create(CLAIMS, &claim).await.ok();
    server
}

fn allocation() -> Value {
    json!({"status": {"allocation": {
        "devices": {"results": [{"request": "r", "driver": "d.example", "pool": "p", "device": "dev"}]},
        "nodeSelector": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]},
    }}})
}

fn devices() -> Value {
    json!({"status": {"devices": [{"driver": "d.example", "pool": "p", "device": "dev", "data": {"a": 1}}]}})
}

async fn change(server: &TestServer, who: User, change: &Value) -> Option<String> {
    let path = format!("{CLAIMS}/c/status");
    let reply = server.asked_by(who).patch(&path, "merge-patch", change).await;
    (reply.code >= 300).then(|| {
        assert_eq!(reply.code, 422, "{}", reply.text());
        reply.json()["message"].as_str().unwrap().to_owned()
    })
}

#[tokio::test]
async fn who_allocates_a_claim_needs_the_right_to_bind_claims() {
    let server = world().await;
    grant(&server, "weak", "resourceclaims", &["get"], &[]).await;
    grant(&server, "wrong-verb", "resourceclaims/binding", &["update"], &[]).await;
    grant(&server, "scheduler", "resourceclaims/binding", &["patch"], &[]).await;
    for who in ["weak", "wrong-verb"] {
        let why = change(&server, user(who, &[]), &allocation()).await.unwrap();
        assert_eq!(
            why,
            format!(
                "ResourceClaim.resource.k8s.io \"c\" is invalid: status: Forbidden: changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"patch\" permission: resourceclaims.resource.k8s.io is forbidden: User \"{who}\" cannot patch resource \"resourceclaims/binding\" in API group \"resource.k8s.io\" at the cluster scope"
            )
        );
    }
    assert_eq!(change(&server, user("scheduler", &[]), &allocation()).await, None);
}

#[tokio::test]
async fn who_tells_of_devices_needs_the_right_to_speak_for_their_driver() {
    let server = world().await;
    assert_eq!(change(&server, sampan_testkit::admin(), &allocation()).await, None);
    let account = |name: &str, node: &str| {
        let mut user = user(&format!("system:serviceaccount:default:{name}"), &[]);
        user.extra.insert("authentication.kubernetes.io/node-name".into(), vec![node.into()]);
        user
    };
    let verbs = ["associated-node:patch"];
    let name = |name: &str| format!("system:serviceaccount:default:{name}");
    grant(&server, &name("local"), "resourceclaims/driver", &verbs, &["d.example"]).await;
    grant(&server, &name("other"), "resourceclaims/driver", &verbs, &["other.example"]).await;
    grant(&server, "central", "resourceclaims/driver", &["arbitrary-node:patch"], &["d.example"]).await;
    let asked = |why: Option<String>| {
        let why = why?;
        Some(why.split("verb=\"").nth(1)?.split('"').next()?.to_owned())
    };
    let both = Some("[associated-node:patch arbitrary-node:patch]".to_owned());
    let one = Some("[arbitrary-node:patch]".to_owned());
    grant(&server, "weak", "resourceclaims", &["get"], &[]).await;
    let rows = [
        ("of another driver", account("other", "n"), both),
        ("on another node", account("local", "m"), one.clone()),
        ("no service account", user("weak", &[]), one.clone()),
        ("on the node", account("local", "n"), None),
    ];
    for (row, who, want) in rows {
        assert_eq!(asked(change(&server, who, &devices()).await), want, "{row}");
    }
    let gone = json!({"status": {"devices": null}});
    assert_eq!(asked(change(&server, user("weak", &[]), &gone).await), one);
    assert_eq!(change(&server, user("central", &[]), &gone).await, None);
}
