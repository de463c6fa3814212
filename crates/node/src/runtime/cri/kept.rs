//! What a runtime keeps beside a sandbox or container for us, in an annotation, since the protocol has no place of its own for it.
//!
//! A restarted node reads it there, so that it has nothing else to remember. Whoever has no such annotation was made by somebody else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::container::{ContainerConfig, Resources, SandboxConfig};

/// The name of the annotation.
pub(super) const ANNOTATION: &str = "io.sampan.kept";

/// Of a sandbox: what its containers are made with, and what is to be removed with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches of the API")]
pub(super) struct Sandbox {
    pub(super) cgroup: String,
    pub(super) log_directory: PathBuf,
    pub(super) hostname: String,
    pub(super) host_network: bool,
    pub(super) host_pid: bool,
    pub(super) host_ipc: bool,
    pub(super) share_process: bool,
    pub(super) resources: Resources,
}

impl Sandbox {
    pub(super) fn of(config: &SandboxConfig) -> Self {
        Self {
            cgroup: config.cgroup_parent.clone(),
            log_directory: config.log_directory.clone(),
            hostname: config.hostname.clone().unwrap_or_default(),
            host_network: config.namespaces.host_network,
            host_pid: config.namespaces.host_pid,
            host_ipc: config.namespaces.host_ipc,
            share_process: config.namespaces.share_process,
            resources: config.resources.clone(),
        }
    }
}

/// Of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) image: String,
    pub(super) terminal: bool,
    pub(super) resources: Resources,
}

impl Container {
    pub(super) fn of(config: &ContainerConfig) -> Self {
        Self { image: config.image.clone(), terminal: config.terminal, resources: config.resources.clone() }
    }
}

/// As an annotation.
pub(super) fn write(kept: &impl Serialize) -> (String, String) {
    let text = serde_json::to_string(kept).expect("it is made of texts, numbers and switches");
    (ANNOTATION.to_owned(), text)
}

/// From the annotations, if it is there.
pub(super) fn read<T: DeserializeOwned>(annotations: &BTreeMap<String, String>) -> Option<T> {
    serde_json::from_str(annotations.get(ANNOTATION)?).ok()
}
