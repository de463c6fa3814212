//! What is told of a pod: its status, worked out of what is wanted, what is there and what is remembered.
//!
//! Pure; the phases, conditions, reasons and words are the kubelet's. Writing it to the API is `status_writer`'s business.

mod conditions;
mod containers;
mod phase;
mod resources;

use std::net::IpAddr;
use std::time::SystemTime;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pods::memory::Memory;
use crate::pods::plan::{Ending, Failure};
use crate::runtime::Sandbox;

pub(crate) use conditions::PASSING;
pub use containers::Details;
use containers::Statuses;

/// What a status is made of.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The pod as it is wanted; its status is what was told last.
    pub pod: &'a Pod,
    /// Whether and how it is to go.
    pub ending: Option<&'a Ending>,
    /// The sandbox as it is.
    pub sandbox: Option<&'a Sandbox>,
    /// What is remembered.
    pub memory: &'a Memory,
    /// What the runtime does not know of its containers.
    pub details: &'a Details,
    /// Addresses of the node, the first one first.
    pub host_ips: &'a [IpAddr],
    /// The time.
    pub now: SystemTime,
}

/// The status of a pod.
pub fn status(view: View<'_>) -> PodStatus {
    let told = view.pod.status.clone().unwrap_or_default();
    let failure = view.ending.and_then(|ending| ending.failure.as_ref());
    let rejected = failure.is_some_and(|failure| failure.rejected);
    // Of a pod that was never let in there is nothing to tell: what a container waits for would be shown before the refusal.
    let containers = if rejected { Statuses::default() } else { containers::statuses(view) };
    let phase = phase::of(view, &containers);
    let conditions = conditions::of(view, &told, &containers, phase);
    let addresses = pod_ips(view);
    let host = view.host_ips.first().map(IpAddr::to_string);
    PodStatus {
        phase: Some(phase.as_str().to_owned()),
        reason: failure.map(|f| f.reason.clone()).or(told.reason.filter(|_| phase.is_terminal())),
        message: failure.map(in_words).or(told.message.filter(|_| phase.is_terminal())),
        conditions: Some(conditions),
        init_container_statuses: some(containers.init),
        container_statuses: some(containers.main),
        ephemeral_container_statuses: some(containers.ephemeral),
        host_ip: host.clone(),
        host_ips: host.map(|_| view.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: addresses.first().map(IpAddr::to_string),
        pod_ips: some(addresses.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        start_time: told.start_time.or_else(|| Some(time(view.now))),
        observed_generation: view.pod.metadata.generation,
        ..told
    }
}

fn in_words(failure: &Failure) -> String {
    let before = if failure.rejected { "Pod was rejected: " } else { "" };
    format!("{before}{}", failure.message)
}

/// The pod's addresses: the sandbox's, the node's on its network; those that were told before while there is no sandbox.
fn pod_ips(view: View<'_>) -> Vec<IpAddr> {
    if view.pod.spec.as_ref().and_then(|s| s.host_network) == Some(true) {
        return if view.sandbox.is_some() { view.host_ips.to_vec() } else { Vec::new() };
    }
    match view.sandbox {
        Some(sandbox) if !sandbox.addresses.is_empty() => sandbox.addresses.clone(),
        _ => {
            let told = view.pod.status.iter().flat_map(|s| s.pod_ips.iter().flatten());
            told.filter_map(|ip| ip.ip.parse().ok()).collect()
        }
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// A time as the API writes it: whole seconds.
pub(crate) fn time(at: SystemTime) -> Time {
    let second = Timestamp::try_from(at).map_or(0, Timestamp::as_second);
    Time(Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The containers that wait for their next start since this status.
pub(crate) fn begin_to_back_off<'a>(before: Option<&PodStatus>, now: &'a PodStatus) -> Vec<&'a str> {
    fn waiting(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
        let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        all.filter(|container| {
            let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
            waiting.and_then(|waiting| waiting.reason.as_deref()) == Some("CrashLoopBackOff")
        })
    }
    let was = |container: &ContainerStatus| {
        before.is_some_and(|before| {
            waiting(before).any(|b| b.name == container.name && b.restart_count == container.restart_count)
        })
    };
    waiting(now).filter(|container| !was(container)).map(|container| container.name.as_str()).collect()
}

#[cfg(test)]
mod tests;
