//! OwnerReferencesPermissionEnforcement.

use sampan_testkit::{Admitting, TestServer, fixtures, user};
use serde_json::{Value, json};

use crate::{Says, expect};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// `jane` may delete `mine`, and set finalizers of deployments; others may do everything.
async fn server() -> (TestServer, TestServer) {
    let authorizer = Says(|a| {
        let i = a.info;
        match (a.user.name.as_str(), i.verb.as_str()) {
            ("jane", "delete") => i.name == "mine",
            ("jane", "update") if i.subresource == "finalizers" => {
                i.group == "apps" && i.resource == "deployments" && i.namespace == "default"
            }
            _ => true,
        }
    });
    let server = Admitting::default()
        .with(&["OwnerReferencesPermissionEnforcement"])
        .authorized_by(authorizer)
        .start()
        .await;
    for name in ["mine", "other"] {
        server.create(MAPS, &fixtures::config_map(name, "k", "v")).await.ok();
    }
    let jane = server.asked_by(user("jane", &["system:authenticated"]));
    (server, jane)
}

fn owner(api_version: &str, kind: &str, blocks: bool) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": "o", "uid": "u", "blockOwnerDeletion": blocks}])
}

#[tokio::test]
async fn who_makes_an_object_depend_on_another_must_be_allowed_to_delete_it() {
    let (_, jane) = server().await;
    let own = json!({"metadata": {"ownerReferences": owner("v1", "Pod", false)}});
    let message =
        "configmaps \"other\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>";
    for (name, refusal) in [("mine", None), ("other", Some(message))] {
        let reply = jane.patch(&format!("{MAPS}/{name}"), "merge-patch", &own).await;
        expect(name, &reply, refusal);
    }
    let data = json!({"data": {"k": "w"}});
    expect("owners stay", &jane.patch(&format!("{MAPS}/other"), "merge-patch", &data).await, None);
}

#[tokio::test]
async fn who_blocks_the_deletion_of_an_owner_must_be_allowed_to_set_its_finalizers() {
    let (server, jane) = server().await;
    let finalizers = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
    let unknown = "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion example.com/v1 Kind Foo: no matches for kind \"Foo\" in version \"example.com/v1\"";
    let rows = [
        ("a", owner("v1", "Pod", false), None),
        ("b", owner("apps/v1", "Deployment", true), None),
        ("c", owner("v1", "Node", true), Some(finalizers)),
        ("d", owner("example.com/v1", "Foo", true), Some(unknown)),
    ];
    for (name, owners, refusal) in rows {
        let mut map = fixtures::config_map(name, "k", "v");
        map["metadata"]["ownerReferences"] = owners;
        let message = refusal.map(|why| format!("configmaps {name:?} is forbidden: {why}"));
        expect(name, &jane.create(MAPS, &map).await, message.as_deref());
    }
    // What blocked before may stay.
    let mut map = fixtures::config_map("e", "k", "v");
    map["metadata"]["ownerReferences"] = owner("v1", "Node", true);
    server.create(MAPS, &map).await.ok();
    let data = json!({"data": {"k": "w"}});
    expect("it stays", &jane.patch(&format!("{MAPS}/e"), "merge-patch", &data).await, None);
}
