//! The status of each container.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus,
};

use super::{View, resources, time};
use crate::container::ContainerId;
use crate::pods::memory::ContainerMemory;
use crate::pods::restart;
use crate::pods::roles::{self, Role};
use crate::runtime::{self, State};

/// What the runtime does not know of containers: what they left in their termination messages, by start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Termination messages.
    pub messages: BTreeMap<ContainerId, String>,
    /// The version of the runtime's ids: `sampan://`, `containerd://`.
    pub id_scheme: String,
}

/// The statuses of all containers, in the order of the spec.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    pub(super) init: Vec<ContainerStatus>,
    pub(super) main: Vec<ContainerStatus>,
    pub(super) ephemeral: Vec<ContainerStatus>,
}

impl Statuses {
    pub(super) fn all(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init.iter().chain(&self.main).chain(&self.ephemeral)
    }
}

pub(super) fn statuses(view: View<'_>) -> Statuses {
    let Some(spec) = &view.pod.spec else { return Statuses::default() };
    let mut statuses = Statuses::default();
    for (container, role) in roles::containers(spec) {
        let status = of(view, container, role);
        if role == Role::Main { statuses.main.push(status) } else { statuses.init.push(status) }
    }
    for ephemeral in spec.ephemeral_containers.iter().flatten() {
        let container = Container {
            name: ephemeral.name.clone(),
            image: ephemeral.image.clone(),
            restart_policy: Some("Never".into()),
            ..Container::default()
        };
        statuses.ephemeral.push(of(view, &container, Role::Main));
    }
    statuses
}

fn of(view: View<'_>, container: &Container, role: Role) -> ContainerStatus {
    let starts = roles::starts(view.sandbox, &container.name);
    let memory = view.memory.container(&container.name);
    let told = told(view, &container.name);
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        ..ContainerStatus::default()
    };
    let Some(newest) = starts.first() else {
        return never_created(view, memory, told, status);
    };
    status.image.clone_from(&newest.image);
    status.image_id.clone_from(&newest.image_id);
    status.container_id = Some(id(view, newest));
    status.restart_count = i32::try_from(newest.id.attempt).unwrap_or(i32::MAX);
    let has = roles::is_running(newest).then_some(&newest.resources);
    status.resources = resources::of(container, has, told);
    status.allocated_resources = container.resources.as_ref().and_then(|r| r.requests.clone());
    let before = starts.get(1).and_then(|c| terminated(view, c));
    let speaks = memory.attempt == Some(newest.id.attempt);
    match &newest.state {
        State::Running { started_at } => {
            status.state = Some(running(*started_at));
            status.started = Some(speaks && memory.started);
            status.ready = ready(container, role, speaks.then_some(memory));
            status.last_state = Some(ContainerState { terminated: before, ..ContainerState::default() });
        }
        State::Created => {
            status.state = Some(waiting(memory, "ContainerCreating"));
            status.started = Some(false);
            status.last_state = Some(ContainerState { terminated: before, ..ContainerState::default() });
        }
        State::Exited { code, finished_at, .. } => {
            let ended = terminated(view, newest);
            status.started = Some(false);
            // Init containers that have succeeded are ready: that is what `Initialized` counts.
            status.ready = role == Role::Init && *code == 0;
            if let Some(waiting) = again(view, container, role, *code, *finished_at, memory) {
                status.state = Some(waiting);
                status.last_state = Some(ContainerState { terminated: ended, ..ContainerState::default() });
            } else {
                status.state = Some(ContainerState { terminated: ended, ..ContainerState::default() });
                status.last_state = Some(ContainerState { terminated: before, ..ContainerState::default() });
            }
        }
    }
    status
}

/// A container that ended and waits for its next start; `None` if it does not, or the next start is about to come.
fn again(
    view: View<'_>,
    container: &Container,
    role: Role,
    code: i32,
    finished_at: SystemTime,
    memory: &ContainerMemory,
) -> Option<ContainerState> {
    let spec = view.pod.spec.as_ref()?;
    if view.ending.is_some() || !restart::wanted(spec, container, role, code) {
        return None;
    }
    if memory.problem.is_some() {
        return Some(waiting(memory, "ContainerCreating"));
    }
    memory.crashes.wait(finished_at, view.now)?;
    let (meta, delay) = (&view.pod.metadata, memory.crashes.delay().as_secs());
    let message = format!(
        "back-off {} restarting failed container={} pod={}_{}({})",
        go_duration(delay),
        container.name,
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
        meta.uid.as_deref().unwrap_or_default(),
    );
    Some(waits("CrashLoopBackOff", Some(message)))
}

