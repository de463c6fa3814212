//! One task a pod: looks, asks the plan, has done what it says, and tells what it saw. Nothing else changes anything of its pod.
//!
//! It waits for a change of the pod, of the runtime, of the containers' health, for the end of something that it had done, or for the time that the plan named. What takes
//! long runs in a job of its own, one a thing; a job that is under way is not begun twice.

mod jobs;
mod resize;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::jobs::{Job, Outcome};
use super::allocation::Allocation;
use super::memory::{Memory, Pending, Problem, Progress, Volumes};
use super::parts::{Finding, Kind, Parts, Start, Verdict};
use super::plan::{self, Action, Ending, Failure};
use super::restart::Backoff;
use super::roles;
use crate::container::{ContainerId, PodUid};
use crate::runtime::{Sandbox, State};
use crate::status::{self, Details};
use crate::words::{in_words, pod_name};

/// Findings that may wait for the worker; a prober that finds the queue full waits.
const FINDINGS: usize = 32;

/// When a start is tried again that failed by its configuration: whoever mends that does not tell the node.
const START_AGAIN: Duration = Duration::from_secs(10);

/// What is wanted of a pod.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The resources that were accepted for it.
    pub allocation: Allocation,
    /// Why those that it asks for were not, if they were not.
    pub pending: Option<Pending>,
    /// Why it is refused or evicted, if it is.
    pub failure: Option<Failure>,
    /// Whether its object is gone from the API (or from the directory of static pods).
    pub removed: bool,
}

impl Desired {
    /// Nothing more is wanted of it.
    pub fn gone(pod: Arc<Pod>) -> Self {
        Self { pod, allocation: Allocation::default(), pending: None, failure: None, removed: true }
    }
}

/// How a worker is told of changes.
#[derive(Debug)]
pub struct Handle {
    /// What is wanted.
    pub desired: watch::Sender<Desired>,
    /// Counts what the runtime says has changed.
    pub changes: watch::Sender<u64>,
}

/// A worker and how it is told of changes. `run` it.
pub fn worker(parts: Parts, uid: PodUid, desired: Desired) -> (Worker, Handle) {
    let mut memory = Memory::default();
    memory.resize.progress = told_progress(&desired.pod);
    let details = Details { id_scheme: parts.runtime.about().name, ..Details::default() };
    let (findings, found) = mpsc::channel(FINDINGS);
    let pod = desired.allocation.apply(&desired.pod);
    let accepted = desired.allocation.generation;
    let (wanted, desired) = watch::channel(desired);
    let (told, changes) = watch::channel(0);
    let worker = Worker {
        parts,
        uid,
        pod,
        accepted,
        desired,
        changes,
        ending: None,
        sandbox: None,
        memory,
        details,
        findings,
        found,
        jobs: JoinSet::new(),
        under_way: BTreeMap::new(),
        looked_after: BTreeMap::new(),
        stalled: BTreeMap::new(),
        began: SystemTime::now(),
    };
    (worker, Handle { desired: wanted, changes: told })
}

/// The change of its resources that an earlier agent has told to be under way.
fn told_progress(pod: &Pod) -> Option<Progress> {
    let [_, kind] = status::PASSING;
    let told = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let told = told.into_iter().find(|c| c.type_ == kind)?;
    let error = told.message.clone().filter(|message| !message.is_empty());
    Some(Progress { generation: told.observed_generation, error })
}

/// See the module.
pub struct Worker {
    parts: Parts,
    uid: PodUid,
    /// With the resources that were accepted.
    pod: Arc<Pod>,
    /// The generation of which they are.
    accepted: Option<i64>,
    desired: watch::Receiver<Desired>,
    changes: watch::Receiver<u64>,
    ending: Option<Ending>,
    sandbox: Option<Sandbox>,
    memory: Memory,
    details: Details,
    findings: mpsc::Sender<Finding>,
    found: mpsc::Receiver<Finding>,
    jobs: JoinSet<(Job, Outcome)>,
    under_way: BTreeMap<Job, SystemTime>,
    looked_after: BTreeMap<ContainerId, Box<dyn Send>>,
    /// What failed, and when it may be tried again.
    stalled: BTreeMap<Job, (Backoff, SystemTime)>,
    began: SystemTime,
}

