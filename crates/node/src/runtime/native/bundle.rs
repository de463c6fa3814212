//! A container's bundle: makes it and removes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::mounts::PodFiles;
use super::pod::Pod;
use super::record::{self, ContainerRecord};
use super::sandbox::absent;
use super::spec::{self, Input, Processes};
use super::{Shared, cgroup, devices, directories, failed, inside, signals, user};
use crate::container::{ContainerConfig, ContainerId, Seccomp};
use crate::image::Defaults;
use crate::runtime::{Error, log_files};

/// Where its root file system is mounted.
pub(super) const ROOTFS: &str = "rootfs";

/// The signal that asks a container to end, where neither pod nor image names one.
const SIGTERM: i32 = 15;

/// Writes a bundle whose root file system is mounted, and makes its cgroup; returns what is to be kept.
pub(super) fn write(
    shared: &Shared,
    pod: &Pod,
    config: &ContainerConfig,
    defaults: &Defaults,
) -> Result<ContainerRecord, Error> {
    let directory = pod.directory.bundle(&config.id.name, config.id.attempt);
    let rootfs = directory.join(ROOTFS);
    let (sandbox, init) = {
        let inner = pod.lock();
        (inner.record.clone(), inner.init)
    };
    let passwd = inside::read(&rootfs, "etc/passwd");
    let group = inside::read(&rootfs, "etc/group");
    let identity = user::resolve(&defaults.user, &config.security, &passwd, &group).map_err(Error::Config)?;
    let stop_signal = config.stop_signal.as_ref().or(defaults.stop_signal.as_ref());
    let stop_signal = match stop_signal {
        None => SIGTERM,
        Some(name) => {
            signals::number(name).ok_or_else(|| Error::Config(format!("unknown signal {name:?}")))?
        }
    };
    let wanted = devices::wanted(config)
        .map_err(|error| Error::Config(format!("a device of the container is not there: {error}")))?;
    for mount in &config.mounts {
        // As containerd does; who minds that it is missing has said so before.
        if !mount.host_path.exists() {
            fs::create_dir_all(&mount.host_path).map_err(|error| {
                Error::Config(format!("failed to mkdir {}: {error}", mount.host_path.display()))
            })?;
        }
    }
    let path = format!("{}/{}", sandbox.cgroup, directories::key(&config.id));
    let files = PodFiles {
        hostname: pod.directory.hostname(),
        hosts: pod.directory.hosts(),
        resolv_conf: pod.directory.resolv_conf(),
        shm: if sandbox.host_ipc { PathBuf::from("/dev/shm") } else { pod.directory.shm() },
    };
    let input = Input {
        config,
        defaults,
        identity: &identity,
        files: &files,
        hostname: &sandbox.hostname,
        processes: match (sandbox.host_pid, init) {
            (true, _) => Processes::Host,
            (false, Some(init)) => Processes::Of(init),
            (false, None) => Processes::Own,
        },
        cgroup: &path,
        cgroup_views: &shared.layout.views(&path),
        devices: &wanted,
        seccomp_profile: profile(&config.security.seccomp)?,
        machine: &shared.machine,
    };
    let spec = spec::build(&input).map_err(Error::Config)?;
    let working_directory = spec::working_directory(config, defaults);
    inside::make_directory(&rootfs, Path::new(&working_directory))
        .map_err(|error| Error::Config(format!("mkdir {working_directory}: {error}")))?;
    record::write(&directory.join("config.json"), &spec)
        .map_err(failed("cannot write the container's configuration"))?;
    make_cgroup(shared, &path, config, &wanted)?;

    let log = sandbox.log_directory.join(&config.log_path);
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent).map_err(failed("cannot make the directory of logs"))?;
    }
    Ok(ContainerRecord {
        runtime_id: runtime_id(&config.id, sandbox.created_ns),
        image: config.image.clone(),
        image_id: config.image_id.clone(),
        labels: config.labels.clone(),
        resources: config.resources.clone(),
        log,
        terminal: config.terminal,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        stop_signal,
        oom_score_adj: config.security.oom_score_adj,
        start_error: None,
    })
}

fn profile(seccomp: &Seccomp) -> Result<Option<serde_json::Value>, Error> {
    let Seccomp::Localhost(path) = seccomp else { return Ok(None) };
    let bytes = fs::read(path).map_err(|error| {
        Error::Config(format!("failed to load seccomp profile {}: {error}", path.display()))
    })?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Config(format!("failed to load seccomp profile {}: {error}", path.display())))
}

fn make_cgroup(
    shared: &Shared,
    path: &str,
    config: &ContainerConfig,
    devices: &[spec::Device],
) -> Result<(), Error> {
    cgroup::create(&shared.layout, path).map_err(failed("cannot make the container's cgroup"))?;
    for (file, error) in cgroup::limit(&shared.layout, path, &config.resources, false) {
        tracing::warn!(file = %file.display(), %error, "a limit of a container cannot be set");
    }
    cgroup::contain(&shared.layout, path);
    if !config.security.privileged
        && let Err(error) = cgroup::filter_devices(&shared.layout, path, &devices::rules(devices))
    {
        tracing::warn!(container = %config.id, %error, "the devices of a container cannot be filtered");
    }
    Ok(())
}

/// 64 hexadecimal digits, as clients expect of a `containerID`; another sandbox's container has another.
fn runtime_id(id: &ContainerId, sandbox: i64) -> String {
    use std::fmt::Write;
    Sha256::digest(format!("{id} {sandbox}")).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Removes a bundle with its root file system, its cgroup and, if it is named, its log.
pub(super) async fn remove(
    shared: &Arc<Shared>,
    pod: &Pod,
    name: &str,
    attempt: u32,
    log: Option<&Path>,
) -> Result<(), Error> {
    let directory = pod.directory.bundle(name, attempt);
    let id = ContainerId { pod: pod.uid.clone(), name: name.to_owned(), attempt };
    shared.rootfs.unmount(&id, &directory.join(ROOTFS)).await;
    let path = format!("{}/{}", pod.lock().record.cgroup, directories::key(&id));
    let (owner, log) = (Arc::clone(shared), log.map(Path::to_owned));
    super::blocking(move || -> io::Result<()> {
        cgroup::remove(&owner.layout, &path)?;
        // An image that is still mounted must not be removed with the bundle: this fails then.
        absent(fs::remove_dir(directory.join(ROOTFS)))?;
        absent(fs::remove_dir_all(&directory))?;
        if let Some(parent) = directory.parent() {
            let _ = fs::remove_dir(parent);
        }
        if let Some(log) = log {
            log_files::remove(&log)?;
        }
        Ok(())
    })
    .await
    .map_err(failed("cannot remove the container"))?;
    pod.lock().containers.remove(&(id.name, attempt));
    Ok(())
}
