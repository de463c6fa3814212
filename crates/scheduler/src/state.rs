//! Queue and snapshot as one thing that changes in one way: by what the watches tell and what bindings come to. No I/O; time and chance are arguments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::Settings;
use crate::decision::{How, Unfit, decide};
use crate::filter;
use crate::node::Node;
use crate::pod::{PodInfo, Uid};
use crate::queue::{Lengths, Queue, Queued, Times};
use crate::snapshot::Snapshot;

/// What a watch tells.
#[derive(Debug)]
pub(crate) enum Update {
    /// All nodes: others are gone.
    Nodes(Vec<Node>),
    Node(Node),
    NodeGone(Arc<str>),
    /// All pods: others are gone.
    Pods(Vec<PodInfo>),
    Pod(Box<PodInfo>),
    PodGone(Uid),
}

/// What came of a pod's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) pod: Arc<PodInfo>,
    /// The node that it gets: its place is taken, and it is to be bound. Or why there is none: it waits.
    pub(crate) outcome: Result<Arc<str>, Unfit>,
}

/// See the module.
pub(crate) struct State {
    scheduler_name: String,
    percentage: u32,
    snapshot: Snapshot,
    queue: Queue,
    /// Pods that were given a node, and of which the watch has not told so yet.
    assumed: HashMap<Uid, Queued>,
    nodes_listed: bool,
    pods_listed: bool,
    start: usize,
}

impl State {
    pub(crate) fn new(settings: &Settings) -> Self {
        let times = Times {
            initial_backoff: settings.initial_backoff,
            max_backoff: settings.max_backoff,
            max_unschedulable: settings.max_unschedulable,
        };
        Self {
            scheduler_name: settings.scheduler_name.clone(),
            percentage: settings.percentage_of_nodes_to_score,
            snapshot: Snapshot::default(),
            queue: Queue::new(times),
            assumed: HashMap::new(),
            nodes_listed: false,
            pods_listed: false,
            start: 0,
        }
    }

    /// Takes what a watch told.
    pub(crate) fn apply(&mut self, update: Update, now: Instant) {
        match update {
            Update::Nodes(nodes) => {
                let there: HashSet<_> = nodes.iter().map(|n| Arc::clone(&n.name)).collect();
                for name in self.snapshot.names() {
                    if !there.contains(&name) {
                        self.snapshot.remove_node(&name);
                    }
                }
                for node in nodes {
                    self.node(node, now);
                }
                self.nodes_listed = true;
            }
            Update::Node(node) => self.node(node, now),
            Update::NodeGone(name) => self.snapshot.remove_node(&name),
            Update::Pods(mut pods) => {
                let there: HashSet<_> = pods.iter().map(|p| Arc::clone(&p.uid)).collect();
                for uid in self.snapshot.pods().into_iter().chain(self.queue.pods()) {
                    if !there.contains(&uid) {
                        self.gone(&uid, now);
                    }
                }
                // A list comes by name; turns come by age.
                pods.sort_by_key(|pod| pod.created);
                for pod in pods {
                    self.pod(pod, now);
                }
                self.pods_listed = true;
            }
            Update::Pod(pod) => self.pod(*pod, now),
            Update::PodGone(uid) => self.gone(&uid, now),
        }
    }

    /// The next pod's turn. None before both watches told what there is: half a cluster looks empty.
    pub(crate) fn next(&mut self, now: Instant, pick: &mut dyn FnMut(usize) -> usize) -> Option<Turn> {
        if !self.nodes_listed || !self.pods_listed {
            return None;
        }
        let queued = self.queue.pop(now)?;
        let pod = Arc::clone(&queued.pod);
        let mut how = How { start: &mut self.start, percentage: self.percentage, pick };
        let outcome = decide(&self.snapshot, &pod, &mut how);
        match &outcome {
            Ok(node) => {
                self.snapshot.place(Arc::new(PodInfo::clone(&pod).placed()), node);
                self.assumed.insert(Arc::clone(&pod.uid), queued);
            }
            Err(unfit) => self.queue.unschedulable(queued, unfit.is_without_nodes(), now),
        }
        Some(Turn { pod, outcome })
    }

    /// A binding failed: the pod's place is free again, and it has another turn later. `false`: it was bound all the same, or is gone.
    pub(crate) fn unbound(&mut self, uid: &str, now: Instant) -> bool {
        let Some(queued) = self.assumed.remove(uid) else { return false };
        if let Some((node, _)) = self.snapshot.remove_pod(uid) {
            self.freed(&node, now);
        }
        self.queue.failed(queued, now);
        true
    }

    /// When there is something to do by time alone.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.queue.next_wake()
    }

    pub(crate) fn lengths(&self) -> Lengths {
        self.queue.lengths()
    }

    fn node(&mut self, node: Node, now: Instant) {
        let name = Arc::clone(&node.name);
        if self.snapshot.set_node(node) {
            self.freed(&name, now);
        }
    }

    fn pod(&mut self, pod: PodInfo, now: Instant) {
        if pod.ended {
            return self.gone(&pod.uid, now);
        }
        if let Some(node) = pod.node.clone() {
            self.queue.remove(&pod.uid);
            self.assumed.remove(&pod.uid);
            if let Some(freed) = self.snapshot.place(Arc::new(pod.placed()), &node) {
                self.freed(&freed, now);
            }
            return;
        }
        if let Some(assumed) = self.assumed.get_mut(&pod.uid) {
            // Its binding is under way, or not yet told.
            assumed.pod = Arc::new(pod);
        } else if pod.terminating || pod.scheduler_name != self.scheduler_name {
            self.queue.remove(&pod.uid);
        } else {
            self.queue.set(Arc::new(pod), now);
        }
    }

    fn gone(&mut self, uid: &str, now: Instant) {
        self.queue.remove(uid);
        self.assumed.remove(uid);
        if let Some((node, _)) = self.snapshot.remove_pod(uid) {
            self.freed(&node, now);
        }
    }

    /// There may be room on a node: those pods whom it takes have another turn.
    fn freed(&mut self, node: &str, now: Instant) {
        if let Some(info) = self.snapshot.node(node) {
            self.queue.retry(now, |pod| filter::refusal(pod, info).is_none());
        }
    }
}

#[cfg(test)]
mod tests;
