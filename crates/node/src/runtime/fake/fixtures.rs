//! Configurations with nothing special in them, for tests to change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::container::{
    ContainerConfig, ContainerId, Namespaces, PodUid, Resources, SandboxConfig, Security,
};

/// A sandbox.
pub fn sandbox_config(uid: &PodUid, namespace: &str, name: &str, log_directory: &Path) -> SandboxConfig {
    SandboxConfig {
        uid: uid.clone(),
        namespace: namespace.into(),
        name: name.into(),
        hostname: Some(name.into()),
        namespaces: Namespaces::default(),
        sysctls: BTreeMap::new(),
        ports: Vec::new(),
        dns: None,
        cgroup_parent: format!("/kubepods/pod{uid}"),
        resources: Resources::default(),
        log_directory: log_directory.to_owned(),
        labels: BTreeMap::new(),
    }
}

/// A container that runs `command`; its log is `NAME/ATTEMPT.log`.
pub fn container_config(id: &ContainerId, command: &[&str]) -> ContainerConfig {
    ContainerConfig {
        id: id.clone(),
        image_id: "sha256:0".into(),
        image: "fake".into(),
        command: command.iter().map(|&word| word.to_owned()).collect(),
        args: Vec::new(),
        environment: Vec::new(),
        working_directory: None,
        mounts: Vec::new(),
        devices: Vec::new(),
        security: Security::default(),
        resources: Resources::default(),
        terminal: false,
        stdin: false,
        stdin_once: false,
        stop_signal: None,
        log_path: PathBuf::from(format!("{}/{}.log", id.name, id.attempt)),
        labels: BTreeMap::new(),
    }
}
