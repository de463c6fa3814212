//! What the containers of a pod are to each other: which come first, which stay beside the others, which is the newest start of each.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::runtime::{self, Sandbox, State};

/// When a container has its turn in the life of its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs to its end before the next one begins.
    Init,
    /// It begins in its turn among the init containers and stays for as long as the pod lives (KEP-753).
    Sidecar,
    /// It is what the pod is for.
    Main,
}

/// The role of an init container.
pub fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// Every container of a pod with its role, in the order of their start. Ephemeral ones are none of them.
pub fn containers(spec: &PodSpec) -> impl DoubleEndedIterator<Item = (&Container, Role)> {
    let init = spec.init_containers.iter().flatten().map(|c| (c, init_role(c)));
    init.chain(spec.containers.iter().map(|c| (c, Role::Main)))
}

/// The starts of one container, the newest one first.
pub fn starts<'a>(sandbox: Option<&'a Sandbox>, name: &str) -> Vec<&'a runtime::Container> {
    let mut starts: Vec<_> =
        sandbox.into_iter().flat_map(|s| &s.containers).filter(|c| c.id.name == name).collect();
    starts.sort_by_key(|c| std::cmp::Reverse(c.id.attempt));
    starts
}

/// The newest start of a container.
pub fn newest<'a>(sandbox: Option<&'a Sandbox>, name: &str) -> Option<&'a runtime::Container> {
    sandbox.into_iter().flat_map(|s| &s.containers).filter(|c| c.id.name == name).max_by_key(|c| c.id.attempt)
}

/// Whether it runs.
pub fn is_running(container: &runtime::Container) -> bool {
    matches!(container.state, State::Running { .. })
}

/// How long the pod's containers may take to end.
pub fn grace_seconds(pod: &Pod) -> i64 {
    let asked = pod.metadata.deletion_grace_period_seconds;
    let own = || pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
    asked.or_else(own).unwrap_or(DEFAULT_GRACE_SECONDS).max(0)
}

/// The API's default.
const DEFAULT_GRACE_SECONDS: i64 = 30;
