//! A pod that is to run: volumes and sandbox, init containers one after the other, then all of its main containers.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::resize::{self, Resizing};
use super::{Action, Failure, Plan, View};
use crate::container::{ContainerId, PodUid};
use crate::pods::memory::Volumes;
use crate::pods::restart;
use crate::pods::roles::{self, Role};
use crate::runtime::{self, State};

pub(super) fn plan(view: View<'_>) -> Plan {
    let mut plan = Plan::default();
    let (Some(spec), Some(uid)) = (&view.pod.spec, view.pod.metadata.uid.as_deref().and_then(PodUid::new))
    else {
        return plan;
    };
    if past_deadline(view, spec, &mut plan) {
        return plan;
    }
    let mut life = Life { view, spec, uid, plan };
    life.run();
    life.plan
}

/// `activeDeadlineSeconds` counts from the moment when the node first saw the pod.
fn past_deadline(view: View<'_>, spec: &PodSpec, plan: &mut Plan) -> bool {
    let Some(seconds) = spec.active_deadline_seconds.and_then(|s| u64::try_from(s).ok()) else {
        return false;
    };
    let Some(started) = start_time(view.pod) else { return false };
    let deadline = started + Duration::from_secs(seconds);
    if deadline > view.now {
        plan.wake(deadline);
        return false;
    }
    plan.failure = Some(Failure {
        reason: "DeadlineExceeded".into(),
        message: "Pod was active on the node longer than the specified deadline".into(),
        grace: None,
        rejected: false,
    });
    true
}

fn start_time(pod: &Pod) -> Option<SystemTime> {
    let time: Timestamp = pod.status.as_ref()?.start_time.as_ref()?.0;
    Some(time.into())
}

/// How far the init containers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Initialization {
    Done,
    UnderWay,
    Failed,
}

/// How far a container is that runs to its end.
enum Progress {
    Running,
    Ended,
    Waiting,
}

struct Life<'a> {
    view: View<'a>,
    spec: &'a PodSpec,
    uid: PodUid,
    plan: Plan,
}

