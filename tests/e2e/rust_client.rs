//! kube-rs: list, watch, patch, apply, and reconnect.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, reflector};
use sampan_tests::Cluster;
use serde_json::json;

fn config_map(name: &str, group: &str) -> ConfigMap {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"group": group}},
        "data": {"key": "value"},
    }))
    .unwrap()
}

fn deployment(name: &str, replicas: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "example.org/image:1"}]},
            },
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn lists_are_selected_and_paged() {
    let cluster = Cluster::start();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    for i in 0..25 {
        let group = if i % 5 == 0 { "few" } else { "many" };
        api.create(&PostParams::default(), &config_map(&format!("c{i:02}"), group)).await.unwrap();
    }
    let few = api.list(&ListParams::default().labels("group=few")).await.unwrap();
    assert_eq!(few.items.len(), 5);
    let mut names = Vec::new();
    let mut params = ListParams::default().limit(10);
    loop {
        let page = api.list(&params).await.unwrap();
        names.extend(page.items.into_iter().filter_map(|c| c.metadata.name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let want: Vec<String> = (0..25).map(|i| format!("c{i:02}")).collect();
    assert_eq!(names, want);
}

#[tokio::test]
async fn patches_of_all_kinds_change_what_they_name() {
    let cluster = Cluster::start();
    let api: Api<Deployment> = Api::default_namespaced(cluster.client().await);
    api.create(&PostParams::default(), &deployment("web", 1)).await.unwrap();
    let params = PatchParams::default();
    let merged = api.patch("web", &params, &Patch::Merge(json!({"spec": {"replicas": 2}}))).await.unwrap();
    assert_eq!(merged.spec.unwrap().replicas, Some(2));
    let sidecar = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "sidecar", "image": "example.org/sidecar:1"},
    ]}}}});
    let strategic = api.patch("web", &params, &Patch::Strategic(sidecar)).await.unwrap();
    let names: Vec<String> =
        strategic.spec.unwrap().template.spec.unwrap().containers.into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["sidecar", "main"]);
    let scale = api.get_scale("web").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(2));
}

#[tokio::test]
async fn an_apply_owns_its_fields_and_conflicts_are_told() {
    let cluster = Cluster::start();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    let object = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "applied"},
            "data": {"key": value},
        })
    };
    let applied = api.patch("applied", &PatchParams::apply("one"), &Patch::Apply(object("1"))).await.unwrap();
    assert_eq!(applied.metadata.managed_fields.unwrap()[0].manager.as_deref(), Some("one"));
    let conflict = api.patch("applied", &PatchParams::apply("two"), &Patch::Apply(object("2"))).await;
    match conflict.unwrap_err() {
        kube::Error::Api(status) => assert_eq!((status.code, status.reason.as_str()), (409, "Conflict")),
        other => panic!("{other}"),
    }
    let forced = PatchParams::apply("two").force();
    let taken = api.patch("applied", &forced, &Patch::Apply(object("2"))).await.unwrap();
    assert_eq!(taken.data.unwrap()["key"], "2");
}

#[tokio::test]
async fn a_reflector_sees_what_happened_while_the_server_was_away() {
    let mut cluster = Cluster::start();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    api.create(&PostParams::default(), &config_map("before", "g")).await.unwrap();
    let (reader, writer) = reflector::store();
    let events = reflector(writer, watcher::watcher(api.clone(), watcher::Config::default()))
        .default_backoff()
        .filter_map(|event| async move {
            match event {
                Ok(Event::Apply(c) | Event::InitApply(c)) => Some((true, c.metadata.name?)),
                Ok(Event::Delete(c)) => Some((false, c.metadata.name?)),
                _ => None,
            }
        });
    let mut events = std::pin::pin!(events);
    assert_eq!(events.next().await, Some((true, "before".into())));
    cluster.kill();
    cluster.restart().unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    api.create(&PostParams::default(), &config_map("after", "g")).await.unwrap();
    api.delete("before", &DeleteParams::default()).await.unwrap();
    let wait = async {
        while reader.state().iter().map(|c| c.metadata.name.clone().unwrap()).ne(["after".to_owned()]) {
            events.next().await.expect("a watcher never ends");
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("the reflector reconnects");
}

#[tokio::test]
async fn a_watch_with_bookmarks_begins_with_what_is_there() {
    let cluster = Cluster::start();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    api.create(&PostParams::default(), &config_map("a", "g")).await.unwrap();
    let config = watcher::Config::default().streaming_lists();
    let mut events = watcher::watcher(api, config).boxed();
    let mut kinds = Vec::new();
    loop {
        match events.try_next().await.unwrap().expect("a watcher never ends") {
            Event::Init => kinds.push("init"),
            Event::InitApply(_) => kinds.push("object"),
            Event::InitDone => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds, ["init", "object"]);
}
