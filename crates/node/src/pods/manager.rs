//! One worker for each pod: starts them, passes on what is wanted and what the runtime says, and takes up what an earlier node left.
//!
//! It decides nothing about a pod but whether there is a worker for it. Who is not wanted any more by any origin, and still has a sandbox, gets a worker that ends it; but not before
//! every origin has said once what it wants.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_placement::resources::wanted;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use super::allocation::Allocation;
use super::config::qos::Class;
use super::memory::Pending;
use super::parts::{Kind, Parts};
use super::plan::Failure;
use super::resize;
use super::roster::Roster;
use super::worker::{self, Desired, Handle};
use crate::admit::{DEFERRED, NODE_AFFINITY};
use crate::container::PodUid;
use crate::mirror::Mirrors;
use crate::pressure::Eviction;
use crate::runtime::Sandbox;
use crate::source::{Origin, Update, config_hash};
use crate::words::in_words;

/// How long it waits for a runtime that does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a pod rests whose worker panicked.
const REST: Duration = Duration::from_secs(10);

/// Decides whether pods may run here.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Why a pod may not run beside these; `None`: it may.
    fn admit(&self, pod: &Pod, others: &[Arc<Pod>]) -> Option<Failure>;

    /// Asks the API for what the node is by now: a pod may come sooner than the label that it came for.
    async fn refresh(&self);

    /// Whether a pod that runs may have the resources that it asks for beside these.
    fn resize(&self, pod: &Pod, others: &[Arc<Pod>]) -> Result<(), Pending>;
}

/// A pod that has a worker.
struct Entry {
    desired: Desired,
    handle: Handle,
    changes: u64,
    /// Since when it waits for other resources.
    waits_since: Option<Instant>,
}

/// See the module.
pub struct Manager {
    parts: Parts,
    mirrors: Arc<Mirrors>,
    roster: Arc<Roster>,
    admission: Arc<dyn Admission>,
    /// Pods that do not match the node's labels, while the newest are asked for.
    doubted: JoinSet<PodUid>,
    /// Origins that have not said yet what they want.
    awaited: BTreeSet<Origin>,
    entries: BTreeMap<PodUid, Entry>,
    workers: JoinSet<PodUid>,
    /// What is wanted, by whom.
    wanted: BTreeMap<PodUid, (Origin, Arc<Pod>)>,
    /// Wanted pods of which nothing is left already: their objects go soon, or stay as they ended.
    finished: BTreeSet<PodUid>,
    /// Sandboxes that were there at the start, without a worker so far.
    found: BTreeMap<PodUid, Sandbox>,
}

impl Manager {
    /// A manager of pods that come from `origins`.
    pub fn new(
        parts: Parts,
        mirrors: Arc<Mirrors>,
        roster: Arc<Roster>,
        admission: Arc<dyn Admission>,
        origins: &[Origin],
    ) -> Self {
        if !origins.contains(&Origin::Files) {
            mirrors.complete();
        }
        Self {
            parts,
            mirrors,
            roster,
            admission,
            doubted: JoinSet::new(),
            awaited: origins.iter().copied().collect(),
            entries: BTreeMap::new(),
            workers: JoinSet::new(),
            wanted: BTreeMap::new(),
            finished: BTreeSet::new(),
            found: BTreeMap::new(),
        }
    }

    /// Runs until there is nobody any more who sends updates. Containers run on.
    pub async fn run(mut self, mut updates: mpsc::Receiver<Update>, mut evictions: mpsc::Receiver<Eviction>) {
        let mut changes = self.parts.runtime.changes();
        self.found = self.sandboxes().await.into_iter().map(|s| (s.uid.clone(), s)).collect();
        loop {
            tokio::select! {
                update = updates.recv() => match update {
                    Some(update) => self.take(update),
                    None => return,
                },
                Some(eviction) = evictions.recv() => self.evict(eviction),
                change = changes.recv() => match change {
                    Ok(uid) => self.changed(&uid),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        for uid in self.entries.keys().cloned().collect::<Vec<_>>() {
                            self.changed(&uid);
                        }
                    }
                    // The runtime is gone, and so is the process in a moment.
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(Ok(uid)) = self.doubted.join_next() => self.look_again(&uid),
                Some(ended) = self.workers.join_next() => match ended {
                    Ok(uid) => self.ended(&uid),
                    Err(_) => self.revive(),
                },
            }
            // Whatever it was, it may have left room.
            self.retry();
        }
    }

