//! Looks at the machine, and acts: images, then one pod.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::local_storage::LocalStorage;
use super::rank::{self, Candidate};
use super::thresholds::{Short, Thresholds};
use super::{State, TRANSITION};
use crate::container::PodUid;
use crate::image::Images;
use crate::pods::parts::{Kind, NodeFacts, Reporter};
use crate::pods::plan::Failure;
use crate::registration::machine::{Free, Machine};
use crate::runtime::{Runtime, Usage};
use crate::server::Pods;
use crate::words::in_words;

/// How often the machine is looked at, as the kubelet does.
const PERIOD: Duration = Duration::from_secs(10);
/// How often images are removed that nobody uses, if the disk is fuller than it should be: the kubelet's.
const IMAGES: Duration = Duration::from_mins(5);
/// How long a pod has that is evicted since the node is short of something (`immediateEvictionGracePeriodSeconds`).
const GRACE: Duration = Duration::from_secs(1);

/// A pod is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Which.
    pub uid: PodUid,
    /// Why, and how fast.
    pub failure: Failure,
}

/// What it works with.
pub struct Keeper {
    /// The machine as it was at the start.
    pub machine: Machine,
    /// On the file system that pods use.
    pub data: PathBuf,
    /// Below how much something is short.
    pub thresholds: Thresholds,
    /// Runs the containers.
    pub runtime: Arc<dyn Runtime>,
    /// Keeps the images.
    pub images: Arc<dyn Images>,
    /// The pods that are here.
    pub pods: Arc<dyn Pods>,
    /// Tells of evictions.
    pub reporter: Arc<dyn Reporter>,
    /// The node.
    pub node: Arc<NodeFacts>,
    /// Takes evictions.
    pub evictions: mpsc::Sender<Eviction>,
    /// Shows what is short.
    pub state: watch::Sender<State>,
}

/// When each was short last.
#[derive(Default)]
struct Seen {
    memory: Option<Instant>,
    disk: Option<Instant>,
    processes: Option<Instant>,
}

impl Seen {
    /// What is told: what is short, or was a little while ago.
    fn told(&mut self, state: State, now: Instant) -> State {
        let told = |is: bool, seen: &mut Option<Instant>| {
            if is {
                *seen = Some(now);
            }
            seen.is_some_and(|at| now.duration_since(at) < TRANSITION)
        };
        State {
            memory: told(state.memory, &mut self.memory),
            disk: told(state.disk, &mut self.disk),
            processes: told(state.processes, &mut self.processes),
        }
    }
}

impl Keeper {
    /// Looks after the machine until nobody takes evictions any more.
    pub async fn run(self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen::default();
        let mut collected = Instant::now();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.evictions.closed() => return,
            }
            let mut short = self.short();
            if short.iter().any(|short| short.signal.is_disk()) {
                // Images that are pulled again are a smaller loss than pods.
                if let Err(error) = self.images.collect_unused().await {
                    tracing::warn!(error = in_words(&error), "unused images cannot be removed");
                }
                short = self.short();
            } else if collected.elapsed() >= IMAGES {
                collected = Instant::now();
                if let Err(error) = self.images.collect().await {
                    tracing::warn!(error = in_words(&error), "unused images cannot be removed");
                }
            }
            let told = seen.told(State::of(&short), Instant::now());
            self.state.send_if_modified(|state| std::mem::replace(state, told) != told);
            if !self.evict_exceeding().await
                && let Some(short) = short.first()
            {
                self.evict_for(short).await;
            }
        }
    }

    fn short(&self) -> Vec<Short> {
        match Free::read(&self.data) {
            Ok(free) => self.thresholds.short(&self.machine, &free),
            Err(error) => {
                tracing::warn!(%error, "cannot read what is free on this machine");
                Vec::new()
            }
        }
    }

    /// Pods that run here.
    fn running(&self) -> Vec<(PodUid, Arc<Pod>)> {
        let is_over = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        let pods = self.pods.list().into_iter().filter(|pod| !is_over(pod));
        pods.filter_map(|pod| Some((PodUid::new(pod.metadata.uid.as_deref()?)?, pod))).collect()
    }

    /// Evicts pods that keep more on the disk than they may. `true`: there were some.
    async fn evict_exceeding(&self) -> bool {
        let mut any = false;
        for (uid, pod) in self.running().into_iter().filter(|(_, pod)| rank::is_limited(pod)) {
            let storage = self.measure(&uid, &pod).await;
            if let Some(message) = rank::exceeded(&pod, &storage) {
                any = true;
                self.evict(uid, &pod, message, Duration::ZERO).await;
            }
        }
        any
    }

    /// Evicts the one pod that goes first.
    async fn evict_for(&self, short: &Short) {
        let running = self.running();
        let mut measured: Vec<(Usage, LocalStorage)> = Vec::with_capacity(running.len());
        for (uid, pod) in &running {
            let usage = self.runtime.usage(uid).await.unwrap_or_default();
            let storage =
                if short.signal.is_disk() { self.measure(uid, pod).await } else { LocalStorage::default() };
            measured.push((usage, storage));
        }
        let candidates: Vec<Candidate<'_>> = running
            .iter()
            .zip(&measured)
            .map(|((_, pod), (usage, storage))| Candidate { pod, usage, storage })
            .collect();
        let Some(place) = rank::victim(short, &candidates) else {
            tracing::warn!(
                resource = short.signal.resource(),
                "the node is short of something, and no pod may be evicted"
            );
            return;
        };
        let message = rank::message(short, &candidates[place]);
        let (uid, pod) = &running[place];
        self.evict(uid.clone(), pod, message, GRACE).await;
    }

    async fn measure(&self, uid: &PodUid, pod: &Arc<Pod>) -> LocalStorage {
        let written: BTreeMap<String, u64> = self.runtime.written(uid).await.unwrap_or_default();
        let (node, pod, uid) = (Arc::clone(&self.node), Arc::clone(pod), uid.clone());
        let measured = tokio::task::spawn_blocking(move || LocalStorage::measure(&node, &pod, &uid, written));
        measured.await.unwrap_or_default()
    }

    async fn evict(&self, uid: PodUid, pod: &Pod, message: String, grace: Duration) {
        tracing::warn!(pod = crate::words::pod_name(pod), message, "a pod is evicted");
        self.reporter.event(pod, None, Kind::Warning, "Evicted", &message);
        let failure = Failure { reason: "Evicted".into(), message, grace: Some(grace), rejected: false };
        // Whoever does not take it is on its way out.
        let _ = self.evictions.send(Eviction { uid, failure }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_is_told_for_five_minutes_after_it_has_passed() {
        let mut seen = Seen::default();
        let short = State { memory: true, ..State::default() };
        assert_eq!(seen.told(State::default(), Instant::now()), State::default());
        assert_eq!(seen.told(short, Instant::now()), short);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(seen.told(State::default(), Instant::now()), short);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(seen.told(State::default(), Instant::now()), State::default());
    }
}
