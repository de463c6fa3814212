//! The life of a container: create, start, stop, remove, change.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sampan_shim::protocol::{Call, Cause};
use tokio::time::Instant;

use super::pod::{Known, Pod};
use super::record::{self, ContainerRecord, StartError};
use super::shim::CallError;
use super::{Shared, blocking, bundle, cgroup, directories, failed, sandbox};
use crate::container::{ContainerConfig, ContainerId, Resources};
use crate::runtime::Error;

const SIGKILL: i32 = 9;

/// The exit code of a container that could not be started, as containerd reports it.
const START_FAILED: i32 = 128;

fn missing(id: &ContainerId) -> Error {
    Error::NotFound(format!("container {id}"))
}

fn refused(context: &str, error: CallError) -> Error {
    match error.cause() {
        Some(Cause::NotFound) => Error::NotFound(error.to_string()),
        Some(Cause::Precondition) => Error::Precondition(error.to_string()),
        Some(Cause::Config) => Error::Config(error.to_string()),
        _ => failed(context)(error),
    }
}

pub(super) async fn create(shared: &Arc<Shared>, config: &ContainerConfig) -> Result<(), Error> {
    let id = &config.id;
    sandbox::check_name(&id.name)?;
    let pod = shared.pod(&id.pod)?;
    let _turn = pod.turn.lock().await;
    if pod.lock().containers.contains_key(&(id.name.clone(), id.attempt)) {
        return Ok(());
    }
    if !pod.is_ready() {
        return Err(Error::Precondition(format!("sandbox {} is not running", id.pod)));
    }
    let directory = pod.directory.bundle(&id.name, id.attempt);
    let rootfs = directory.join(bundle::ROOTFS);
    fs::create_dir_all(&rootfs).map_err(failed("cannot make the container's directory"))?;
    let made = match shared.rootfs.mount(&config.image_id, id, &rootfs).await {
        Ok(defaults) => {
            let (shared, pod, config) = (Arc::clone(shared), Arc::clone(&pod), config.clone());
            blocking(move || bundle::write(&shared, &pod, &config, &defaults)).await
        }
        Err(error) => Err(failed("cannot mount the container's root file system")(error)),
    };
    let saved = made.and_then(|made| {
        record::write(&record::container_file(&directory), &made)
            .map_err(failed("cannot write down the container"))?;
        Ok(made)
    });
    match saved {
        Ok(made) => {
            pod.lock().containers.insert((id.name.clone(), id.attempt), Known::new(made, None));
            pod.changed(shared);
            Ok(())
        }
        Err(error) => {
            if let Err(error) = bundle::remove(shared, &pod, &id.name, id.attempt, None).await {
                tracing::warn!(container = %id, %error, "a container that could not be created cannot be removed either");
            }
            Err(error)
        }
    }
}

pub(super) async fn start(shared: &Arc<Shared>, id: &ContainerId) -> Result<(), Error> {
    let pod = shared.pod(&id.pod)?;
    let _turn = pod.turn.lock().await;
    let made = {
        let inner = pod.lock();
        let known = inner.containers.get(&(id.name.clone(), id.attempt)).ok_or_else(|| missing(id))?;
        if known.is_running() && known.live.as_ref().is_some_and(|live| live.started_ns.is_some()) {
            return Ok(());
        }
        if known.record.start_error.is_some() || known.live.as_ref().is_some_and(|live| live.exit.is_some()) {
            return Err(Error::Precondition(format!("container {id} has ended")));
        }
        known.record.clone()
    };
    let outcome = launch(&pod, id, &made).await;
    if let Err(error) = outcome {
        let Some(cause) = error.cause() else {
            return Err(failed("cannot start the container")(error));
        };
        let words = error.to_string();
        let message = match cause {
            Cause::CommandNotFound | Cause::CommandNotExecutable => {
                format!(
                    "failed to create task: unable to start container process: error during container init: {words}"
                )
            }
            _ => format!("failed to create task: {words}"),
        };
        keep_failure(shared, &pod, id, made, &message)?;
        return Err(Error::Start { code: START_FAILED, message });
    }
    pod.refresh().await?;
    pod.changed(shared);
    Ok(())
}

async fn launch(pod: &Pod, id: &ContainerId, made: &ContainerRecord) -> Result<(), CallError> {
    let shim = pod.shim().map_err(|_| CallError::Gone)?;
    let container = directories::key(id);
    let create = Call::Create {
        container: container.clone(),
        bundle: pod.directory.bundle(&id.name, id.attempt),
        log: made.log.clone(),
        terminal: made.terminal,
        stdin: made.stdin,
        stdin_once: made.stdin_once,
        oom_score_adj: Some(made.oom_score_adj),
    };
    shim.call(create).await?;
    shim.call(Call::Start { container }).await?;
    Ok(())
}

fn keep_failure(
    shared: &Arc<Shared>,
    pod: &Arc<Pod>,
    id: &ContainerId,
    mut made: ContainerRecord,
    message: &str,
) -> Result<(), Error> {
    made.start_error =
        Some(StartError { code: START_FAILED, message: message.to_owned(), at_ns: record::now_ns() });
    let file = record::container_file(&pod.directory.bundle(&id.name, id.attempt));
    let written = record::write(&file, &made).map_err(failed("cannot write down the container"));
    if let Some(known) = pod.lock().containers.get_mut(&(id.name.clone(), id.attempt)) {
        known.record = made;
    }
    pod.changed(shared);
    written
}

