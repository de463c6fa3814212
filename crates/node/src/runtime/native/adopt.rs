//! Finds what an agent before this one left, when it starts: pods that run are taken over, what is half made or has lost its shim is taken down.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::directories::{self, PodDirectory};
use super::pod::{Known, Pod};
use super::record::{self, ContainerRecord, SandboxRecord};
use super::{Shared, bundle, failed, sandbox};
use crate::container::{ContainerId, PodUid};
use crate::runtime::Error;

pub(super) async fn all(shared: &Arc<Shared>) -> Result<(), Error> {
    let entries = fs::read_dir(directories::pods(&shared.options.directory))
        .map_err(failed("cannot read the directory of pods"))?;
    for entry in entries.flatten() {
        let Some(uid) = entry.file_name().to_str().and_then(PodUid::new) else { continue };
        if let Err(error) = adopt(shared, &uid).await {
            // The others are not to wait for it; what is known of it is removed with the pod.
            tracing::error!(pod = %uid, %error, "a pod of an earlier agent cannot be taken over");
        }
    }
    let connected: Vec<PodUid> = {
        let pods = shared.pods.lock();
        pods.values()
            .filter(|pod| pod.is_ready() && !pod.lock().record.host_network)
            .map(|pod| pod.uid.clone())
            .collect()
    };
    shared.network.retain(&connected).await.map_err(Error::Network)
}

async fn adopt(shared: &Arc<Shared>, uid: &PodUid) -> Result<(), Error> {
    let directory = PodDirectory::new(&shared.options.directory, uid);
    // Without a record it is no sandbox, but a directory of other parts of the node.
    let read = record::read::<SandboxRecord>(&directory.record())
        .map_err(failed("cannot read the sandbox's record"))?;
    let Some(found) = read else { return Ok(()) };
    let (started, stopped) = (found.started, found.stopped);
    let pod = Arc::new(Pod::new(uid.clone(), directory, found));
    shared.pods.lock().insert(uid.clone(), Arc::clone(&pod));
    containers(shared, &pod).await?;
    if stopped {
        return Ok(());
    }
    let _turn = pod.turn.lock().await;
    if started && pod.connect(shared).await.is_ok() {
        return Ok(());
    }
    sandbox::take_down(shared, &pod).await
}

/// Reads the records of its containers, and removes what is left of those that were not created whole.
async fn containers(shared: &Arc<Shared>, pod: &Pod) -> Result<(), Error> {
    for name in names(&pod.directory.containers()) {
        for attempt in names(&pod.directory.containers().join(&name)) {
            let Ok(attempt) = attempt.parse::<u32>() else { continue };
            let directory = pod.directory.bundle(&name, attempt);
            let file = record::container_file(&directory);
            let found =
                record::read::<ContainerRecord>(&file).map_err(failed("cannot read a container's record"))?;
            if let Some(found) = found {
                let live =
                    sampan_shim::read_state(&directory).map_err(failed("cannot read a container's state"))?;
                pod.lock().containers.insert((name.clone(), attempt), Known::new(found, live));
                continue;
            }
            let id = ContainerId { pod: pod.uid.clone(), name: name.clone(), attempt };
            let rootfs = directory.join(bundle::ROOTFS);
            shared.rootfs.unmount(&id, &rootfs).await;
            sandbox::absent(fs::remove_dir(rootfs)).map_err(failed("cannot remove a half-made container"))?;
        }
    }
    Ok(())
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