impl Worker {
    /// Runs until nothing of the pod is left, or the handle is dropped.
    pub async fn run(mut self) {
        self.take_desired();
        loop {
            self.look().await;
            let now = SystemTime::now();
            let plan = plan::plan(plan::View {
                pod: &self.pod,
                ending: self.ending.as_ref(),
                sandbox: self.sandbox.as_ref(),
                memory: &self.memory,
                pids_limit: self.parts.node.pod_pids_limit,
                now,
            });
            self.note_resizing(plan.resizing);
            if let Some(failure) = plan.failure {
                self.parts.reporter.event(&self.pod, None, Kind::Normal, &failure.reason, &failure.message);
                self.end(Some(failure), now);
                continue;
            }
            for action in plan.actions {
                self.begin(action, now);
            }
            self.tell(now);
            let retry_at = self.stalled.values().map(|(_, until)| *until).filter(|until| *until > now);
            if !self.wait(plan.wake_at.into_iter().chain(retry_at).chain(self.softens_at()).min()).await {
                return;
            }
        }
    }

    /// Waits for the next change. `false`: there will be none.
    async fn wait(&mut self, wake_at: Option<SystemTime>) -> bool {
        let sleep = wake_at.map(|at| at.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO));
        let alarm = async {
            match sleep {
                Some(sleep) => tokio::time::sleep(sleep).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.desired.changed() => {
                if changed.is_err() {
                    return false;
                }
                self.take_desired();
            }
            changed = self.changes.changed() => if changed.is_err() { return false },
            Some(finding) = self.found.recv() => self.take_finding(finding),
            Some(ended) = self.jobs.join_next() => match ended {
                Ok((job, outcome)) => return self.take_outcome(&job, outcome),
                // A job that panicked has said why; what it was to do is planned again.
                Err(_) => self.under_way.clear(),
            },
            () = alarm => {}
        }
        true
    }

    fn take_desired(&mut self) {
        let desired = self.desired.borrow_and_update().clone();
        let told = self.pod.status.clone();
        self.pod = desired.allocation.apply(&desired.pod);
        self.memory.resize.pending = desired.pending;
        if self.accepted != desired.allocation.generation {
            self.accepted = desired.allocation.generation;
            self.memory.resize.progress = Some(Progress { generation: self.accepted, error: None });
            // What failed was something else.
            self.stalled.remove(&Job::Resize);
        }
        if self.pod.status.is_none() {
            // A static pod's object carries no status: what was told stays.
            Arc::make_mut(&mut self.pod).status = told;
        }
        if let Some(failure) = desired.failure {
            self.end(Some(failure), SystemTime::now());
        }
        if self.pod.metadata.deletion_timestamp.is_some() || desired.removed {
            self.end(None, SystemTime::now());
        }
        if self.memory.volumes == Volumes::Ready && self.ending.is_none() {
            let (volumes, pod) = (Arc::clone(&self.parts.volumes), Arc::clone(&self.pod));
            self.spawn(Job::UpdateVolumes, async move {
                volumes.update(&pod).await;
                Outcome::Done
            });
        }
    }

    /// The pod is to go. A later reason shortens the time and adds the deletion; it never takes anything back.
    fn end(&mut self, failure: Option<Failure>, now: SystemTime) {
        let own = Duration::from_secs(u64::try_from(roles::grace_seconds(&self.pod)).unwrap_or_default());
        let grace = failure.as_ref().and_then(|failure| failure.grace).unwrap_or(own);
        let deleted = failure.is_none();
        match &mut self.ending {
            Some(ending) => {
                let left = now.duration_since(ending.since).unwrap_or_default() + grace;
                ending.grace = ending.grace.min(left);
                ending.deleted |= deleted;
            }
            None => self.ending = Some(Ending { since: now, grace, failure, deleted }),
        }
    }

