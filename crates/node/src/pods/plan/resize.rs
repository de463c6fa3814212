//! A pod that is to have other resources than it has: in which order they are changed, and which containers have to begin anew for it (KEP-1287).
//!
//! A limit never stands above the pod's: the pod is raised before its containers, and lowered after them. What of the kernel's limits follows from the accepted resources is `config`'s to say.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{Action, View};
use crate::container::{ContainerId, Resources};
use crate::pods::config;
use crate::pods::roles;
use crate::runtime::Usage;

/// Changes of limits, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resize {
    /// The pod's, before those of its containers.
    pub raised: Option<Resources>,
    /// Of containers that run.
    pub containers: Vec<(ContainerId, Resources)>,
    /// The pod's, after those.
    pub lowered: Option<Resources>,
    /// Memory that becomes less.
    pub falls: Vec<Fall>,
}

/// A limit of memory that becomes less: it must not fall below what is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fall {
    /// Whose; `None` is the pod's.
    pub container: Option<String>,
    /// In bytes.
    pub limit: i64,
}

/// How far a change of resources is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resizing {
    /// There is nothing to be said: the pod does not run.
    #[default]
    Unknown,
    /// Everything has what was accepted.
    Done,
    /// Something has not.
    UnderWay,
}

/// What is to be done. While containers have to end first, nothing is.
pub(super) fn of(view: View<'_>, spec: &PodSpec) -> (Resizing, Option<Action>) {
    let Some(sandbox) = view.sandbox.filter(|sandbox| sandbox.ready) else { return (Resizing::Done, None) };
    let mut resize = Resize::default();
    for (container, _) in roles::containers(spec) {
        let Some(newest) = roles::newest(view.sandbox, &container.name).filter(|c| roles::is_running(c))
        else {
            continue;
        };
        let Some(wanted) = wanted(container, &newest.resources) else { continue };
        if needs_restart(container, &newest.resources) {
            return (Resizing::UnderWay, None);
        }
        resize.falls.extend(fall(Some(&container.name), &newest.resources, &wanted));
        resize.containers.push((newest.id.clone(), wanted));
    }
    if let (Some(has), Ok(wanted)) = (&sandbox.resources, config::pod_resources(spec, view.pids_limit))
        && differ(has, &wanted)
    {
        resize.falls.splice(0..0, fall(None, has, &wanted));
        let most = most(has, &wanted);
        resize.raised = differ(has, &most).then(|| most.clone());
        resize.lowered = differ(&most, &wanted).then_some(wanted);
    }
    if resize == Resize::default() {
        (Resizing::Done, None)
    } else {
        (Resizing::UnderWay, Some(Action::Resize(Box::new(resize))))
    }
}

/// What a container is to have that has something else. What cannot be resized stays.
fn wanted(container: &Container, has: &Resources) -> Option<Resources> {
    let wanted = config::container_resources(container.resources.as_ref()).ok()?;
    let Resources { cpu_shares, cpu_quota_us, cpu_period_us, memory_limit_bytes, .. } = wanted;
    let wanted = Resources { cpu_shares, cpu_quota_us, cpu_period_us, memory_limit_bytes, ..has.clone() };
    differ(has, &wanted).then_some(wanted)
}

/// Whether a running container gets what it is to have by a new start only.
pub(super) fn needs_restart(container: &Container, has: &Resources) -> bool {
    let Some(wanted) = wanted(container, has) else { return false };
    let restarts = |name: &str| {
        let mut policies = container.resize_policy.iter().flatten();
        policies.any(|p| p.resource_name == name && p.restart_policy == "RestartContainer")
    };
    let memory = has.memory_limit_bytes != wanted.memory_limit_bytes;
    let cpu = (has.cpu_shares, has.cpu_quota_us) != (wanted.cpu_shares, wanted.cpu_quota_us);
    (memory && restarts("memory")) || (cpu && restarts("cpu"))
}

fn differ(one: &Resources, other: &Resources) -> bool {
    one.cpu_shares != other.cpu_shares
        || one.cpu_quota_us != other.cpu_quota_us
        || one.memory_limit_bytes != other.memory_limit_bytes
}

/// Of each the larger one; no limit is the largest.
fn most(has: &Resources, wanted: &Resources) -> Resources {
    let most = |one: Option<i64>, other: Option<i64>| one.zip(other).map(|(one, other)| one.max(other));
    let cpu_quota_us = most(has.cpu_quota_us, wanted.cpu_quota_us);
    Resources {
        cpu_shares: has.cpu_shares.max(wanted.cpu_shares),
        cpu_quota_us,
        cpu_period_us: cpu_quota_us.and(wanted.cpu_period_us.or(has.cpu_period_us)),
        memory_limit_bytes: most(has.memory_limit_bytes, wanted.memory_limit_bytes),
        ..wanted.clone()
    }
}

fn fall(container: Option<&str>, has: &Resources, wanted: &Resources) -> Option<Fall> {
    let limit = wanted.memory_limit_bytes?;
    let falls = has.memory_limit_bytes.is_none_or(|has| limit < has);
    falls.then(|| Fall { container: container.map(str::to_owned), limit })
}

/// Why memory cannot become less; `None` if it can. The kernel would kill, or refuse.
pub fn below_use(falls: &[Fall], usage: &Usage) -> Option<String> {
    let below = |fall: &Fall| {
        let (whose, used) = match &fall.container {
            None => ("pod".to_owned(), Some(usage.pod)),
            Some(name) => {
                let used = usage.containers.iter().find(|(known, _)| known == name).map(|(_, used)| *used);
                (format!("container \"{name}\""), used)
            }
        };
        let used = used?.memory_usage_bytes;
        let (limit, below) = (fall.limit, i128::from(fall.limit) < i128::from(used));
        below
            .then(|| format!("attempting to set {whose} memory limit ({limit}) below current usage ({used})"))
    };
    let words: Vec<String> = falls.iter().filter_map(below).collect();
    match words.as_slice() {
        [] => None,
        [one] => Some(format!("cannot decrease memory limits: {one}")),
        several => Some(format!("cannot decrease memory limits: [{}]", several.join(", "))),
    }
}
