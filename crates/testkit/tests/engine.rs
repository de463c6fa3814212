//! The engine as a client in the same process sees it: the ways of an object through create, watch, patch, apply.

#[path = "engine/create_on_update.rs"]
mod create_on_update;
#[path = "engine/deletion.rs"]
mod deletion;
#[path = "engine/eviction.rs"]
mod eviction;
#[path = "engine/initial_events.rs"]
mod initial_events;
#[path = "engine/one_name.rs"]
mod one_name;

use sampan_testkit::{TestServer, fixtures, user};
use serde_json::json;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn what_was_created_is_what_is_read() {
    let server = TestServer::start().await;
    let created = server.create(CONFIG_MAPS, &fixtures::config_map("a", "key", "value")).await.ok();
    let read = server.get(&format!("{CONFIG_MAPS}/a")).await.ok();
    assert_eq!(created, read);
    assert_eq!(read["data"]["key"], "value");
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_with_409() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let status = server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.refused(409);
    assert_eq!(status["reason"], "AlreadyExists");
    assert_eq!(status["message"], "configmaps \"a\" already exists");
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_the_revision_it_begins_at() {
    let server = TestServer::start().await;
    let first = server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={revision}")).await;
    server.create(CONFIG_MAPS, &fixtures::config_map("b", "k", "v")).await.ok();
    server.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &json!({"data": {"k": "w"}})).await.ok();
    server.delete(&format!("{CONFIG_MAPS}/b")).await.ok();
    for want in [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")] {
        let got = watch.next_name().await;
        assert_eq!((got.0.as_str(), got.1.as_str()), want);
    }
}

#[tokio::test]
async fn two_managers_that_apply_one_field_differently_conflict() {
    let server = TestServer::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.apply(&path, "one", &fixtures::config_map("a", "k", "v")).await.ok();
    let status = server.apply(&path, "two", &fixtures::config_map("a", "k", "w")).await.refused(409);
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldManagerConflict");
}

#[tokio::test]
async fn who_is_not_allowed_is_told_so() {
    let server = TestServer::start().await;
    let stranger = server.asked_by(user("eve", &["system:authenticated"]));
    let status = stranger.get(CONFIG_MAPS).await.refused(403);
    assert_eq!(
        status["message"],
        "configmaps is forbidden: User \"eve\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!(server.asked_anonymously().get("/readyz").await.text(), "ok");
}

#[tokio::test]
async fn every_listable_resource_lists() {
    let server = TestServer::start().await;
    let resources = server.server().registry().catalog();
    for resource in resources.resources().filter(|r| r.verbs.contains(sampan_apiserver::Verb::List)) {
        let gvr = &resource.gvr;
        let root = if gvr.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", gvr.group) };
        let list = server.get(&format!("{root}/{}/{}", gvr.version, gvr.resource)).await.ok();
        assert_eq!(list["kind"], resource.list_kind.as_str(), "{gvr:?}");
    }
}
