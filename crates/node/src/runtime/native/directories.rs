//! Where the native runtime keeps what it knows of a pod: names only. `docs/node.md` has the whole tree.

use std::path::{Path, PathBuf};

use crate::container::{ContainerId, PodUid};

/// The directory of one pod. Other parts of the node keep their files in it too.
#[derive(Clone, Debug)]
pub(super) struct PodDirectory(PathBuf);

impl PodDirectory {
    pub(super) fn new(node: &Path, pod: &PodUid) -> Self {
        Self(pods(node).join(pod.as_str()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What was asked for, and how far it came.
    pub(super) fn record(&self) -> PathBuf {
        self.0.join("sandbox.json")
    }

    pub(super) fn shim_setup(&self) -> PathBuf {
        self.0.join("shim.json")
    }

    pub(super) fn shim_socket(&self) -> PathBuf {
        self.0.join("shim.sock")
    }

    pub(super) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// libcontainer's state.
    pub(super) fn oci(&self) -> PathBuf {
        self.0.join("oci")
    }

    pub(super) fn shm(&self) -> PathBuf {
        self.0.join("shm")
    }

    pub(super) fn hostname(&self) -> PathBuf {
        self.0.join("hostname")
    }

    pub(super) fn hosts(&self) -> PathBuf {
        self.0.join("hosts")
    }

    pub(super) fn resolv_conf(&self) -> PathBuf {
        self.0.join("resolv.conf")
    }

    pub(super) fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }

    /// A container's bundle.
    pub(super) fn bundle(&self, name: &str, attempt: u32) -> PathBuf {
        self.containers().join(name).join(attempt.to_string())
    }
}

/// Where pods are.
pub(super) fn pods(node: &Path) -> PathBuf {
    node.join("pods")
}

/// A container's id among those of its pod: as the shim and cgroups know it.
pub(super) fn key(id: &ContainerId) -> String {
    format!("{}_{}", id.name, id.attempt)
}

/// Whether a container's name may be a file's. The API lets nothing else through; static pods and tests might.
pub(super) fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