/// Seconds as Go writes a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

/// A container that was not created yet: what was told of it before a restart of the machine still holds.
fn never_created(
    view: View<'_>,
    memory: &ContainerMemory,
    told: Option<&ContainerStatus>,
    mut status: ContainerStatus,
) -> ContainerStatus {
    status.started = Some(false);
    let over = view.ending.is_some()
        || view
            .pod
            .status
            .as_ref()
            .is_some_and(|s| matches!(s.phase.as_deref(), Some("Failed" | "Succeeded")));
    if let Some(told) = told.filter(|t| t.container_id.is_some()) {
        return lost(told);
    }
    if over {
        status.state = Some(waits("ContainerCreating", None));
        return status;
    }
    let initializing =
        view.pod.spec.as_ref().is_some_and(|s| s.init_containers.iter().flatten().next().is_some());
    let default = if initializing { "PodInitializing" } else { "ContainerCreating" };
    status.state = Some(waiting(memory, default));
    status
}

/// A container that ran and of which nothing is left: the kubelet cannot say how it ended.
fn lost(told: &ContainerStatus) -> ContainerStatus {
    let mut status = told.clone();
    (status.ready, status.started) = (false, Some(false));
    if status.state.as_ref().is_some_and(|s| s.terminated.is_some()) {
        return status;
    }
    let started_at =
        status.state.as_ref().and_then(|s| s.running.as_ref()).and_then(|r| r.started_at.clone());
    let ended = ContainerStateTerminated {
        container_id: told.container_id.clone(),
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some("The container could not be located when the pod was terminated".into()),
        started_at,
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState { terminated: Some(ended), ..ContainerState::default() });
    status
}

fn told<'a>(view: View<'a>, name: &str) -> Option<&'a ContainerStatus> {
    let status = view.pod.status.as_ref()?;
    let all =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|s| s.name == name)
}

fn ready(container: &Container, role: Role, memory: Option<&ContainerMemory>) -> bool {
    let Some(memory) = memory else { return false };
    if role == Role::Init {
        return false;
    }
    memory.started && (container.readiness_probe.is_none() || memory.ready == Some(true))
}

fn running(started_at: SystemTime) -> ContainerState {
    let running = ContainerStateRunning { started_at: Some(time(started_at)) };
    ContainerState { running: Some(running), ..ContainerState::default() }
}

fn waiting(memory: &ContainerMemory, default: &str) -> ContainerState {
    match &memory.problem {
        Some(problem) => waits(&problem.reason, Some(problem.message.clone())),
        None => waits(default, None),
    }
}

fn waits(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn id(view: View<'_>, container: &runtime::Container) -> String {
    format!("{}://{}", view.details.id_scheme, container.runtime_id)
}

fn terminated(view: View<'_>, container: &runtime::Container) -> Option<ContainerStateTerminated> {
    let State::Exited { started_at, finished_at, code, signal, out_of_memory, message } = &container.state
    else {
        return None;
    };
    let reason = match (out_of_memory, started_at, code) {
        (true, ..) => "OOMKilled",
        (_, None, _) => "StartError",
        (_, _, 0) => "Completed",
        _ => "Error",
    };
    let left = view.details.messages.get(&container.id).filter(|m| !m.is_empty());
    Some(ContainerStateTerminated {
        container_id: Some(id(view, container)),
        exit_code: *code,
        finished_at: Some(time(*finished_at)),
        message: left.cloned().or_else(|| (!message.is_empty()).then(|| message.clone())),
        reason: Some(reason.to_owned()),
        signal: (*signal != 0).then_some(*signal),
        started_at: Some(time(started_at.unwrap_or(SystemTime::UNIX_EPOCH))),
    })
}
