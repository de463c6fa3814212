//! The pods that the API has bound to the node. Mirror pods among them are told to the mirrors, and run by nobody.

use std::pin::pin;
use std::sync::Arc;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use tokio::sync::mpsc;

use super::{Origin, Update};
use crate::container::PodUid;
use crate::mirror::{self, Mirrors};
use crate::words::in_words;

/// Follows the pods of `node` until the manager is gone. Failures of the watch are tried again, with ever longer pauses.
pub async fn run(client: kube::Client, node: &str, mirrors: &Mirrors, updates: mpsc::Sender<Update>) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let mut events = pin!(watcher(Api::<Pod>::all(client), config).default_backoff());
    let mut listed = Vec::new();
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(error = in_words(&error), "the pods of the node cannot be watched");
                continue;
            }
        };
        let update = match event {
            watcher::Event::Init => {
                listed.clear();
                continue;
            }
            watcher::Event::InitApply(pod) => {
                listed.push(Arc::new(pod));
                continue;
            }
            watcher::Event::InitDone => {
                let (mirrored, pods): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut listed).into_iter().partition(|pod| mirror::is_mirror(pod));
                mirrors.all(mirrored.iter().map(|pod| &**pod));
                Update::All(Origin::Api, pods)
            }
            watcher::Event::Apply(pod) if mirror::is_mirror(&pod) => {
                mirrors.seen(&pod);
                continue;
            }
            watcher::Event::Delete(pod) if mirror::is_mirror(&pod) => {
                mirrors.lost(&pod);
                continue;
            }
            watcher::Event::Apply(pod) => Update::Set(Origin::Api, Arc::new(pod)),
            watcher::Event::Delete(pod) => match pod.metadata.uid.as_deref().and_then(PodUid::new) {
                Some(uid) => Update::Remove(Origin::Api, uid),
                None => continue,
            },
        };
        if updates.send(update).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use sampan_testkit::TestServer;
    use serde_json::json;

    use super::*;
    use crate::source;
    use crate::testing::api;

    fn uid(pod: &Pod) -> PodUid {
        pod.metadata.uid.as_deref().and_then(PodUid::new).expect("a UID")
    }

    #[tokio::test]
    async fn the_pods_of_the_node_come_and_go() {
        let server = TestServer::start().await;
        let (client, failures) = api::client(&server);
        let first = api::pod(&server, "first").await;
        let elsewhere = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "elsewhere"},
            "spec": {"nodeName": "n2", "containers": [{"name": "main", "image": "x"}]}});
        server.create(api::PODS, &elsewhere).await;
        // A line that breaks is mended.
        failures.store(1, std::sync::atomic::Ordering::SeqCst);
        let (sender, mut updates) = source::channel();
        let task = tokio::spawn(async move { run(client, "n1", &Mirrors::default(), sender).await });
        match updates.recv().await {
            Some(Update::All(Origin::Api, pods)) => {
                assert_eq!(pods.iter().map(|pod| uid(pod)).collect::<Vec<_>>(), [uid(&first)]);
            }
            other => panic!("{other:?}"),
        }
        let second = api::pod(&server, "second").await;
        match updates.recv().await {
            Some(Update::Set(Origin::Api, pod)) => assert_eq!(uid(&pod), uid(&second)),
            other => panic!("{other:?}"),
        }
        let path = format!("{}/first?gracePeriodSeconds=0", api::PODS);
        server.request(http::Method::DELETE, &path, &[], "").await;
        loop {
            match updates.recv().await {
                // Its deletion timestamp may be seen first.
                Some(Update::Set(Origin::Api, pod)) => assert_eq!(uid(&pod), uid(&first)),
                Some(Update::Remove(Origin::Api, gone)) => break assert_eq!(gone, uid(&first)),
                other => panic!("{other:?}"),
            }
        }
        task.abort();
    }
}
