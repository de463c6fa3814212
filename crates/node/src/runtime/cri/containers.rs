//! The life of a container: create, start, stop, remove, change. Each call finds the runtime's id by the kubelet's labels.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Shared, absent, failed, kept, observed, refused, request, sandboxes};
use crate::container::{ContainerConfig, ContainerId, PodUid, Resources};
use crate::cri::{Code, Status, TIMEOUT, messages as cri};
use crate::runtime::{Error, log_files};

/// The exit code of a container that could not be started, as the runtimes report it.
const START_FAILED: i32 = 128;

/// All containers of a pod.
pub(super) async fn list(shared: &Shared, pod: &PodUid) -> Result<Vec<cri::Container>, Error> {
    let filter = cri::ContainerFilter { label_selector: request::of_pod(pod), ..Default::default() };
    let answer = shared.client.ask(cri::ListContainersRequest { filter: Some(filter) }).await;
    Ok(answer.map_err(failed("cannot list the containers of a pod"))?.containers)
}

/// What all containers of a pod do.
pub(super) async fn statuses(shared: &Shared, pod: &PodUid) -> Result<Vec<cri::ContainerStatus>, Error> {
    let mut statuses = Vec::new();
    for container in list(shared, pod).await? {
        statuses.extend(status(shared, container.id).await?);
    }
    Ok(statuses)
}

/// What a container does, if it is there (any more).
async fn status(shared: &Shared, container_id: String) -> Result<Option<cri::ContainerStatus>, Error> {
    let request = cri::ContainerStatusRequest { container_id, verbose: false };
    let answer = absent(shared.client.ask(request).await);
    Ok(answer.map_err(failed("cannot ask for a container"))?.status)
}

async fn look(shared: &Shared, id: &ContainerId) -> Result<Option<cri::Container>, Error> {
    let is_it = |container: &cri::Container| {
        observed::container_id(&container.labels, container.metadata.as_ref()).as_ref() == Some(id)
    };
    Ok(list(shared, &id.pod).await?.into_iter().find(is_it))
}

/// A container that has to be there.
pub(super) async fn find(shared: &Shared, id: &ContainerId) -> Result<cri::Container, Error> {
    look(shared, id).await?.ok_or_else(|| Error::NotFound(format!("container {id}")))
}

/// A container that has to run; whether it has a terminal is in what was kept.
pub(super) async fn running(shared: &Shared, id: &ContainerId) -> Result<(String, kept::Container), Error> {
    let found = find(shared, id).await?;
    if found.state != cri::ContainerState::Running as i32 {
        return Err(Error::Precondition(format!("container {id} is not running")));
    }
    let kept = kept::read(&found.annotations).unwrap_or_default();
    Ok((found.id, kept))
}

pub(super) async fn create(shared: &Arc<Shared>, config: &ContainerConfig) -> Result<(), Error> {
    let id = &config.id;
    if look(shared, id).await?.is_some() {
        return Ok(());
    }
    let sandbox = sandboxes::newest(shared, &id.pod).await?;
    if !sandbox.ready {
        return Err(Error::Precondition(format!("sandbox {} is not running", id.pod)));
    }
    let image = match (config.security.user, config.security.group) {
        (None, Some(_)) => {
            let image = cri::ImageSpec { image: config.image_id.clone(), ..Default::default() };
            let request = cri::ImageStatusRequest { image: Some(image), verbose: false };
            shared.client.ask(request).await.map_err(failed("cannot ask for the image's user"))?.image
        }
        _ => None,
    };
    if let Some(directory) = sandbox.kept.log_directory.join(&config.log_path).parent() {
        fs::create_dir_all(directory).map_err(failed("cannot make the container's directory of logs"))?;
    }
    let mut within = request::again(&sandbox.kept, Some(sandbox.metadata), sandbox.labels);
    // A privileged container needs a privileged sandbox, of which nothing was known when that was made. containerd believes this.
    if let Some(security) = within.linux.as_mut().and_then(|linux| linux.security_context.as_mut()) {
        security.privileged = config.security.privileged;
    }
    let request = cri::CreateContainerRequest {
        pod_sandbox_id: sandbox.id,
        config: Some(request::container(config, &sandbox.kept, image.as_ref())),
        sandbox_config: Some(within),
    };
    shared.client.ask(request).await.map_err(refused)?;
    shared.changed(&id.pod);
    Ok(())
}

