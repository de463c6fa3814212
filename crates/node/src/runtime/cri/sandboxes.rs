//! Makes, ends and finds sandboxes. A pod has more than one when one died: the newest counts, the others keep their containers' ends.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::{Shared, absent, failed, kept, observed, pod_cgroup, refused, refused_with_code, request};
use crate::container::{PodUid, SandboxConfig};
use crate::cri::{Code, TIMEOUT, messages as cri};
use crate::runtime::{Container, Error, Sandbox, log_files};

/// A sandbox that is there.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) ready: bool,
    pub(super) metadata: cri::PodSandboxMetadata,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) kept: kept::Sandbox,
    created_at: i64,
}

/// All of a pod's, the newest first. Others' are passed over.
pub(super) async fn find(shared: &Shared, pod: &PodUid) -> Result<Vec<Found>, Error> {
    Ok(list(shared, Some(pod)).await?.remove(pod).unwrap_or_default())
}

/// By pod.
async fn list(shared: &Shared, pod: Option<&PodUid>) -> Result<BTreeMap<PodUid, Vec<Found>>, Error> {
    let label_selector = pod.map(request::of_pod).unwrap_or_default();
    let filter = cri::PodSandboxFilter { label_selector, ..Default::default() };
    let answer = shared.client.ask(cri::ListPodSandboxRequest { filter: Some(filter) }).await;
    let answer = answer.map_err(failed("cannot list the sandboxes"))?;
    let mut found: BTreeMap<PodUid, Vec<Found>> = BTreeMap::new();
    for sandbox in answer.items {
        let (Some(owner), Some(kept)) = (observed::owner(&sandbox), kept::read(&sandbox.annotations)) else {
            continue;
        };
        found.entry(owner).or_default().push(Found {
            ready: sandbox.state == cri::PodSandboxState::Ready as i32,
            metadata: sandbox.metadata.unwrap_or_default(),
            id: sandbox.id,
            labels: sandbox.labels,
            kept,
            created_at: sandbox.created_at,
        });
    }
    for sandboxes in found.values_mut() {
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.metadata.attempt)));
    }
    Ok(found)
}

/// The newest of a pod, which has to be there.
pub(super) async fn newest(shared: &Shared, pod: &PodUid) -> Result<Found, Error> {
    let found = find(shared, pod).await?.into_iter().next();
    found.ok_or_else(|| Error::NotFound(format!("sandbox {pod}")))
}

pub(super) async fn all(shared: &Shared) -> Result<Vec<Sandbox>, Error> {
    let mut all = Vec::new();
    for (uid, found) in list(shared, None).await? {
        if let Some(newest) = found.first() {
            all.extend(describe(shared, &uid, newest).await?);
        }
    }
    Ok(all)
}

pub(super) async fn one(shared: &Shared, pod: &PodUid) -> Result<Option<Sandbox>, Error> {
    match find(shared, pod).await?.first() {
        Some(newest) => describe(shared, pod, newest).await,
        None => Ok(None),
    }
}

async fn describe(shared: &Shared, uid: &PodUid, newest: &Found) -> Result<Option<Sandbox>, Error> {
    let request = cri::PodSandboxStatusRequest { pod_sandbox_id: newest.id.clone(), verbose: false };
    let status = absent(shared.client.ask(request).await).map_err(failed("cannot ask for a sandbox"))?;
    let Some(status) = status.status else { return Ok(None) };
    let mut containers: Vec<Container> = Vec::new();
    for status in super::containers::statuses(shared, uid).await? {
        let id = observed::container_id(&status.labels, status.metadata.as_ref());
        let limits = id.and_then(|id| shared.limits.lock().get(&id).cloned());
        containers.extend(observed::container(&status, limits.as_ref()));
    }
    let limits = shared.pod_limits.lock().get(uid).cloned();
    Ok(observed::sandbox(uid, &status, limits, containers))
}

pub(super) async fn start(shared: &Arc<Shared>, config: &SandboxConfig) -> Result<Sandbox, Error> {
    if let Some(refusal) = request::refusal(&config.namespaces) {
        return Err(Error::Config(refusal));
    }
    let gone = || Error::NotFound(format!("sandbox {}", config.uid));
    let before = find(shared, &config.uid).await?;
    if before.first().is_some_and(|newest| newest.ready) {
        return one(shared, &config.uid).await?.ok_or_else(gone);
    }
    let used = super::containers::list(shared, &config.uid).await?;
    for sandbox in &before {
        end(shared, &sandbox.id).await?;
        if !used.iter().any(|container| container.pod_sandbox_id == sandbox.id) {
            discard(shared, &sandbox.id).await?;
        }
    }
    // What the new one has is in its own configuration.
    shared.pod_limits.lock().remove(&config.uid);
    let attempt = before.iter().map(|sandbox| sandbox.metadata.attempt + 1).max().unwrap_or(0);
    pod_cgroup::make(shared, config).await?;
    fs::create_dir_all(&config.log_directory).map_err(failed("cannot make the pod's directory of logs"))?;
    let request = cri::RunPodSandboxRequest {
        config: Some(request::sandbox(config, attempt)),
        runtime_handler: String::new(),
    };
    // The network and the image may take their time, as the kubelet grants it.
    if let Err(status) = shared.client.ask_within(request, TIMEOUT * 2).await {
        if before.is_empty() {
            pod_cgroup::remove(shared, &config.cgroup_parent).await?;
        }
        return Err(refused_with_code(status));
    }
    shared.changed(&config.uid);
    one(shared, &config.uid).await?.ok_or_else(gone)
}

/// Ends what runs in a sandbox, and takes its network.
async fn end(shared: &Shared, id: &str) -> Result<(), Error> {
    let stopped = shared.client.ask(cri::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() }).await;
    absent(stopped).map(|_| ()).map_err(refused)
}

async fn discard(shared: &Shared, id: &str) -> Result<(), Error> {
    let removed = shared.client.ask(cri::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() }).await;
    absent(removed).map(|_| ()).map_err(refused)
}

pub(super) async fn stop(shared: &Arc<Shared>, pod: &PodUid) -> Result<(), Error> {
    let sandboxes = find(shared, pod).await?;
    for sandbox in &sandboxes {
        end(shared, &sandbox.id).await?;
    }
    if let Some(sandbox) = sandboxes.first() {
        pod_cgroup::remove(shared, &sandbox.kept.cgroup).await?;
    }
    shared.changed(pod);
    Ok(())
}

pub(super) async fn remove(shared: &Arc<Shared>, pod: &PodUid) -> Result<(), Error> {
    stop(shared, pod).await?;
    let sandboxes = find(shared, pod).await?;
    for status in super::containers::statuses(shared, pod).await? {
        if !status.log_path.is_empty() {
            log_files::remove(status.log_path.as_ref()).map_err(failed("cannot remove a container's log"))?;
        }
    }
    // The newest last: as long as it is there, a crash in the middle is repeated.
    for sandbox in sandboxes.iter().rev() {
        discard(shared, &sandbox.id).await?;
    }
    if let Some(sandbox) = sandboxes.first() {
        // Only what is empty: other logs there are not the runtime's.
        let _ = fs::remove_dir(&sandbox.kept.log_directory);
    }
    shared.limits.lock().retain(|id, _| id.pod != *pod);
    shared.pod_limits.lock().remove(pod);
    shared.changed(pod);
    Ok(())
}

/// Whether a call was refused since the other side does not know it.
pub(super) fn is_unknown(status: &crate::cri::Status) -> bool {
    status.code == Code::Unimplemented
}
