//! node-lifecycle-controller: a node that renews neither its Lease nor its status is unknown, and then its pods are not ready. Conditions become taints: those that keep pods
//! away at once, those that evict pods one node after the other, and not at all while no node is ready.
//!
//! `plan` decides (pure). Upstream looks at all nodes every five seconds; this one when a node changed, or when one would have had to say something.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use self::plan::{Eviction, Limiter};
use crate::informer::{Informer, Informers};
use crate::manager::Context;
use crate::pod_garbage_collector::{is_gone, node_name};
use crate::work_queue::WorkQueue;

const LEASES: &str = "metadata.namespace=kube-node-lease";

/// When a node counts as gone, and how fast its pods may be evicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How long a node may say nothing: `--node-monitor-grace-period`.
    pub monitor_grace: Duration,
    /// How long a new node may say nothing: `--node-startup-grace-period`.
    pub startup_grace: Duration,
    /// Nodes a second, in each zone: `--node-eviction-rate`.
    pub eviction_rate: f64,
    /// The same in a large zone of which much is gone: `--secondary-node-eviction-rate`.
    pub secondary_eviction_rate: f64,
    /// A zone is large that has more nodes: `--large-cluster-size-threshold`.
    pub large_cluster_threshold: usize,
    /// The part of a zone that is much: `--unhealthy-zone-threshold`.
    pub unhealthy_zone_threshold: f64,
}

impl Default for Settings {
    /// Upstream's.
    fn default() -> Self {
        Self {
            monitor_grace: Duration::from_secs(50),
            startup_grace: Duration::from_mins(1),
            eviction_rate: 0.1,
            secondary_eviction_rate: 0.01,
            large_cluster_threshold: 50,
            unhealthy_zone_threshold: 0.55,
        }
    }
}

/// What is remembered of a node.
struct Seen {
    /// When it last said anything, by our own clock: theirs may be wrong.
    at: Instant,
    /// Whether it was ready when it was last looked at.
    was_ready: bool,
    /// Since when it waits for its pods to be evicted.
    waits_since: Option<Instant>,
}

#[derive(Default)]
struct Memory {
    nodes: HashMap<String, Seen>,
    limiter: Limiter,
    all_gone: bool,
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let keeper = Keeper {
        context,
        nodes: informers.of::<Node>(),
        pods: informers.of::<Pod>(),
        leases: informers.with_fields::<Lease>(LEASES),
        memory: Arc::default(),
    };
    keeper.run().boxed()
}

struct Keeper {
    context: Context,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    leases: Informer<Lease>,
    memory: Arc<Mutex<Memory>>,
}

impl Keeper {
    async fn run(self) {
        let queue = WorkQueue::<()>::new(self.context.name, self.context.metrics());
        let memory = Arc::clone(&self.memory);
        self.leases.on_change(move |before, now| {
            let renewed = |lease: Option<&Lease>| lease.and_then(|l| l.spec.as_ref()?.renew_time.clone());
            let name = now.and_then(|lease| lease.metadata.name.as_deref());
            if let Some(name) = name.filter(|_| before.is_some() && renewed(before) != renewed(now))
                && let Some(seen) = memory.lock().nodes.get_mut(name)
            {
                seen.at = Instant::now();
            }
        });
        let (memory, sink, recorder) =
            (Arc::clone(&self.memory), queue.clone(), self.context.recorder.clone());
        self.nodes.on_change(move |before, now| {
            let Some(name) = now.or(before).and_then(|node| node.metadata.name.clone()) else { return };
            let mut memory = memory.lock();
            match (before, now) {
                (before, Some(node)) => {
                    if before.is_none() {
                        let message = format!("Node {name} event: Registered Node {name} in Controller");
                        recorder.event(reference(node), "Normal", "RegisteredNode", &message);
                    }
                    let is_new = !memory.nodes.contains_key(&name);
                    let seen = memory.nodes.entry(name).or_insert_with(|| Seen {
                        at: Instant::now(),
                        was_ready: plan::is_ready(node),
                        waits_since: None,
                    });
                    if before.is_some_and(|before| heartbeat(before) != heartbeat(node)) {
                        seen.at = Instant::now();
                    }
                    if is_new || before.is_none_or(|before| matters(before) != matters(node)) {
                        sink.add(());
                    }
                }
                (Some(gone), None) => {
                    let message = format!("Node {name} event: Removing Node {name} from Controller");
                    recorder.event(reference(gone), "Normal", "RemovingNode", &message);
                    memory.nodes.remove(&name);
                    sink.add(());
                }
                (None, None) => {}
            }
        });
        self.nodes.synced().await;
        self.leases.synced().await;
        self.pods.synced().await;
        queue.add(());
        let reconcile = async |()| {
            if let Some(wait) = self.pass().await? {
                queue.add_after((), wait);
            }
            Ok(())
        };
        queue.run(1, reconcile).await;
    }

