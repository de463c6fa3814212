//! The engine as a client in the same process sees it: the ways of an object through create, watch, patch, apply.

#[path = "engine/create_on_update.rs"]
mod create_on_update;
#[path = "engine/deletion.rs"]
mod deletion;
#[path = "engine/eviction.rs"]
mod eviction;
#[path = "engine/initial_events.rs"]
mod initial_events;
#[path = "engine/notes.rs"]
mod notes;
#[path = "engine/one_name.rs"]
mod one_name;
#[path = "engine/pages.rs"]
mod pages;
#[path = "engine/versions.rs"]
mod versions;

use std::sync::Arc;

use http::Method;
use sampan_store::embedded::Embedded;
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

#[tokio::test]
async fn clients_make_no_labels() {
    let server = TestServer::start().await;
    let nobody = server.asked_anonymously();
    let long = "x".repeat(1000);
    for (method, path) in [
        ("GET", format!("/apis/{long}/v1/pods/a")),
        ("GET", format!("/api/{long}/pods/a")),
        ("GET", format!("/api/v1/{long}/a")),
        ("GET", format!("/api/v1/namespaces/a/pods/b/{long}")),
        ("XXXXXXXX", "/api/v1/namespaces/a/pods/b".to_owned()),
        ("XXXXXXXX", "/healthz".to_owned()),
    ] {
        nobody.request(Method::from_bytes(method.as_bytes()).unwrap(), &path, &[], "").await;
    }
    let object = fixtures::config_map("a", "k", "v");
    server.apply("/api/v1/namespaces/default/configmaps/a", "me", &object).await.ok();
    let metrics = server.get("/metrics").await.text();
    assert!(!metrics.to_ascii_lowercase().contains("xxxx"), "{metrics}");
    let applied = "apiserver_request_total{verb=\"APPLY\",group=\"\",version=\"v1\",resource=\"configmaps\",subresource=\"\",scope=\"resource\",code=\"201\"} 1";
    assert!(metrics.contains(applied), "{metrics}");
    assert!(metrics.contains("verb=\"other\""), "{metrics}");
}

#[tokio::test]
async fn a_store_that_is_closed_is_not_ready() {
    let store = Arc::new(Embedded::in_memory());
    let server = TestServer::over(store.clone()).await;
    assert_eq!(server.get("/readyz/etcd").await.code, 200);
    store.close();
    for path in ["/readyz/etcd", "/livez/etcd", "/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.code, 500, "{path}");
    }
    assert_eq!(server.get("/readyz/ping").await.code, 200);
}

#[tokio::test]
async fn paths_are_served_where_they_are_authorized() {
    let server = TestServer::start().await;
    let rows = [
        ("GET", "/healthz/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/openapi/v2/", 404),
        ("GET", "/version/", 200),
        ("GET", "/apis/", 200),
        ("GET", "/api/v1/namespaces/default/configmaps/%ff", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/%+f", 400),
        ("POST", "/api/v1/watch/namespaces/default/configmaps", 405),
        ("DELETE", "/api/v1/watch/namespaces/default/configmaps/a", 405),
        ("GET", "/api/v1/proxy/namespaces/default/configmaps/a", 404),
        ("GET", "/api/v1/namespaces/default/status/x", 404),
    ];
    server.create("/api/v1/namespaces/default/configmaps", &fixtures::config_map("a", "k", "v")).await.ok();
    for (method, path, code) in rows {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(server.request(method.clone(), path, &[], "{}").await.code, code, "{method} {path}");
    }
    assert_eq!(server.get("/api/v1/namespaces/default/configmaps/a").await.code, 200);
}
