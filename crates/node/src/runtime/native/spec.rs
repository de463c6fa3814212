//! A container's configuration as an OCI runtime specification (`config.json`). Pure: what it depends on is handed in.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::machine::Machine;
use super::mounts::{self, PodFiles};
use super::user::Identity;
use super::{capabilities, seccomp};
use crate::container::{ContainerConfig, Seccomp};
use crate::image::Defaults;
use crate::runtime::hidden::{MASKED, READ_ONLY};

/// The search path of images that name none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a specification is made of.
pub(super) struct Input<'a> {
    pub(super) config: &'a ContainerConfig,
    pub(super) defaults: &'a Defaults,
    pub(super) identity: &'a Identity,
    pub(super) files: &'a PodFiles,
    pub(super) hostname: &'a str,
    /// The namespace of processes: the host's, one that is there, or one of its own.
    pub(super) processes: Processes,
    pub(super) cgroup: &'a str,
    /// Version 1: what it sees of each controller.
    pub(super) cgroup_views: &'a [(String, PathBuf)],
    /// Devices besides the usual ones.
    pub(super) devices: &'a [Device],
    /// The profile of `Seccomp::Localhost`.
    pub(super) seccomp_profile: Option<Value>,
    pub(super) machine: &'a Machine,
}

/// Whose processes a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processes {
    Host,
    Own,
    /// Those of the namespace of this process.
    Of(i32),
}

/// A device as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) path: String,
    pub(super) block: bool,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Of `r`, `w`, `m`.
    pub(super) access: String,
}

/// The specification; an error is the pod's to mend.
pub(super) fn build(input: &Input<'_>) -> Result<Value, String> {
    let Input { config, defaults, identity, machine, .. } = input;
    let security = &config.security;
    let granted = capabilities::granted(security, &machine.capabilities, machine.device_filter)?;
    let filter = match &security.seccomp {
        _ if security.privileged || !machine.seccomp => None,
        Seccomp::Unconfined => None,
        Seccomp::RuntimeDefault => Some(seccomp::runtime_default(&granted)),
        Seccomp::Localhost(_) => input.seccomp_profile.clone(),
    };
    let names = |extra: &[&str]| {
        granted
            .iter()
            .chain(extra)
            .map(|name| format!("CAP_{name}"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    // A filter without `no_new_privs` takes CAP_SYS_ADMIN to install. It is in no set that outlives the `execve` which follows.
    let installs =
        filter.is_some() && !security.no_new_privileges && machine.capabilities.contains("SYS_ADMIN");
    let until_exec = names(if installs { &["SYS_ADMIN"] } else { &[] });

    let mut process = json!({
        "terminal": config.terminal,
        "user": {"uid": identity.uid, "gid": identity.gid, "additionalGids": identity.groups},
        "args": command(config, defaults)?,
        "env": environment(input),
        "cwd": working_directory(config, defaults),
        "capabilities": {"bounding": names(&[]), "effective": until_exec, "permitted": until_exec, "inheritable": [], "ambient": []},
        "noNewPrivileges": security.no_new_privileges,
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": machine.open_files, "soft": machine.open_files.min(1 << 20)}],
    });
    if let Some(profile) = security.apparmor.as_ref().filter(|_| machine.apparmor && !security.privileged) {
        process["apparmorProfile"] = json!(profile);
    }

    let mut namespaces = vec![json!({"type": "mount"})];
    match input.processes {
        Processes::Host => {}
        Processes::Own => namespaces.push(json!({"type": "pid"})),
        Processes::Of(pid) => namespaces.push(json!({"type": "pid", "path": format!("/proc/{pid}/ns/pid")})),
    }
    if machine.cgroup_namespace && !security.privileged {
        namespaces.push(json!({"type": "cgroup"}));
    }
    let open = security.privileged || security.unmasked_proc;
    let mut linux = json!({
        "namespaces": namespaces,
        "cgroupsPath": input.cgroup,
        "devices": input.devices.iter().map(device).collect::<Vec<_>>(),
        "maskedPaths": if open { &[][..] } else { &MASKED },
        "readonlyPaths": if open { &[][..] } else { &READ_ONLY },
    });
    if let Some(propagation) = mounts::root_propagation(config) {
        linux["rootfsPropagation"] = json!(propagation);
    }
    if let Some(filter) = filter {
        linux["seccomp"] = filter;
    }
    Ok(json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs", "readonly": security.read_only_root},
        "mounts": mounts::all(config, input.files, input.cgroup_views)?,
        "process": process,
        "linux": linux,
    }))
}

fn device(device: &Device) -> Value {
    let kind = if device.block { "b" } else { "c" };
    json!({"path": device.path, "type": kind, "major": device.major, "minor": device.minor, "fileMode": device.mode, "uid": device.uid, "gid": device.gid})
}

/// The pod's command replaces the image's entry point, and with it the image's arguments.
fn command(config: &ContainerConfig, defaults: &Defaults) -> Result<Vec<String>, String> {
    let (entry, arguments) = match (config.command.is_empty(), config.args.is_empty()) {
        (true, true) => (&defaults.entrypoint, &defaults.command),
        (true, false) => (&defaults.entrypoint, &config.args),
        (false, _) => (&config.command, &config.args),
    };
    let all: Vec<String> = entry.iter().chain(arguments).cloned().collect();
    if all.is_empty() { Err("no command specified".to_owned()) } else { Ok(all) }
}

/// The image's variables, the machine's, then the pod's; of those with one name the last, in its first place.
fn environment(input: &Input<'_>) -> Vec<String> {
    let Input { config, defaults, identity, hostname, .. } = input;
    let mut all: Vec<(String, String)> = vec![("PATH".to_owned(), PATH.to_owned())];
    let mut set = |name: &str, value: &str| match all.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => all.push((name.to_owned(), value.to_owned())),
    };
    for (name, value) in defaults.environment.iter().filter_map(|entry| entry.split_once('=')) {
        set(name, value);
    }
    set("HOSTNAME", hostname);
    if config.terminal {
        set("TERM", "xterm");
    }
    for (name, value) in &config.environment {
        set(name, value);
    }
    if !all.iter().any(|(name, value)| name == "HOME" && !value.is_empty()) {
        all.retain(|(name, _)| name != "HOME");
        all.push(("HOME".to_owned(), identity.home.clone()));
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

pub(super) fn working_directory(config: &ContainerConfig, defaults: &Defaults) -> String {
    let wanted = config
        .working_directory
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or(&defaults.working_directory);
    // A relative one, which some images have, is below the root.
    if wanted.is_empty() {
        "/".to_owned()
    } else {
        Path::new("/").join(wanted).to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests;