    /// Looks at all nodes. When to look again if nothing changes.
    async fn pass(&self) -> Result<Option<Duration>, kube::Error> {
        let settings = self.context.settings.node_lifecycle;
        let nodes = self.nodes.all();
        let now = Instant::now();
        let mut next: Option<Duration> = None;
        let mut failed = None;
        for node in &nodes {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let Some(at) = self.memory.lock().nodes.get(name).map(|seen| seen.at) else { continue };
            let left = plan::grace(node, &settings).saturating_sub(now.duration_since(at));
            let (transition, result) = if left.is_zero() {
                (true, self.unknown(name, node).await)
            } else {
                next = Some(next.map_or(left, |next| next.min(left)));
                (!plan::is_ready(node), Ok(()))
            };
            let was_ready = self.memory.lock().nodes.get_mut(name).is_some_and(|seen| {
                std::mem::replace(&mut seen.was_ready, plan::is_ready(node) && !transition)
            });
            let result = match result {
                Ok(()) if transition && was_ready => self.lost(name, node).await,
                result => result,
            };
            if result.is_err()
                && was_ready
                && let Some(seen) = self.memory.lock().nodes.get_mut(name)
            {
                // Its pods are still to be told.
                seen.was_ready = true;
            }
            // One node that cannot be written does not keep the others.
            failed = result.err().or(failed);
        }
        let (evictions, again) = self.evictions(&nodes, now);
        for (node, eviction) in evictions {
            failed = self.taint(&node, eviction).await.err().or(failed);
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(next.into_iter().chain(again).min()),
        }
    }

    /// Which nodes' pods may be evicted.
    fn evictions(&self, nodes: &[Arc<Node>], now: Instant) -> (Vec<(Arc<Node>, Eviction)>, Option<Duration>) {
        let settings = self.context.settings.node_lifecycle;
        let zones = plan::zones(nodes.iter().map(|node| &**node));
        let all_gone = plan::is_all_gone(&zones);
        let mut memory = self.memory.lock();
        if all_gone != memory.all_gone {
            memory.all_gone = all_gone;
            if all_gone {
                tracing::warn!("no node is ready: nobody is evicted");
            } else {
                // Perhaps it was we who heard nothing: each has its time anew.
                memory.nodes.values_mut().for_each(|seen| seen.at = now);
            }
        }
        let mut waiting = Vec::new();
        for node in nodes {
            let name = node.metadata.name.clone().unwrap_or_default();
            let Some(seen) = memory.nodes.get_mut(&name) else { continue };
            if !all_gone && plan::awaits_eviction(node) {
                let since = *seen.waits_since.get_or_insert(now);
                waiting.push((since, name, plan::zone(node)));
            } else {
                seen.waits_since = None;
            }
        }
        waiting.sort();
        let waiting: Vec<_> = waiting.into_iter().map(|(_, name, zone)| (name, zone)).collect();
        let (admitted, again) = memory.limiter.admit(&waiting, &zones, &settings, now);
        let eviction = |node: &Arc<Node>| {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            match (all_gone, admitted.contains(name)) {
                (true, _) => Eviction::Off,
                (false, true) => Eviction::Allowed,
                (false, false) => Eviction::Later,
            }
        };
        (nodes.iter().map(|node| (Arc::clone(node), eviction(node))).collect(), again)
    }

    /// A node has said nothing for too long.
    async fn unknown(&self, name: &str, node: &Node) -> Result<(), kube::Error> {
        let conditions = plan::unknown_conditions(node, Timestamp::now());
        if conditions.is_empty() {
            return Ok(());
        }
        tracing::warn!(node = name, "the node says nothing any more");
        let patch = Patch::Strategic(
            json!({"metadata": {"uid": node.metadata.uid}, "status": {"conditions": conditions}}),
        );
        let nodes = Api::<Node>::all(self.context.client.clone());
        is_gone(nodes.patch_status(name, &PatchParams::default(), &patch).await.map(|_| ())).map(|_| ())
    }

    /// A node is not ready any more: then its pods are not, whatever they said last.
    async fn lost(&self, name: &str, node: &Node) -> Result<(), kube::Error> {
        let message = format!("Node {name} status is now: NodeNotReady");
        self.context.recorder.event(reference(node), "Normal", "NodeNotReady", &message);
        for pod in self.pods.all() {
            let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
            if node_name(&pod) != Some(name)
                || !conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
            {
                continue;
            }
            let meta = &pod.metadata;
            let object = ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                ..ObjectReference::default()
            };
            self.context.recorder.event(object, "Warning", "NodeNotReady", "Node is not ready");
            let now = Timestamp::now();
            let condition = json!({"type": "Ready", "status": "False", "observedGeneration": meta.generation,
                "lastTransitionTime": Time(Timestamp::from_second(now.as_second()).unwrap_or(now))});
            let patch = json!({"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}});
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            let api = Api::<Pod>::namespaced(self.context.client.clone(), namespace);
            let name = meta.name.as_deref().unwrap_or_default();
            let written = api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await;
            is_gone(written.map(|_| ()))?;
        }
        Ok(())
    }

    async fn taint(&self, node: &Node, eviction: Eviction) -> Result<(), kube::Error> {
        let Some(taints) = plan::wanted_taints(node, eviction, Timestamp::now()) else { return Ok(()) };
        // The list is written as a whole: the resource version keeps taints that somebody else adds meanwhile.
        let meta = json!({"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version});
        let patch = Patch::Merge(json!({"metadata": meta, "spec": {"taints": taints}}));
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let nodes = Api::<Node>::all(self.context.client.clone());
        match nodes.patch(name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            // Tried again soon, with what is there by then.
            Err(error) => Err(error),
        }
    }
}

fn heartbeat(node: &Node) -> Option<&Time> {
    plan::condition(node, "Ready")?.last_heartbeat_time.as_ref()
}

/// What a look at a node depends on, but for its heartbeats.
fn matters(node: &Node) -> impl PartialEq {
    let spec = node.spec.as_ref();
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    (
        conditions.map(|c| (c.type_.clone(), c.status.clone())).collect::<Vec<_>>(),
        spec.and_then(|s| s.taints.clone()),
        spec.and_then(|s| s.unschedulable),
        plan::zone(node),
    )
}

fn reference(node: &Node) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: node.metadata.name.clone(),
        uid: node.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