    async fn sandboxes(&self) -> Vec<Sandbox> {
        loop {
            match self.parts.runtime.sandboxes().await {
                Ok(sandboxes) => return sandboxes,
                Err(error) => {
                    tracing::warn!(error = in_words(&error), "the runtime does not answer");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Set(origin, pod) => self.set(origin, pod),
            Update::Remove(origin, uid) => self.remove(origin, &uid),
            Update::All(origin, pods) => {
                let kept: BTreeSet<PodUid> = pods.iter().filter_map(|pod| uid(pod)).collect();
                let gone =
                    self.wanted.iter().filter(|(uid, (from, _))| *from == origin && !kept.contains(*uid));
                for uid in gone.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
                    self.remove(origin, &uid);
                }
                for pod in in_order(pods, &self.found) {
                    self.set(origin, pod);
                }
                if origin == Origin::Files {
                    self.mirrors.complete();
                }
                if self.awaited.remove(&origin) && self.awaited.is_empty() {
                    self.adopt();
                }
            }
        }
    }

    fn set(&mut self, origin: Origin, pod: Arc<Pod>) {
        let Some(uid) = uid(&pod) else { return };
        if self.wanted.get(&uid).is_some_and(|(_, known)| *known == pod) {
            return;
        }
        if origin == Origin::Files {
            self.mirrors.want(&pod);
        }
        self.wanted.insert(uid.clone(), (origin, Arc::clone(&pod)));
        self.roster.set(&uid, Arc::clone(&pod));
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.desired.pod = pod;
            self.resize(&uid);
            self.tell(&uid);
        } else if !self.finished.contains(&uid) {
            self.start(&uid, pod);
        }
    }

    fn remove(&mut self, origin: Origin, uid: &PodUid) {
        if self.wanted.get(uid).is_none_or(|(from, _)| *from != origin) {
            return;
        }
        let (_, pod) = self.wanted.remove(uid).expect("it was there a moment ago");
        self.finished.remove(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.desired.removed = true;
            entry.handle.desired.send_replace(entry.desired.clone());
        } else {
            self.roster.remove(uid);
            if config_hash(&pod).is_some() {
                self.mirrors.forget(&pod);
            }
            if self.parts.node.pods.join(uid.as_str()).exists() {
                self.spawn(uid, Desired::gone(pod), Duration::ZERO);
            }
        }
    }