impl Life<'_> {
    fn run(&mut self) {
        if self.is_over() {
            return self.finish();
        }
        let (resizing, action) = resize::of(self.view, self.spec);
        self.plan.resizing = resizing;
        self.plan.actions.extend(action);
        if !self.prepare() {
            return;
        }
        match self.initialize() {
            Initialization::UnderWay => {}
            Initialization::Failed => self.finish(),
            Initialization::Done => {
                for container in &self.spec.containers {
                    self.keep(container, Role::Main);
                }
                // They are started once, and never again.
                let sandbox = self.view.sandbox;
                let ephemeral = self.spec.ephemeral_containers.iter().flatten();
                for container in ephemeral.filter(|c| roles::newest(sandbox, &c.name).is_none()) {
                    self.start(&container.name, 0);
                }
            }
        }
        self.tidy();
    }

    /// Whether no main container will ever run again (or none ever began, since an init container failed for good).
    fn is_over(&self) -> bool {
        let ended = |container: &Container, role| match roles::newest(self.view.sandbox, &container.name)
            .map(|c| &c.state)
        {
            Some(State::Exited { code, .. }) => !restart::wanted(self.spec, container, role, *code),
            _ => false,
        };
        let mains =
            !self.spec.containers.is_empty() && self.spec.containers.iter().all(|c| ended(c, Role::Main));
        let failed = |container: &Container| {
            let code = match roles::newest(self.view.sandbox, &container.name).map(|c| &c.state) {
                Some(State::Exited { code, .. }) => *code,
                _ => 0,
            };
            roles::init_role(container) == Role::Init && code != 0 && ended(container, Role::Init)
        };
        mains || (!self.has_begun() && self.spec.init_containers.iter().flatten().any(failed))
    }

    /// Whether a main container was ever created: from then on init containers are not looked at again.
    fn has_begun(&self) -> bool {
        self.spec.containers.iter().any(|c| roles::newest(self.view.sandbox, &c.name).is_some())
    }

    /// The pod is over: its sidecars go in the reverse of their order, then the sandbox.
    fn finish(&mut self) {
        let grace = u64::try_from(roles::grace_seconds(self.view.pod)).unwrap_or_default();
        let deadline = self.view.now + Duration::from_secs(grace);
        let running =
            self.view.sandbox.into_iter().flat_map(|s| &s.containers).filter(|c| roles::is_running(c));
        let names: Vec<_> = roles::containers(self.spec).map(|(c, _)| c.name.as_str()).collect();
        let last = running.max_by_key(|c| names.iter().position(|name| *name == c.id.name));
        if let Some(last) = last {
            let message = format!("Stopping container {}", last.id.name);
            self.plan.act(Action::StopContainer { id: last.id.clone(), deadline, message });
        } else if self.view.sandbox.is_some_and(|s| s.ready) {
            self.plan.act(Action::StopSandbox);
        } else if self.view.memory.volumes != Volumes::Absent {
            self.plan.act(Action::UnmountVolumes);
        }
    }

    /// Whether volumes and sandbox are there. Both are made at once: neither needs the other.
    fn prepare(&mut self) -> bool {
        let mut ready = true;
        match &self.view.memory.volumes {
            Volumes::Ready => {}
            Volumes::Failed(problem) if problem.retry_at > self.view.now => {
                self.plan.wake(problem.retry_at);
                ready = false;
            }
            Volumes::Failed(_) | Volumes::Absent | Volumes::Unknown => {
                self.plan.act(Action::MountVolumes);
                ready = false;
            }
        }
        if !self.view.sandbox.is_some_and(|s| s.ready) {
            match &self.view.memory.sandbox {
                Some(problem) if problem.retry_at > self.view.now => self.plan.wake(problem.retry_at),
                _ => self.plan.act(Action::StartSandbox),
            }
            ready = false;
        }
        ready
    }

    fn initialize(&mut self) -> Initialization {
        let begun = self.has_begun();
        for container in self.spec.init_containers.iter().flatten() {
            let role = roles::init_role(container);
            if begun && role == Role::Init {
                continue;
            }
            match self.keep(container, role) {
                // A sidecar lets the next one begin when it has started, whatever becomes of it later.
                _ if role == Role::Sidecar && (begun || self.has_started(container)) => {}
                Progress::Ended if role == Role::Init => {
                    if self.failed(container) {
                        return Initialization::Failed;
                    }
                }
                Progress::Ended | Progress::Running | Progress::Waiting => return Initialization::UnderWay,
            }
        }
        Initialization::Done
    }

    fn has_started(&self, container: &Container) -> bool {
        let newest = roles::newest(self.view.sandbox, &container.name);
        let memory = self.view.memory.container(&container.name);
        newest.is_some_and(|c| roles::is_running(c) && memory.attempt == Some(c.id.attempt)) && memory.started
    }

    fn failed(&self, container: &Container) -> bool {
        let newest = roles::newest(self.view.sandbox, &container.name).map(|c| &c.state);
        matches!(newest, Some(State::Exited { code, .. }) if *code != 0)
    }

    /// Starts, restarts or stops a container, as it needs.
    fn keep(&mut self, container: &Container, role: Role) -> Progress {
        let Some(newest) = roles::newest(self.view.sandbox, &container.name) else {
            self.start(&container.name, 0);
            return Progress::Waiting;
        };
        match &newest.state {
            // A start that was cut off: it goes on where it was.
            State::Created => {
                self.start(&container.name, newest.id.attempt);
                Progress::Waiting
            }
            State::Running { .. } => {
                self.watch_over(container, newest);
                Progress::Running
            }
            State::Exited { code, finished_at, .. } => {
                if !restart::wanted(self.spec, container, role, *code) {
                    return Progress::Ended;
                }
                match self.view.memory.container(&container.name).crashes.wait(*finished_at, self.view.now) {
                    Some(until) => self.plan.wake(until),
                    None => self.start(&container.name, newest.id.attempt + 1),
                }
                Progress::Waiting
            }
        }
    }

    /// Stops a container that is unhealthy, or whose image was changed, or whose resources can only be changed so.
    fn watch_over(&mut self, container: &Container, newest: &runtime::Container) {
        let id = &newest.id;
        let memory = self.view.memory.container(&container.name);
        let unhealthy = memory.unhealthy.as_ref().filter(|_| memory.attempt == Some(id.attempt));
        let (message, grace) = if let Some(unhealthy) = unhealthy {
            (unhealthy.message.clone(), unhealthy.grace)
        } else if container.image.as_deref().is_some_and(|wanted| *wanted != newest.image) {
            (format!("Container {} definition changed, will be restarted", container.name), None)
        } else if resize::needs_restart(container, &newest.resources) {
            (format!("Container {} resize requires restart", container.name), None)
        } else {
            return;
        };
        let pods =
            || Duration::from_secs(u64::try_from(roles::grace_seconds(self.view.pod)).unwrap_or_default());
        let deadline = self.view.now + grace.unwrap_or_else(pods);
        self.plan.act(Action::StopContainer { id: id.clone(), deadline, message });
    }

    /// Not while the pod is being resized, since it is to be large enough; but rather in a pod that is too small than never.
    fn start(&mut self, name: &str, attempt: u32) {
        let stuck = self.view.memory.resize.progress.as_ref().is_some_and(|p| p.error.is_some());
        if self.plan.resizing == Resizing::UnderWay && !stuck && self.resizes() {
            return;
        }
        match &self.view.memory.container(name).problem {
            Some(problem) if problem.retry_at > self.view.now => self.plan.wake(problem.retry_at),
            _ => self.plan.act(Action::StartContainer(ContainerId {
                pod: self.uid.clone(),
                name: name.to_owned(),
                attempt,
            })),
        }
    }

    fn resizes(&self) -> bool {
        self.plan.actions.iter().any(|action| matches!(action, Action::Resize(_)))
    }

    /// Of the starts of a container that ended, the newest two stay: for its state, and for `lastState` and `logs --previous`.
    fn tidy(&mut self) {
        let mut names: Vec<&str> =
            self.view.sandbox.into_iter().flat_map(|s| &s.containers).map(|c| c.id.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let old = roles::starts(self.view.sandbox, name).into_iter().skip(2);
            for container in old.filter(|c| matches!(c.state, State::Exited { .. })) {
                self.plan.act(Action::RemoveContainer(container.id.clone()));
            }
        }
    }
}