pub(super) async fn stop(shared: &Arc<Shared>, id: &ContainerId, grace: Duration) -> Result<(), Error> {
    let Ok(pod) = shared.pod(&id.pod) else { return Ok(()) };
    let key = (id.name.clone(), id.attempt);
    let mut version = pod.watch();
    let wanted = Instant::now() + grace;
    let (mut deadline, signal) = {
        let inner = pod.lock();
        let known = inner.containers.get(&key).ok_or_else(|| missing(id))?;
        let first = known.deadline.borrow().is_none();
        // Who calls again with less time shortens that of who waits already.
        known
            .deadline
            .send_modify(|deadline| *deadline = Some(deadline.map_or(wanted, |set| set.min(wanted))));
        (known.deadline.subscribe(), first.then_some(known.record.stop_signal))
    };
    let running = || pod.lock().containers.get(&key).is_some_and(Known::is_running);
    if let Some(signal) = signal.filter(|_| !grace.is_zero() && running()) {
        send(&pod, id, signal).await?;
    }
    let mut killed = false;
    let mut held = Vec::new();
    while running() {
        let until = deadline.borrow_and_update().unwrap_or(wanted);
        tokio::select! {
            outcome = version.changed() => {
                if outcome.is_err() {
                    break;
                }
            }
            outcome = deadline.changed() => {
                if outcome.is_err() {
                    break;
                }
            }
            () = tokio::time::sleep_until(until), if !killed => {
                killed = true;
                let (shared, above) = (Arc::clone(shared), pod.lock().record.cgroup.clone());
                let own = format!("{above}/{}", directories::key(id));
                held = blocking(move || cgroup::hasten(&shared.layout, &above, &own)).await;
                send(&pod, id, SIGKILL).await?;
            }
        }
    }
    if !held.is_empty() {
        give_back(shared, &pod, held).await;
    }
    Ok(())
}

/// The pod's limits hold again: those that it has by now, since it may have been resized meanwhile.
async fn give_back(shared: &Arc<Shared>, pod: &Pod, held: Vec<(PathBuf, String)>) {
    let _turn = pod.turn.lock().await;
    let (path, resources) = {
        let inner = pod.lock();
        (inner.record.cgroup.clone(), inner.record.resources.clone())
    };
    let shared = Arc::clone(shared);
    blocking(move || match resources {
        Some(resources) => {
            // Whoever is gone needs no limit.
            let _ = cgroup::limit(&shared.layout, &path, &resources, false);
        }
        None => cgroup::restore(held),
    })
    .await;
}

/// A container that has ended meanwhile needs no signal.
async fn send(pod: &Pod, id: &ContainerId, signal: i32) -> Result<(), Error> {
    let Ok(shim) = pod.shim() else { return Ok(()) };
    match shim.call(Call::Signal { container: directories::key(id), signal }).await {
        Ok(_) | Err(CallError::Gone) => Ok(()),
        Err(error) if matches!(error.cause(), Some(Cause::NotFound | Cause::Precondition)) => Ok(()),
        Err(error) => Err(refused("cannot signal the container", error)),
    }
}

pub(super) async fn remove(shared: &Arc<Shared>, id: &ContainerId) -> Result<(), Error> {
    let Ok(pod) = shared.pod(&id.pod) else { return Ok(()) };
    let _turn = pod.turn.lock().await;
    let log = {
        let inner = pod.lock();
        match inner.containers.get(&(id.name.clone(), id.attempt)) {
            None => return Ok(()),
            Some(known) if known.is_running() => {
                return Err(Error::Precondition(format!("container {id} is running")));
            }
            Some(known) => known.record.log.clone(),
        }
    };
    if let Ok(shim) = pod.shim() {
        match shim.call(Call::Delete { container: directories::key(id) }).await {
            Ok(_) | Err(CallError::Gone) => {}
            Err(error) => return Err(refused("cannot remove the container", error)),
        }
    }
    bundle::remove(shared, &pod, &id.name, id.attempt, Some(&log)).await?;
    pod.changed(shared);
    Ok(())
}

pub(super) async fn update(
    shared: &Arc<Shared>,
    id: &ContainerId,
    resources: &Resources,
) -> Result<(), Error> {
    let pod = shared.pod(&id.pod)?;
    let _turn = pod.turn.lock().await;
    let key = (id.name.clone(), id.attempt);
    let (path, mut made) = {
        let inner = pod.lock();
        let known = inner.containers.get(&key).ok_or_else(|| missing(id))?;
        (format!("{}/{}", inner.record.cgroup, directories::key(id)), known.record.clone())
    };
    sandbox::set_limits(shared, path, resources).await?;
    made.resources = resources.clone();
    record::write(&record::container_file(&pod.directory.bundle(&id.name, id.attempt)), &made)
        .map_err(failed("cannot write down the container"))?;
    if let Some(known) = pod.lock().containers.get_mut(&key) {
        known.record = made;
    }
    pod.changed(shared);
    Ok(())
}

pub(super) async fn reopen_log(shared: &Arc<Shared>, id: &ContainerId) -> Result<(), Error> {
    let shim = shared.pod(&id.pod)?.shim()?;
    shim.call(Call::ReopenLog { container: directories::key(id) })
        .await
        .map(|_| ())
        .map_err(|error| refused("cannot open the log anew", error))
}