    fn evict(&mut self, Eviction { uid, failure }: Eviction) {
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.desired.failure.get_or_insert(failure);
            entry.handle.desired.send_replace(entry.desired.clone());
        }
    }

    /// The pods that take something of the node, without this one.
    fn others(&self, uid: &PodUid) -> Vec<Arc<Pod>> {
        let takes = |(other, entry): &(&PodUid, &Entry)| {
            let desired = &entry.desired;
            *other != uid && desired.failure.is_none() && !is_over(&desired.pod)
        };
        self.entries
            .iter()
            .filter(takes)
            .map(|(_, entry)| entry.desired.allocation.apply(&entry.desired.pod))
            .collect()
    }

    /// Tells of a pod as it is wanted: with what was accepted.
    fn tell(&self, uid: &PodUid) {
        if let Some(Entry { desired, handle, .. }) = self.entries.get(uid) {
            self.roster.set(uid, desired.allocation.apply(&desired.pod));
            handle.desired.send_replace(desired.clone());
        }
    }

    /// Accepts the resources that a pod asks for by now, or says why not. Whether that is anything new.
    fn resize(&mut self, uid: &PodUid) -> bool {
        let Some(Entry { desired, .. }) = self.entries.get(uid) else { return false };
        let Desired { pod, allocation, pending, .. } = desired;
        let ends = desired.failure.is_some() || desired.removed || pod.metadata.deletion_timestamp.is_some();
        if ends || is_over(pod) {
            return false;
        }
        let pod = Arc::clone(pod);
        let mut outcome = (allocation.clone(), None);
        if !allocation.is_of(&pod) {
            match self.admission.resize(&pod, &self.others(uid)) {
                Ok(()) => outcome.0 = Allocation::of(&pod),
                Err(refused) => outcome.1 = Some(refused),
            }
        }
        let (accepted, refused) = outcome;
        if (&accepted, &refused) == (allocation, pending) {
            return false;
        }
        if accepted != *allocation {
            if let Err(error) = accepted.write(&self.parts.node.pods.join(uid.as_str())) {
                // It is asked about again with the next change.
                tracing::warn!(pod = %uid, %error, "what is allocated to the pod cannot be written down");
                return false;
            }
            let message = resize::started(&pod);
            self.parts.reporter.event(&pod, None, Kind::Normal, "ResizeStarted", &message);
        }
        if let Some(refused) = &refused {
            let (reason, message) = resize::pending(&pod, refused);
            self.parts.reporter.event(&pod, None, Kind::Warning, &reason, &message);
        }
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.waits_since = refused.is_some().then(|| entry.waits_since.unwrap_or_else(Instant::now));
            (entry.desired.allocation, entry.desired.pending) = (accepted, refused);
        }
        true
    }

    /// Asks again for those that wait, in upstream's order: who asks for no more than it has, the highest priority, guaranteed ones, who waits longest.
    fn retry(&mut self) {
        let waits = self
            .entries
            .iter()
            .filter(|(_, e)| e.desired.pending.as_ref().is_some_and(|pending| pending.reason == DEFERRED));
        let mut waiting: Vec<_> = waits
            .map(|(uid, Entry { desired, waits_since, .. })| {
                let spec = desired.pod.spec.as_ref();
                let priority = spec.and_then(|s| s.priority).unwrap_or_default();
                let guaranteed = Class::of(&desired.pod) == Class::Guaranteed;
                ((asks_for_more(desired), Reverse(priority), !guaranteed, *waits_since), uid.clone())
            })
            .collect();
        waiting.sort_unstable();
        for (_, uid) in waiting {
            if self.resize(&uid) {
                self.tell(&uid);
            }
        }
    }

    /// The node's labels are the newest: what does not match them now does not match.
    fn look_again(&mut self, uid: &PodUid) {
        let wanted = self.wanted.get(uid).map(|(_, pod)| Arc::clone(pod));
        if let Some(pod) = wanted.filter(|_| !self.entries.contains_key(uid)) {
            self.begin(uid, pod, false);
        }
    }

    /// Gives a wanted pod a worker, if it needs one now.
    fn start(&mut self, uid: &PodUid, pod: Arc<Pod>) {
        self.begin(uid, pod, true);
    }

    /// The same; without `doubt` the node's labels are believed.
    fn begin(&mut self, uid: &PodUid, pod: Arc<Pod>, doubt: bool) {
        let has_sandbox = self.found.contains_key(uid);
        if is_over(&pod) && pod.metadata.deletion_timestamp.is_none() && !has_sandbox {
            return;
        }
        // Of a static pod the earlier version has to end first: it has the same name, ports and directories.
        let name = |pod: &Pod| (pod.metadata.namespace.clone(), pod.metadata.name.clone());
        if config_hash(&pod).is_some() && self.entries.values().any(|e| name(&e.desired.pod) == name(&pod)) {
            return;
        }
        self.found.remove(uid);
        // What an earlier agent has accepted is what it is asked about, and gets.
        let directory = self.parts.node.pods.join(uid.as_str());
        let known = Allocation::read(&directory);
        let is_new = known.is_none();
        let allocation = known.unwrap_or_else(|| Allocation::of(&pod));
        // What runs already was admitted before.
        let failure = if has_sandbox || pod.metadata.deletion_timestamp.is_some() {
            None
        } else {
            self.admission.admit(&allocation.apply(&pod), &self.others(uid))
        };
        if doubt && failure.as_ref().is_some_and(|failure| failure.reason == NODE_AFFINITY) {
            let (admission, uid) = (Arc::clone(&self.admission), uid.clone());
            self.doubted.spawn(async move {
                admission.refresh().await;
                uid
            });
            return;
        }
        if let Some(failure) = &failure {
            self.parts.reporter.event(&pod, None, Kind::Warning, &failure.reason, &failure.message);
        }
        if is_new
            && failure.is_none()
            && let Err(error) = allocation.write(&directory)
        {
            tracing::warn!(pod = %uid, %error, "what is allocated to the pod cannot be written down");
        }
        let desired = Desired { pod, allocation, pending: None, failure, removed: false };
        self.spawn(uid, desired, Duration::ZERO);
        self.resize(uid);
        self.tell(uid);
    }

    fn spawn(&mut self, uid: &PodUid, desired: Desired, rest: Duration) {
        let (worker, handle) = worker::worker(self.parts.clone(), uid.clone(), desired.clone());
        let name = uid.clone();
        self.workers.spawn(async move {
            tokio::time::sleep(rest).await;
            worker.run().await;
            name
        });
        self.entries.insert(uid.clone(), Entry { desired, handle, changes: 0, waits_since: None });
    }

    /// Takes up what nobody wants, to end it: sandboxes whose pods went while the node was away, and directories of pods that had come no further than that.
    fn adopt(&mut self) {
        let mut left: BTreeMap<PodUid, (Option<String>, Option<String>)> = std::mem::take(&mut self.found)
            .into_iter()
            .map(|(uid, sandbox)| (uid, (Some(sandbox.name), Some(sandbox.namespace))))
            .collect();
        for uid in directories(&self.parts.node.pods) {
            if !self.entries.contains_key(&uid) && !self.wanted.contains_key(&uid) {
                left.entry(uid).or_default();
            }
        }
        for (uid, (name, namespace)) in left {
            let metadata =
                ObjectMeta { name, namespace, uid: Some(uid.to_string()), ..ObjectMeta::default() };
            let pod = Arc::new(Pod { metadata, ..Pod::default() });
            self.spawn(&uid, Desired::gone(pod), Duration::ZERO);
        }
    }

    fn changed(&mut self, uid: &PodUid) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.changes += 1;
            entry.handle.changes.send_replace(entry.changes);
        }
    }

    /// Nothing of a pod is left.
    fn ended(&mut self, uid: &PodUid) {
        self.entries.remove(uid);
        if self.wanted.contains_key(uid) {
            self.finished.insert(uid.clone());
        } else {
            self.roster.remove(uid);
        }
        // A static pod may have waited for it.
        let waiting: Vec<_> = self
            .wanted
            .iter()
            .filter(|(uid, (origin, _))| {
                *origin == Origin::Files && !self.entries.contains_key(*uid) && !self.finished.contains(*uid)
            })
            .map(|(uid, (_, pod))| (uid.clone(), Arc::clone(pod)))
            .collect();
        for (uid, pod) in waiting {
            self.start(&uid, pod);
        }
    }

    /// A worker panicked, and has said why: its pod gets another one, after a rest.
    fn revive(&mut self) {
        let dead = self.entries.iter().filter(|(_, entry)| entry.handle.desired.is_closed());
        for (uid, desired) in dead.map(|(uid, e)| (uid.clone(), e.desired.clone())).collect::<Vec<_>>() {
            self.spawn(&uid, desired, REST);
        }
    }
}

