//! The conditions of a pod that a node writes.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};

use super::containers::Statuses;
use super::phase::Phase;
use super::{View, time};
use crate::pods::roles::{self, Role};

/// Conditions that this node writes; all others are somebody else's, and stay.
const OWN: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Conditions that are there only while they hold.
pub(crate) const PASSING: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

struct Verdict {
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    const TRUE: Self = Self { status: true, reason: None, message: None };

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self { status: false, reason: Some(reason), message }
    }
}

pub(super) fn of(view: View<'_>, told: &PodStatus, containers: &Statuses, phase: Phase) -> Vec<PodCondition> {
    let ready = containers_ready(view, containers, phase);
    let network = view.sandbox.is_some_and(|s| s.ready);
    let network =
        if network { Verdict::TRUE } else { Verdict { status: false, reason: None, message: None } };
    let pod_ready = pod_ready(view, &ready, told, phase);
    let own = [network, initialized(view, containers, phase), pod_ready, ready, Verdict::TRUE];
    let mut conditions: Vec<PodCondition> =
        OWN.iter().zip(own).map(|(kind, verdict)| condition(view, told, kind, verdict)).collect();
    if !phase.is_terminal() {
        conditions.extend(resizing(view, told));
    }
    let is_own = |kind: &str| OWN.contains(&kind) || PASSING.contains(&kind);
    let others = told.conditions.iter().flatten().filter(|c| !is_own(&c.type_));
    conditions.extend(others.cloned());
    conditions
}

/// What of the pod's resources is not as its spec has it. Each tells the generation that it is about, not the newest.
fn resizing(view: View<'_>, told: &PodStatus) -> impl Iterator<Item = PodCondition> {
    let [pending, progress] = PASSING;
    let resize = &view.memory.resize;
    let of = |kind, generation, reason: Option<&str>, message: Option<&String>| PodCondition {
        reason: reason.map(str::to_owned),
        message: message.cloned(),
        observed_generation: generation,
        ..condition(view, told, kind, Verdict::TRUE)
    };
    let pending =
        resize.pending.as_ref().map(|p| of(pending, p.generation, Some(&p.reason), Some(&p.message)));
    let progress = resize
        .progress
        .as_ref()
        .map(|p| of(progress, p.generation, p.error.as_ref().map(|_| "Error"), p.error.as_ref()));
    pending.into_iter().chain(progress)
}

fn condition(view: View<'_>, told: &PodStatus, kind: &str, verdict: Verdict) -> PodCondition {
    let status = if verdict.status { "True" } else { "False" };
    let before = told.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == status);
    let since = before.and_then(|c| c.last_transition_time.clone());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.map(str::to_owned),
        message: verdict.message,
        last_transition_time: since.or_else(|| Some(time(view.now))),
        last_probe_time: None,
        observed_generation: view.pod.metadata.generation,
    }
}

/// All init containers have succeeded, all sidecars have started.
fn initialized(view: View<'_>, containers: &Statuses, phase: Phase) -> Verdict {
    if phase == Phase::Succeeded {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::TRUE };
    }
    let begun = containers.main.iter().any(|c| c.container_id.is_some());
    let init = view.pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
    let lacking =
        init.zip(&containers.init).filter(|(container, status)| match roles::init_role(container) {
            Role::Sidecar => !begun && status.started != Some(true),
            _ => !status.ready,
        });
    let lacking: Vec<&str> = lacking.map(|(_, status)| status.name.as_str()).collect();
    if lacking.is_empty() || begun {
        return Verdict::TRUE;
    }
    let message = format!("containers with incomplete status: [{}]", lacking.join(" "));
    Verdict::no("ContainersNotInitialized", Some(message))
}

fn containers_ready(view: View<'_>, containers: &Statuses, phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::no("PodCompleted", None),
        Phase::Failed => return Verdict::no("PodFailed", None),
        Phase::Pending | Phase::Running => {}
    }
    let sidecars =
        view.pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten()).zip(&containers.init);
    let sidecars = sidecars.filter(|(c, _)| roles::init_role(c) == Role::Sidecar).map(|(_, status)| status);
    let lacking: Vec<&ContainerStatus> = sidecars.chain(&containers.main).filter(|s| !s.ready).collect();
    if lacking.is_empty() {
        return Verdict::TRUE;
    }
    let names = lacking.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" ");
    Verdict::no("ContainersNotReady", Some(format!("containers with unready status: [{names}]")))
}

/// The containers are ready, and so is what the pod's readiness gates name.
fn pod_ready(view: View<'_>, containers: &Verdict, told: &PodStatus, phase: Phase) -> Verdict {
    if !containers.status {
        let (reason, message) = (containers.reason, containers.message.clone());
        return Verdict { status: false, reason, message };
    }
    let gates = view.pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    let mut lacking = Vec::new();
    for gate in gates.map(|gate| gate.condition_type.as_str()) {
        match told.conditions.iter().flatten().find(|c| c.type_ == gate) {
            None => lacking
                .push(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.")),
            Some(c) if c.status != "True" => lacking.push(format!(
                "the status of pod readiness gate \"{gate}\" is not \"True\", but {}",
                c.status
            )),
            Some(_) => {}
        }
    }
    debug_assert!(!phase.is_terminal(), "a pod that is over has no ready containers");
    if lacking.is_empty() {
        Verdict::TRUE
    } else {
        Verdict::no("ReadinessGatesNotReady", Some(lacking.join(", ")))
    }
}
