//! Watches of nodes and pods, as updates of the state.

use std::fmt::Debug;
use std::pin::pin;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::node::Node;
use crate::pod::PodInfo;
use crate::state::Update;

/// Follows the nodes until nobody listens.
pub(crate) async fn nodes(client: kube::Client, updates: mpsc::Sender<Update>) {
    let gone = |node: &v1::Node| node.metadata.name.as_deref().map(|name| Update::NodeGone(name.into()));
    follow(
        Api::<v1::Node>::all(client),
        Config::default(),
        "nodes",
        updates,
        Node::new,
        Update::Nodes,
        Update::Node,
        gone,
    )
    .await;
}

/// Follows the pods that have not ended until nobody listens.
pub(crate) async fn pods(client: kube::Client, updates: mpsc::Sender<Update>) {
    let config = Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let gone = |pod: &v1::Pod| pod.metadata.uid.as_deref().map(|uid| Update::PodGone(uid.into()));
    follow(
        Api::<v1::Pod>::all(client),
        config,
        "pods",
        updates,
        PodInfo::new,
        Update::Pods,
        |pod| Update::Pod(Box::new(pod)),
        gone,
    )
    .await;
}

/// Failures of the watch are tried again, with ever longer pauses.
#[allow(clippy::too_many_arguments)]
async fn follow<K, T>(
    api: Api<K>,
    config: Config,
    what: &str,
    updates: mpsc::Sender<Update>,
    read: fn(&K) -> Option<T>,
    all: fn(Vec<T>) -> Update,
    one: fn(T) -> Update,
    gone: fn(&K) -> Option<Update>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut listed = Vec::new();
    loop {
        let update = match events.try_next().await {
            Ok(Some(Event::Init)) => {
                listed.clear();
                None
            }
            Ok(Some(Event::InitApply(object))) => {
                listed.extend(read(&object));
                None
            }
            Ok(Some(Event::InitDone)) => Some(all(std::mem::take(&mut listed))),
            Ok(Some(Event::Apply(object))) => read(&object).map(one),
            Ok(Some(Event::Delete(object))) => gone(&object),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the {what} cannot be watched");
                None
            }
        };
        if let Some(update) = update
            && updates.send(update).await.is_err()
        {
            return;
        }
    }
}