fn asks_for_more(desired: &Desired) -> bool {
    let requested = |pod: &Pod| pod.spec.as_ref().map(wanted).unwrap_or_default();
    let (has, asks) = (requested(&desired.allocation.apply(&desired.pod)), requested(&desired.pod));
    asks.milli_cpu > has.milli_cpu || asks.memory > has.memory
}

/// Pods that run first, since they have their place; the others by age.
fn in_order(mut pods: Vec<Arc<Pod>>, found: &BTreeMap<PodUid, Sandbox>) -> Vec<Arc<Pod>> {
    pods.sort_by_cached_key(|pod| {
        let known = pod.metadata.uid.as_deref().and_then(PodUid::new);
        let runs = known.is_some_and(|uid| found.contains_key(&uid));
        (!runs, pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone())
    });
    pods
}

/// The pods that have directories here.
fn directories(pods: &Path) -> Vec<PodUid> {
    let entries = std::fs::read_dir(pods).into_iter().flatten().flatten();
    entries.filter_map(|entry| PodUid::new(entry.file_name().to_str()?)).collect()
}

fn uid(pod: &Pod) -> Option<PodUid> {
    let uid = pod.metadata.uid.as_deref().and_then(PodUid::new);
    if uid.is_none() {
        tracing::error!(pod = crate::words::pod_name(pod), "a pod has no UID that can be used");
    }
    uid
}

/// Whether a pod has ended for good, as its status says.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests;