pub(super) async fn start(shared: &Arc<Shared>, id: &ContainerId) -> Result<(), Error> {
    let found = find(shared, id).await?;
    match cri::ContainerState::try_from(found.state) {
        Ok(cri::ContainerState::Created) => {}
        Ok(cri::ContainerState::Running) => return Ok(()),
        _ => return Err(Error::Precondition(format!("container {id} has ended"))),
    }
    let started = shared.client.ask(cri::StartContainerRequest { container_id: found.id.clone() }).await;
    shared.changed(&id.pod);
    let Err(refusal) = started else { return Ok(()) };
    // The runtime keeps what it could not start as a container that ended.
    match status(shared, found.id).await? {
        Some(status) if status.state == cri::ContainerState::Exited as i32 => {
            Err(Error::Start { code: START_FAILED, message: refusal.message })
        }
        _ => Err(refused(refusal)),
    }
}

pub(super) async fn stop(shared: &Arc<Shared>, id: &ContainerId, grace: Duration) -> Result<(), Error> {
    let found = find(shared, id).await?;
    if found.state == cri::ContainerState::Exited as i32 || found.state == cri::ContainerState::Created as i32
    {
        return Ok(());
    }
    stop_by_id(shared, found.id, grace).await.map_err(refused)?;
    shared.changed(&id.pod);
    Ok(())
}

/// Seconds are the protocol's unit: a part of one is a whole one. Of two calls the one with less time wins, since each kills by itself.
pub(super) async fn stop_by_id(shared: &Shared, container_id: String, grace: Duration) -> Result<(), Status> {
    let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    let timeout = i64::try_from(seconds).unwrap_or(i64::MAX);
    let request = cri::StopContainerRequest { container_id, timeout };
    let within = TIMEOUT.saturating_add(Duration::from_secs(seconds));
    absent(shared.client.ask_within(request, within).await).map(|_| ())
}

pub(super) async fn remove(shared: &Arc<Shared>, id: &ContainerId) -> Result<(), Error> {
    let Some(found) = look(shared, id).await? else { return Ok(()) };
    let Some(status) = status(shared, found.id.clone()).await? else { return Ok(()) };
    // The runtime would kill it.
    if status.state == cri::ContainerState::Running as i32 {
        return Err(Error::Precondition(format!("container {id} is running")));
    }
    if !status.log_path.is_empty() {
        log_files::remove(status.log_path.as_ref()).map_err(failed("cannot remove the container's log"))?;
    }
    let removed = shared.client.ask(cri::RemoveContainerRequest { container_id: found.id }).await;
    absent(removed).map_err(refused)?;
    shared.limits.lock().remove(id);
    shared.changed(&id.pod);
    Ok(())
}

pub(super) async fn update(
    shared: &Arc<Shared>,
    id: &ContainerId,
    resources: &Resources,
) -> Result<(), Error> {
    let found = find(shared, id).await?;
    let request = cri::UpdateContainerResourcesRequest {
        container_id: found.id,
        linux: Some(request::changed_resources(resources)),
    };
    shared.client.ask(request).await.map_err(refused)?;
    shared.limits.lock().insert(id.clone(), resources.clone());
    shared.changed(&id.pod);
    Ok(())
}

pub(super) async fn reopen_log(shared: &Shared, container_id: String) -> Result<(), Error> {
    match shared.client.ask(cri::ReopenContainerLogRequest { container_id }).await {
        Ok(_) => Ok(()),
        Err(status) if status.code == Code::NotFound => Err(Error::NotFound("the container".to_owned())),
        Err(status) => Err(refused(status)),
    }
}

/// Where a container's log is.
pub(super) async fn log_path(shared: &Shared, container_id: String) -> Result<Option<PathBuf>, Error> {
    let status = status(shared, container_id).await?;
    Ok(status.map(|status| status.log_path).filter(|path| !path.is_empty()).map(PathBuf::from))
}
