//! A pod that is to go: its main containers first, then its sidecars in the reverse of their order, then everything they shared.

use std::time::Duration;

use super::{Action, Ending, Plan, View};
use crate::container::ContainerId;
use crate::pods::memory::Volumes;
use crate::pods::roles::{self, Role};

/// A container that is killed has no time at all.
const LEAST_GRACE: Duration = Duration::ZERO;

pub(super) fn plan(view: View<'_>, ending: &Ending) -> Plan {
    let mut plan = Plan::default();
    let deadline = ending.since + ending.grace.max(LEAST_GRACE);
    let running: Vec<_> =
        view.sandbox.iter().flat_map(|s| &s.containers).filter(|c| roles::is_running(c)).collect();
    if !running.is_empty() {
        for id in next_to_stop(view, running.iter().map(|c| &c.id)) {
            let message = format!("Stopping container {}", id.name);
            plan.act(Action::StopContainer { id: id.clone(), deadline, message });
        }
        return plan;
    }
    if view.sandbox.is_some_and(|s| s.ready) {
        plan.act(Action::StopSandbox);
        return plan;
    }
    if view.memory.volumes != Volumes::Absent {
        plan.act(Action::UnmountVolumes);
        return plan;
    }
    if ending.deleted {
        plan.act(Action::Forget);
    }
    plan
}

/// Those that run and are not sidecars; else the sidecar that began last.
fn next_to_stop<'a>(view: View<'_>, running: impl Iterator<Item = &'a ContainerId>) -> Vec<&'a ContainerId> {
    let spec = view.pod.spec.as_ref();
    let order: Vec<(&str, Role)> =
        spec.into_iter().flat_map(roles::containers).map(|(c, role)| (c.name.as_str(), role)).collect();
    let place =
        |id: &ContainerId| order.iter().position(|(name, role)| *role == Role::Sidecar && *name == id.name);
    let (sidecars, others): (Vec<_>, Vec<_>) = running.partition(|id| place(id).is_some());
    if !others.is_empty() {
        return others;
    }
    sidecars.into_iter().max_by_key(|id| place(id)).into_iter().collect()
}
