//! The mounts of a container, in the order in which they are made. Pure.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use crate::container::{ContainerConfig, Mount, Propagation};

/// Files and directories of the pod that every container sees.
#[derive(Clone, Debug)]
pub(super) struct PodFiles {
    pub(super) hostname: PathBuf,
    pub(super) hosts: PathBuf,
    pub(super) resolv_conf: PathBuf,
    pub(super) shm: PathBuf,
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

/// What every container has, then the pod's files, then the container's own mounts, those of fewer path components first:
/// a mount must not hide one that was made before it below.
pub(super) fn all(
    config: &ContainerConfig,
    files: &PodFiles,
    cgroups: &[(String, PathBuf)],
) -> Result<Vec<Value>, String> {
    let mut wanted: Vec<(PathBuf, &Mount)> = config
        .mounts
        .iter()
        .map(|mount| Ok((destination(&mount.container_path)?, mount)))
        .collect::<Result<_, String>>()?;
    wanted.sort_by_key(|(destination, _)| destination.components().count());
    let taken = |destination: &str| wanted.iter().any(|(wanted, _)| wanted == Path::new(destination));

    let writable = if config.security.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", writable]),
    ];
    if cgroups.is_empty() {
        mounts.push(mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", writable],
        ));
    } else {
        // Version 1 by binds: libcontainer's own way looks for a process that a shared namespace may not have.
        mounts.push(mount(
            "/sys/fs/cgroup",
            "tmpfs",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=755", "size=64k"],
        ));
        mounts.extend(cgroups.iter().map(|(controller, source)| {
            let options = ["bind", "nosuid", "noexec", "nodev", "relatime", writable];
            let destination = format!("/sys/fs/cgroup/{controller}");
            json!({"destination": destination, "type": "bind", "source": source, "options": options})
        }));
    }
    let read_only = if config.security.read_only_root { "ro" } else { "rw" };
    let bind = |destination: &str, source: &Path, options: &[&str]| json!({"destination": destination, "type": "bind", "source": source, "options": options});
    let own = [
        ("/etc/hostname", &files.hostname, read_only),
        ("/etc/hosts", &files.hosts, read_only),
        ("/etc/resolv.conf", &files.resolv_conf, read_only),
        ("/dev/shm", &files.shm, "rw"),
    ];
    mounts.extend(
        own.into_iter()
            .map(|(destination, source, write)| bind(destination, source, &["rbind", "rprivate", write])),
    );
    mounts.retain(|mount| !mount["destination"].as_str().is_some_and(taken));
    for (destination, wanted) in &wanted {
        let propagation = match wanted.propagation {
            Propagation::Private => "rprivate",
            Propagation::HostToContainer => "rslave",
            Propagation::Bidirectional => "rshared",
        };
        let write = if wanted.read_only { "ro" } else { "rw" };
        let mut options = vec!["rbind", propagation, write];
        if wanted.recursive_read_only {
            options.push("rro");
        }
        mounts.push(json!({"destination": destination, "type": "bind", "source": wanted.host_path, "options": options}));
    }
    Ok(mounts)
}

/// The propagation of the root, on which that of the mounts below depends.
pub(super) fn root_propagation(config: &ContainerConfig) -> Option<&'static str> {
    config.mounts.iter().any(|mount| mount.propagation == Propagation::Bidirectional).then_some("shared")
}

/// A path inside, from the root and without steps back.
fn destination(path: &Path) -> Result<PathBuf, String> {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("mount path {} must not contain '..'", path.display()));
            }
        }
    }
    if clean == Path::new("/") {
        return Err(format!("mount path \"{}\" is the container's root", path.display()));
    }
    Ok(clean)
}