    /// Looks at what is there, and draws from it what has to be remembered.
    async fn look(&mut self) {
        match self.parts.runtime.sandbox(&self.uid).await {
            Ok(sandbox) => self.sandbox = sandbox,
            Err(error) => {
                tracing::warn!(pod = %self.uid, error = in_words(&error), "the runtime does not answer");
                return;
            }
        }
        let containers = self.sandbox.iter().flat_map(|s| &s.containers).cloned().collect::<Vec<_>>();
        for container in &containers {
            match container.state {
                State::Running { started_at } => self.look_after(&container.id, started_at),
                State::Exited { code, .. } => {
                    self.looked_after.remove(&container.id);
                    self.read_message(&container.id, code != 0);
                }
                State::Created => {}
            }
        }
        self.soften_pulls();
        self.looked_after.retain(|id, _| containers.iter().any(|c| c.id == *id));
        self.details.messages.retain(|id, _| containers.iter().any(|c| c.id == *id));
    }

    /// After a pull failed, its failure is shown for the first half of the delay, then that it is waited for.
    fn soften_pulls(&mut self) {
        let now = SystemTime::now();
        for (name, memory) in &mut self.memory.containers {
            let half = memory.pulls.delay() / 2;
            let Some(problem) =
                memory.problem.as_mut().filter(|p| p.reason == "ErrImagePull" && now + half >= p.retry_at)
            else {
                continue;
            };
            let spec = self.pod.spec.as_ref();
            let container =
                spec.into_iter().flat_map(|s| roles::containers(s).map(|(c, _)| c)).find(|c| c.name == *name);
            let image = container.and_then(|c| c.image.as_deref()).unwrap_or_default();
            let waits = format!("Back-off pulling image \"{image}\"");
            self.parts.reporter.event(&self.pod, Some(name), Kind::Normal, "BackOff", &waits);
            self.parts.reporter.event(
                &self.pod,
                Some(name),
                Kind::Warning,
                "Failed",
                "Error: ImagePullBackOff",
            );
            problem.message = format!("{waits}: ErrImagePull: {}", problem.message);
            "ImagePullBackOff".clone_into(&mut problem.reason);
        }
    }

    /// When the next failure of a pull is shown otherwise.
    fn softens_at(&self) -> Option<SystemTime> {
        let failed = |memory: &super::memory::ContainerMemory| {
            let problem = memory.problem.as_ref().filter(|p| p.reason == "ErrImagePull")?;
            Some(problem.retry_at - memory.pulls.delay() / 2)
        };
        self.memory.containers.values().filter_map(failed).min()
    }

    fn look_after(&mut self, id: &ContainerId, started_at: SystemTime) {
        if self.looked_after.contains_key(id) {
            return;
        }
        let spec = self.pod.spec.as_ref();
        let Some(container) =
            spec.into_iter().flat_map(|s| roles::containers(s).map(|(c, _)| c)).find(|c| c.name == id.name)
        else {
            return;
        };
        let pod_ips = self.sandbox.as_ref().map(|s| s.addresses.clone()).unwrap_or_default();
        // What ran before this worker began was started by another, which ran its hook.
        let is_new = started_at >= self.began;
        self.memory.container_mut(&id.name).begin(id.attempt);
        let start = Start { id: id.clone(), started_at, pod_ips, is_new };
        let guard = self.parts.health.look_after(&self.pod, container, start, self.findings.clone());
        self.looked_after.insert(id.clone(), guard);
    }

    /// What a container left as its last words; read once, when its end is seen first.
    fn read_message(&mut self, id: &ContainerId, has_failed: bool) {
        if !self.details.messages.contains_key(id) {
            let container = self.container(&id.name);
            let message = container
                .map(|c| start::termination_message(&self.parts, &self.pod, id, c, has_failed))
                .unwrap_or_default();
            self.details.messages.insert(id.clone(), message);
        }
    }

    fn container(&self, name: &str) -> Option<&Container> {
        let spec = self.pod.spec.as_ref()?;
        roles::containers(spec).map(|(c, _)| c).find(|c| c.name == name)
    }

