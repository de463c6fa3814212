//! Writes the Node object and its Lease, and goes on doing so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::lease;
use super::machine::Machine;
use super::object::{self, Settings};
use crate::image::Images;
use crate::pressure::State;
use crate::runtime::Runtime;
use crate::words::in_words;

/// How often the machine is looked at: the kubelet's `nodeStatusUpdateFrequency`.
const LOOK: Duration = Duration::from_secs(10);
/// How often an unchanged status is told: the kubelet's `nodeStatusReportFrequency`.
const REPORT: Duration = Duration::from_mins(5);
const MANAGER: &str = "kubelet";

/// Why a node could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine cannot be read.
    #[error("cannot read what this machine has")]
    Machine(#[from] std::io::Error),
    /// The API server refuses, or is not there.
    #[error("cannot register the node")]
    Api(#[from] kube::Error),
}

/// Registers the node and keeps its status and Lease up until `stop`. `pressure` is what it is short of. `data` is on the file system that pods use. It returns early only if the node cannot be registered
/// at all: later failures are logged, and tried again at the next turn.
pub async fn keep(
    client: kube::Client,
    settings: Settings,
    data: PathBuf,
    runtime: Arc<dyn Runtime>,
    images: Arc<dyn Images>,
    mut pressure: watch::Receiver<State>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let machine = Machine::read(&data)?;
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, lease::NAMESPACE);
    let node = register(&nodes, &settings, &machine).await?;
    let uid = node.metadata.uid.unwrap_or_default();
    let first = *pressure.borrow_and_update();
    let mut keeper =
        Keeper { nodes, leases, settings, machine, runtime, images, pressure: first, uid, reported: None };
    keeper.tell(true).await;
    keeper.renew().await;
    let mut ticks = interval(LOOK.min(lease::PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
            changed = pressure.changed() => {
                // Whoever looks after the machine is gone, and so is the agent in a moment.
                if changed.is_err() {
                    return Ok(());
                }
                keeper.pressure = *pressure.borrow_and_update();
            }
        }
        keeper.tell(false).await;
        keeper.renew().await;
    }
}

/// Creates the node, or brings the labels and annotations of the one that is there up to date; what others wrote into it stays.
async fn register(nodes: &Api<Node>, settings: &Settings, machine: &Machine) -> Result<Node, kube::Error> {
    let wanted = object::registered(settings, machine);
    match nodes
        .create(&PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() }, &wanted)
        .await
    {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let meta = json!({"labels": wanted.metadata.labels, "annotations": wanted.metadata.annotations});
            let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            nodes.patch(&settings.name, &params, &Patch::Strategic(json!({"metadata": meta}))).await
        }
        created => created,
    }
}

struct Keeper {
    nodes: Api<Node>,
    leases: Api<Lease>,
    settings: Settings,
    machine: Machine,
    runtime: Arc<dyn Runtime>,
    images: Arc<dyn Images>,
    pressure: State,
    uid: String,
    /// When everything was told last.
    reported: Option<Instant>,
}

impl Keeper {
    /// Looks at the node as the API has it, and tells its status if that differs: others write there too (the node-lifecycle controller says `Unknown` of a node that was silent).
    async fn tell(&mut self, at_once: bool) {
        let live = match self.nodes.get(&self.settings.name).await {
            Ok(node) => node.status.unwrap_or_default(),
            Err(kube::Error::Api(gone)) if gone.code == 404 => return self.register_again().await,
            Err(error) => {
                tracing::warn!(error = in_words(&error), "cannot look at the node");
                return;
            }
        };
        let images = self.images.list().await.unwrap_or_default();
        let about = self.runtime.about();
        let status = object::status(object::View {
            settings: &self.settings,
            machine: &self.machine,
            pressure: self.pressure,
            runtime: &about,
            trouble: None,
            images: &images,
            live: live.conditions.as_deref().unwrap_or_default(),
            now: SystemTime::now(),
        });
        let is_due = self.reported.is_none_or(|at| at.elapsed() >= REPORT);
        if !at_once && !is_due && object::is_told(&live, &status) {
            return;
        }
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Strategic(json!({"status": status}));
        match self.nodes.patch_status(&self.settings.name, &params, &patch).await {
            Ok(_) => self.reported = Some(Instant::now()),
            Err(kube::Error::Api(gone)) if gone.code == 404 => self.register_again().await,
            Err(error) => {
                tracing::warn!(error = in_words(&error), "cannot tell the node's status");
            }
        }
    }

