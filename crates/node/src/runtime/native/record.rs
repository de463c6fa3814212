//! What is written down of a sandbox and its containers, so that a restarted agent finds its pods. Fields may be added, never changed or removed.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::container::Resources;

/// A sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches")]
pub(super) struct SandboxRecord {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) created_ns: i64,
    /// Whether it was made whole.
    pub(super) started: bool,
    /// Whether it was taken down.
    pub(super) stopped: bool,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) cgroup: String,
    pub(super) log_directory: PathBuf,
    pub(super) host_network: bool,
    pub(super) host_pid: bool,
    pub(super) share_process: bool,
    pub(super) host_ipc: bool,
    /// What programs inside see as their host's name.
    pub(super) hostname: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Its limits; earlier agents did not write them down.
    #[serde(default)]
    pub(super) resources: Option<Resources>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerRecord {
    pub(super) runtime_id: String,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) resources: Resources,
    /// Absolute.
    pub(super) log: PathBuf,
    pub(super) terminal: bool,
    pub(super) stdin: bool,
    pub(super) stdin_once: bool,
    pub(super) stop_signal: i32,
    pub(super) oom_score_adj: i32,
    /// Why it could not be started.
    pub(super) start_error: Option<StartError>,
}

/// Why a container could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartError {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) at_ns: i64,
}

/// The record of a container in its bundle.
pub(super) fn container_file(bundle: &Path) -> PathBuf {
    bundle.join("container.json")
}

/// Replaces a file whole: a reader never sees a half.
pub(super) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(value)?)?;
    std::fs::rename(new, path)
}

/// `None` if there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

pub(super) fn time(ns: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}
