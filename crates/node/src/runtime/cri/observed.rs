//! What a runtime says as what we know. Pure.

use std::time::{Duration, SystemTime};

use super::{kept, request};
use crate::container::{ContainerId, PodUid, Resources};
use crate::cri::messages as cri;
use crate::runtime::{Container, Sandbox, State};

/// As the runtimes word it (`reason`).
const OUT_OF_MEMORY: &str = "OOMKilled";

/// Whose a sandbox is, if it is ours.
pub(super) fn owner(sandbox: &cri::PodSandbox) -> Option<PodUid> {
    sandbox.annotations.get(kept::ANNOTATION)?;
    PodUid::new(&sandbox.metadata.as_ref()?.uid)
}

/// Which container it is, if it is ours.
pub(super) fn container_id(
    labels: &std::collections::BTreeMap<String, String>,
    metadata: Option<&cri::ContainerMetadata>,
) -> Option<ContainerId> {
    let metadata = metadata?;
    let pod = PodUid::new(labels.get(request::POD_UID)?)?;
    Some(ContainerId { pod, name: metadata.name.clone(), attempt: metadata.attempt })
}

/// A pod, of its newest sandbox and the containers of all its sandboxes. `limits` are those it was given after it was made.
pub(super) fn sandbox(
    uid: &PodUid,
    newest: &cri::PodSandboxStatus,
    limits: Option<Resources>,
    mut containers: Vec<Container>,
) -> Option<Sandbox> {
    let metadata = newest.metadata.as_ref()?;
    let kept = kept::read::<kept::Sandbox>(&newest.annotations).unwrap_or_default();
    let network = newest.network.as_ref().filter(|_| !kept.host_network);
    let addresses = network.into_iter().flat_map(|network| {
        std::iter::once(&network.ip).chain(network.additional_ips.iter().map(|more| &more.ip))
    });
    containers.sort_by(|one, other| one.id.cmp(&other.id));
    Some(Sandbox {
        uid: uid.clone(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        ready: newest.state == cri::PodSandboxState::Ready as i32,
        created_at: time(newest.created_at),
        addresses: addresses.filter_map(|ip| ip.parse().ok()).collect(),
        resources: Some(limits.unwrap_or(kept.resources)),
        containers,
    })
}

/// A container. `limits` are those it was given after it was made.
pub(super) fn container(status: &cri::ContainerStatus, limits: Option<&Resources>) -> Option<Container> {
    let id = container_id(&status.labels, status.metadata.as_ref())?;
    let kept = kept::read::<kept::Container>(&status.annotations).unwrap_or_default();
    Some(Container {
        id,
        runtime_id: status.id.clone(),
        image: kept.image,
        image_id: status.image_ref.clone(),
        state: state(status),
        labels: status.labels.clone(),
        resources: limits.cloned().unwrap_or(kept.resources),
    })
}

fn state(status: &cri::ContainerStatus) -> State {
    match cri::ContainerState::try_from(status.state) {
        Ok(cri::ContainerState::Created) => State::Created,
        Ok(cri::ContainerState::Exited) => State::Exited {
            started_at: Some(status.started_at).filter(|ns| *ns > 0).map(time),
            finished_at: time(status.finished_at),
            code: status.exit_code,
            // The protocol does not tell of signals: the code is 128 and the signal's number.
            signal: 0,
            out_of_memory: status.reason == OUT_OF_MEMORY,
            message: status.message.clone(),
        },
        // One whose state the runtime has lost may run: it is stopped before anything else (`changes`).
        Ok(cri::ContainerState::Running | cri::ContainerState::Unknown) | Err(_) => State::Running {
            started_at: time(if status.started_at > 0 { status.started_at } else { status.created_at }),
        },
    }
}

fn time(nanoseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
