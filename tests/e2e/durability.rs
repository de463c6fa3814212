//! What was acknowledged is there after a crash, and a watch goes on after a restart.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use sampan_tests::Cluster;
use tokio::sync::mpsc;

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name},
        "data": {"text": "x".repeat(700)},
    }))
    .unwrap()
}

/// Writes objects until the server is gone; tells the names of those that it has acknowledged.
async fn write(api: Api<ConfigMap>, round: usize, writer: usize, acknowledged: mpsc::Sender<String>) {
    for i in 0.. {
        let name = format!("r{round}-w{writer}-{i}");
        match api.create(&PostParams::default(), &config_map(&name)).await {
            Ok(_) => acknowledged.send(name).await.unwrap(),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_it_is_killed_twenty_times_under_load() {
    const WRITERS: usize = 8;
    let mut cluster = Cluster::start();
    let mut all = BTreeSet::new();
    for round in 0..20 {
        let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
        let (sender, mut acknowledged) = mpsc::channel(1024);
        let writers: Vec<_> =
            (0..WRITERS).map(|w| tokio::spawn(write(api.clone(), round, w, sender.clone()))).collect();
        drop(sender);
        // Each round dies at another moment: after so many acknowledgements.
        for _ in 0..20 + 13 * round {
            all.insert(acknowledged.recv().await.expect("the writers write"));
        }
        cluster = tokio::task::spawn_blocking(move || {
            cluster.kill();
            cluster
        })
        .await
        .unwrap();
        while let Some(name) = acknowledged.recv().await {
            all.insert(name);
        }
        for writer in writers {
            writer.await.unwrap();
        }
        cluster.restart().unwrap();
        let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
        let list = api.list(&ListParams::default()).await.unwrap();
        let there: BTreeSet<String> = list.items.into_iter().filter_map(|c| c.metadata.name).collect();
        let missing: Vec<_> = all.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "round {round}: {} of {} are lost: {missing:?}",
            missing.len(),
            all.len()
        );
        // What was written and not acknowledged may be there: at most one a writer and round.
        assert!(there.len() <= all.len() + (round + 1) * WRITERS, "round {round}: too many objects");
    }
}

#[tokio::test]
async fn a_watch_resumes_after_a_restart_from_a_revision_of_before() {
    let mut cluster = Cluster::start();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    let first = api.create(&PostParams::default(), &config_map("first")).await.unwrap();
    let revision = first.metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &config_map("second")).await.unwrap();
    api.delete("first", &DeleteParams::default()).await.unwrap();
    cluster.stop();
    cluster.restart().unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    api.create(&PostParams::default(), &config_map("third")).await.unwrap();
    let mut watch = api.watch(&WatchParams::default(), &revision).await.unwrap().boxed();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = watch.try_next().await.unwrap().expect("the watch goes on");
        seen.push(match event {
            WatchEvent::Added(c) => ("ADDED", c.metadata.name.unwrap()),
            WatchEvent::Deleted(c) => ("DELETED", c.metadata.name.unwrap()),
            other => panic!("{other:?}"),
        });
    }
    let want = [("ADDED", "second"), ("DELETED", "first"), ("ADDED", "third")];
    assert_eq!(seen, want.map(|(kind, name)| (kind, name.to_owned())));
}

#[tokio::test]
async fn revisions_go_on_where_they_were_after_a_crash() {
    let mut cluster = Cluster::start();
    let api: Arc<Api<ConfigMap>> = Arc::new(Api::default_namespaced(cluster.client().await));
    let before = api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    cluster.kill();
    cluster.restart().unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    let read = api.get("a").await.unwrap();
    assert_eq!(read, before);
    let after = api.create(&PostParams::default(), &config_map("b")).await.unwrap();
    let number = |c: ConfigMap| c.metadata.resource_version.unwrap().parse::<u64>().unwrap();
    assert!(number(after) > number(before));
}