    /// Somebody deleted the node while it runs.
    async fn register_again(&mut self) {
        self.reported = None;
        match register(&self.nodes, &self.settings, &self.machine).await {
            Ok(node) => self.uid = node.metadata.uid.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(error = in_words(&error), "cannot register the node again");
            }
        }
    }

    async fn renew(&mut self) {
        let name = &self.settings.name;
        let lease = lease::renewed(name, &self.uid, SystemTime::now());
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let written = match self.leases.patch(name, &params, &Patch::Merge(&lease)).await {
            Err(kube::Error::Api(missing)) if missing.code == 404 => {
                self.leases
                    .create(
                        &PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() },
                        &lease,
                    )
                    .await
            }
            written => written,
        };
        if let Err(error) = written {
            tracing::warn!(error = in_words(&error), "cannot renew the node's lease");
        }
    }
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{Reply, TestServer};
    use serde_json::Value;

    use super::*;
    use crate::testing::{Remembered, Scripted, api, parts};

    const NODE: &str = "/api/v1/nodes/n1";

    /// A keeper of a node that is registered, and has told its status.
    async fn keeper(server: &TestServer) -> Keeper {
        let (client, _) = api::client(server);
        let runtime = Scripted::new([]);
        let parts = parts::parts(&runtime, &Arc::new(Remembered::default()));
        let nodes = Api::all(client.clone());
        let settings = Settings { name: "n1".into(), max_pods: 110, port: 10250, ..Settings::default() };
        let machine =
            Machine { memory_bytes: 4 << 30, processors: 2, disk_bytes: 10 << 30, ..Machine::default() };
        let node = register(&nodes, &settings, &machine).await.expect("it registers");
        let mut keeper = Keeper {
            nodes,
            leases: Api::namespaced(client, lease::NAMESPACE),
            settings,
            machine,
            runtime,
            images: parts.images,
            pressure: State::default(),
            uid: node.metadata.uid.unwrap_or_default(),
            reported: None,
        };
        keeper.tell(true).await;
        keeper
    }

    fn version(reply: &Reply) -> Value {
        reply.json()["metadata"]["resourceVersion"].clone()
    }

    fn ready(reply: &Reply) -> Value {
        let node = reply.json();
        let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|condition| condition["type"] == "Ready").expect("a condition")
    }

    #[tokio::test]
    async fn what_others_say_of_the_node_is_mended_at_the_next_look() {
        let server = TestServer::start().await;
        let mut keeper = keeper(&server).await;
        let told = server.get(NODE).await;
        assert_eq!(ready(&told)["status"], "True");
        keeper.tell(false).await;
        assert_eq!(
            version(&server.get(NODE).await),
            version(&told),
            "nothing is written while nothing differs"
        );

        let unknown = json!({"status": {"conditions": [
            {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
             "message": "Kubelet stopped posting node status.", "lastTransitionTime": "2020-01-01T00:00:00Z"},
            {"type": "NetworkUnavailable", "status": "False", "reason": "RouteCreated"}]}});
        server.patch(&format!("{NODE}/status"), "strategic-merge-patch", &unknown).await.ok();
        keeper.tell(false).await;
        let mended = server.get(NODE).await;
        assert_eq!(
            (&ready(&mended)["status"], &ready(&mended)["reason"]),
            (&json!("True"), &json!("KubeletReady"))
        );
        assert_ne!(ready(&mended)["lastTransitionTime"], "2020-01-01T00:00:00Z", "it has changed");
        keeper.tell(false).await;
        assert_eq!(version(&server.get(NODE).await), version(&mended), "conditions of others are theirs");

        server.delete(NODE).await.ok();
        keeper.tell(false).await;
        keeper.tell(false).await;
        assert_eq!(ready(&server.get(NODE).await)["status"], "True", "it is registered again");
    }
}