    fn take_finding(&mut self, Finding { id, verdict }: Finding) {
        let memory = self.memory.container_mut(&id.name);
        if memory.attempt != Some(id.attempt) {
            return;
        }
        match verdict {
            Verdict::Started => memory.started = true,
            Verdict::Ready(ready) => memory.ready = Some(ready),
            Verdict::Unhealthy(why) => memory.unhealthy = Some(why),
        }
    }

    /// Tells the status, if it is not what was told last.
    fn tell(&mut self, now: SystemTime) {
        let status = status::status(status::View {
            pod: &self.pod,
            ending: self.ending.as_ref(),
            sandbox: self.sandbox.as_ref(),
            memory: &self.memory,
            details: &self.details,
            host_ips: &self.parts.node.addresses,
            now,
        });
        if self.pod.status.as_ref() != Some(&status) {
            for container in status::begin_to_back_off(self.pod.status.as_ref(), &status) {
                let pod = pod_name(&self.pod);
                let message = format!("Back-off restarting failed container {container} in pod {pod}");
                self.parts.reporter.event(&self.pod, Some(container), Kind::Warning, "BackOff", &message);
            }
            self.parts.reporter.status(&self.pod, status.clone());
            Arc::make_mut(&mut self.pod).status = Some(status);
        }
    }

    /// Has an action done, unless it is under way.
    fn begin(&mut self, action: Action, now: SystemTime) {
        let parts = self.parts.clone();
        let (pod, uid) = (Arc::clone(&self.pod), self.uid.clone());
        match action {
            Action::MountVolumes => {
                self.spawn(Job::Volumes, async move { Outcome::Mounted(parts.volumes.mount(&pod).await) });
            }
            Action::UnmountVolumes => {
                self.spawn(
                    Job::Volumes,
                    async move { Outcome::Unmounted(parts.volumes.unmount(&uid).await) },
                );
            }
            Action::StartSandbox => {
                self.spawn(Job::Sandbox, async move { Outcome::Sandbox(start::sandbox(&parts, &pod).await) });
            }
            Action::StopSandbox => self
                .spawn(Job::Sandbox, async move { Outcome::Runtime(parts.runtime.stop_sandbox(&uid).await) }),
            Action::StartContainer(id) => {
                // It counts from its beginning: a container may have ended again before its start is told of. The first start is none of a container that keeps ending,
                // and one that did not come about is tried again by its own delays.
                let job = Job::Container(id.clone());
                let memory = self.memory.container_mut(&id.name);
                if id.attempt > 0 && memory.problem.is_none() && !self.under_way.contains_key(&job) {
                    memory.crashes.tried(now);
                }
                let ips = self.sandbox.as_ref().map(|s| s.addresses.clone()).unwrap_or_default();
                self.spawn(Job::Container(id.clone()), async move {
                    Outcome::Started(start::container(&parts, &pod, &id, &ips).await)
                });
            }
            Action::StopContainer { id, deadline, message } => self.stop(id, deadline, &message, now),
            Action::Resize(steps) => self.spawn(Job::Resize, async move {
                Outcome::Resized(super::resize::carry_out(&*parts.runtime, &uid, &steps).await)
            }),
            Action::RemoveContainer(id) => self.spawn(Job::Container(id.clone()), async move {
                Outcome::Runtime(parts.runtime.remove_container(&id).await)
            }),
            Action::Forget => {
                self.spawn(
                    Job::Sandbox,
                    async move { Outcome::Forgotten(start::forget(&parts, &uid).await) },
                );
            }
        }
    }

    /// A second stop with an earlier deadline is passed on; the runtime lets the shorter time hold.
    fn stop(&mut self, id: ContainerId, deadline: SystemTime, message: &str, now: SystemTime) {
        let job = Job::Stop(id.clone());
        let first = !self.under_way.contains_key(&job);
        if self.under_way.get(&job).is_some_and(|known| deadline + Duration::from_secs(1) >= *known) {
            return;
        }
        if first {
            self.parts.reporter.event(&self.pod, Some(&id.name), Kind::Normal, "Killing", message);
        }
        // Nothing looks after it any more, and nothing is to begin to.
        self.looked_after.insert(id.clone(), Box::new(()));
        let (parts, pod) = (self.parts.clone(), Arc::clone(&self.pod));
        let container = self.container(&id.name).cloned();
        let grace = deadline.duration_since(now).unwrap_or_default();
        self.under_way.insert(job.clone(), deadline);
        self.jobs.spawn(async move {
            let stopped = start::stop(&parts, &pod, container.as_ref(), &id, grace, first).await;
            (job, Outcome::Runtime(stopped))
        });
    }

