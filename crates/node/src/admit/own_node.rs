//! What the node knows of its own object: labels and taints that others wrote. One watch on this object alone, and the newest version kept.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use super::{Place, admit, resize};
use crate::pods::manager::Admission;
use crate::pods::memory::Pending;
use crate::pods::plan::Failure;
use crate::pressure::State;
use crate::words::in_words;

/// How long a look at the newest version may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub struct OwnNode {
    client: Client,
    name: String,
    own: BTreeMap<String, Quantity>,
    pressure: watch::Receiver<State>,
    /// The newest version, or what it will register as until one is seen.
    known: watch::Sender<Arc<Node>>,
    heard: watch::Sender<bool>,
}

impl OwnNode {
    /// Knows nothing yet but how the node registers, and what pods may use of it.
    pub fn new(
        client: Client,
        registered: Node,
        own: BTreeMap<String, Quantity>,
        pressure: watch::Receiver<State>,
    ) -> Self {
        let name = registered.metadata.name.clone().unwrap_or_default();
        let known = watch::Sender::new(Arc::new(registered));
        Self { client, name, own, pressure, known, heard: watch::Sender::new(false) }
    }

    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Waits until the API has said once what the node is, or that there is none: before that nobody can be refused by labels and taints, nor let in by them.
    pub async fn is_known(&self) {
        // The sender is this one's own.
        let _ = self.heard.subscribe().wait_for(|heard| *heard).await;
    }

    /// Follows the object. A failure of the watch is tried again, with ever longer pauses.
    pub async fn run(&self) {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let mut events = pin!(watcher(self.api(), config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::InitApply(node) | Event::Apply(node)) => {
                    self.known.send_replace(Arc::new(node));
                    self.heard.send_replace(true);
                }
                Ok(Event::InitDone) => {
                    self.heard.send_replace(true);
                }
                // It registers again, with what it had.
                Ok(Event::Init | Event::Delete(_)) => {}
                Err(error) => {
                    tracing::warn!(error = in_words(&error), "the node's own object cannot be watched");
                }
            }
        }
    }

    fn place(&self) -> Place {
        Place::new(&self.known.borrow(), &self.own, *self.pressure.borrow())
    }
}

#[async_trait]
impl Admission for OwnNode {
    fn admit(&self, pod: &Pod, others: &[Arc<Pod>]) -> Option<Failure> {
        admit(pod, others, &self.place())
    }

    fn resize(&self, pod: &Pod, others: &[Arc<Pod>]) -> Result<(), Pending> {
        resize(pod, others, &self.place())
    }

    async fn refresh(&self) {
        match tokio::time::timeout(PATIENCE, self.api().get(&self.name)).await {
            Ok(Ok(node)) => {
                self.known.send_replace(Arc::new(node));
            }
            Ok(Err(error)) => {
                tracing::warn!(error = in_words(&error), "the node's own object cannot be read");
            }
            Err(_) => tracing::warn!("the node's own object cannot be read in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{TestServer, eventually};
    use serde_json::json;

    use super::*;
    use crate::testing::api;

    #[tokio::test]
    async fn labels_and_taints_that_others_write_are_known() {
        let server = TestServer::start().await;
        let (client, failures) = api::client(&server);
        let registered: Node = serde_json::from_value(json!({"metadata": {"name": "n1"}})).expect("a node");
        let (_short, pressure) = watch::channel(State::default());
        let node = Arc::new(OwnNode::new(client, registered, BTreeMap::new(), pressure));
        assert_eq!(node.place().labels, BTreeMap::from([("kubernetes.io/os".into(), "linux".into())]));
        failures.store(1, std::sync::atomic::Ordering::SeqCst);
        let task = tokio::spawn({
            let node = Arc::clone(&node);
            async move { node.run().await }
        });
        node.is_known().await;
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"disk": "ssd"}}});
        assert_eq!(server.create("/api/v1/nodes", &object).await.code, 201);
        eventually("the label is seen", async || node.place().labels.contains_key("disk").then_some(()))
            .await;
        task.abort();
        // What the watch has not told is read when it matters.
        let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}});
        server.patch("/api/v1/nodes/n1", "merge-patch", &taint).await;
        node.refresh().await;
        assert_eq!(node.place().taints.len(), 1);
    }
}
