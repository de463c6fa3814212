//! The phase of a pod, from the states of its containers.

use k8s_openapi::api::core::v1::ContainerStatus;

use super::View;
use super::containers::Statuses;
use crate::pods::roles::{self, Role};

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

#[derive(Default)]
struct Count {
    waiting: usize,
    running: usize,
    succeeded: usize,
    stopped: usize,
}

/// The phase. One that is terminal stays.
pub(super) fn of(view: View<'_>, containers: &Statuses) -> Phase {
    match view.pod.status.as_ref().and_then(|s| s.phase.as_deref()) {
        Some("Succeeded") => return Phase::Succeeded,
        Some("Failed") => return Phase::Failed,
        _ => {}
    }
    let runs = containers.all().any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()));
    if view.ending.is_some_and(|ending| ending.failure.is_some()) {
        // The kubelet tells of the failure at once, and of the containers' ends as they come.
        return Phase::Failed;
    }
    let Some(spec) = &view.pod.spec else { return Phase::Pending };
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let (mut pending, mut failed) = (0, 0);
    for (container, status) in spec.init_containers.iter().flatten().zip(&containers.init) {
        match exit_code(status) {
            _ if roles::init_role(container) == Role::Sidecar => {
                pending += usize::from(status.started != Some(true) && exit_code(status).is_none());
            }
            Some(0) => {}
            Some(_) if ends_for_good(container.restart_policy.as_deref().unwrap_or(policy)) => failed += 1,
            _ => pending += 1,
        }
    }
    let mut count = Count::default();
    for status in &containers.main {
        let state = status.state.as_ref();
        if state.is_some_and(|s| s.running.is_some()) {
            count.running += 1;
        } else if let Some(code) = exit_code(status).or_else(|| last_exit_code(status)) {
            count.stopped += 1;
            count.succeeded += usize::from(code == 0 && exit_code(status).is_some());
        } else {
            count.waiting += 1;
        }
    }
    if failed > 0 && policy == "Never" && count.running == 0 {
        return Phase::Failed;
    }
    let ended = view.ending.is_some() && !runs && count.stopped > 0;
    if (pending > 0 && count.running == 0 && count.stopped == 0) || (count.waiting > 0 && !ended) {
        return Phase::Pending;
    }
    match (count.running, count.stopped) {
        (1.., _) => Phase::Running,
        (0, 1..) if count.succeeded == count.stopped && (policy != "Always" || ended) => Phase::Succeeded,
        (0, 1..) if policy == "Never" || ended => Phase::Failed,
        (0, 1..) => Phase::Running,
        (0, 0) => Phase::Pending,
    }
}

fn ends_for_good(policy: &str) -> bool {
    policy == "Never"
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref()?.terminated.as_ref().map(|t| t.exit_code)
}

fn last_exit_code(status: &ContainerStatus) -> Option<i32> {
    status.last_state.as_ref()?.terminated.as_ref().map(|t| t.exit_code)
}