    fn spawn(&mut self, job: Job, work: impl Future<Output = Outcome> + Send + 'static) {
        let stalls = self.stalled.get(&job).is_some_and(|(_, until)| *until > SystemTime::now());
        if stalls || self.under_way.contains_key(&job) {
            return;
        }
        self.under_way.insert(job.clone(), SystemTime::UNIX_EPOCH);
        self.jobs.spawn(async move { (job, work.await) });
    }

    /// `false`: nothing of the pod is left.
    fn take_outcome(&mut self, job: &Job, outcome: Outcome) -> bool {
        let now = SystemTime::now();
        self.under_way.remove(job);
        if outcome.failed() {
            let (backoff, until) = self.stalled.entry(job.clone()).or_insert((Backoff::NEVER, now));
            backoff.tried(now);
            *until = now + backoff.delay();
        } else {
            self.stalled.remove(job);
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Mounted(Ok(())) => self.memory.volumes = Volumes::Ready,
            Outcome::Mounted(Err(error)) => {
                self.warn(None, "FailedMount", &error.to_string());
                let problem = self.sandbox_problem("FailedMount", error.to_string(), now);
                self.memory.volumes = Volumes::Failed(problem);
            }
            Outcome::Unmounted(Ok(())) => self.memory.volumes = Volumes::Absent,
            Outcome::Unmounted(Err(error)) => self.warn(None, "FailedUnmount", &error.to_string()),
            Outcome::Sandbox(Ok(())) => {
                (self.memory.sandbox, self.memory.sandbox_backoff) = (None, Backoff::default());
            }
            Outcome::Sandbox(Err(message)) => {
                let message = format!("Failed to create pod sandbox: {message}");
                self.warn(None, "FailedCreatePodSandBox", &message);
                self.memory.sandbox = Some(self.sandbox_problem("FailedCreatePodSandBox", message, now));
            }
            Outcome::Started(Ok(id)) => {
                let memory = self.memory.container_mut(&id.name);
                memory.problem = None;
            }
            Outcome::Started(Err(failed)) => self.start_failed(job, failed, now),
            Outcome::Runtime(Ok(())) => {}
            Outcome::Runtime(Err(error)) => {
                tracing::warn!(pod = %self.uid, ?job, error = in_words(&error), "the runtime failed");
            }
            Outcome::Resized(Ok(())) => {}
            Outcome::Resized(Err(error)) => self.resize_failed(error),
            Outcome::Forgotten(Ok(())) => {
                self.parts.reporter.gone(&self.pod);
                return false;
            }
            Outcome::Forgotten(Err(error)) => {
                tracing::warn!(pod = %self.uid, error, "the pod cannot be removed");
            }
        }
        true
    }

    fn start_failed(&mut self, job: &Job, failed: start::Failed, now: SystemTime) {
        let Job::Container(id) = job else { return };
        let memory = self.memory.container_mut(&id.name);
        let retry_at = if failed.is_pull {
            memory.pulls.tried(now);
            now + memory.pulls.delay()
        } else {
            now + START_AGAIN
        };
        memory.problem =
            Some(Problem { reason: failed.reason.to_owned(), message: failed.message, retry_at });
    }

    fn sandbox_problem(&mut self, reason: &str, message: String, now: SystemTime) -> Problem {
        self.memory.sandbox_backoff.tried(now);
        let retry_at = now + self.memory.sandbox_backoff.delay();
        Problem { reason: reason.to_owned(), message, retry_at }
    }

    fn warn(&self, container: Option<&str>, reason: &str, message: &str) {
        self.parts.reporter.event(&self.pod, container, Kind::Warning, reason, message);
    }
}

#[cfg(test)]
mod tests;
