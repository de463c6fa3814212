//! Where the pods of the node come from: the API (`api`), and a directory of manifests (`files`, `manifest`). Both tell the manager what is wanted, in one stream.

pub mod api;
mod defaults;
pub mod files;
mod manifest;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use crate::container::PodUid;

/// What a static pod says of where it comes from.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// The version of a static pod.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// When a static pod was seen.
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
/// On a mirror pod: the version of the static pod that it shows.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// Updates that may wait for the manager; a source that finds the queue full waits.
const QUEUE: usize = 64;

/// Where a pod comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The API.
    Api,
    /// The directory of manifests.
    Files,
}

/// What is new about the pods of an origin.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A pod is wanted like this.
    Set(Origin, Arc<Pod>),
    /// A pod is not wanted any more: its object is gone.
    Remove(Origin, PodUid),
    /// These are wanted, and no others.
    All(Origin, Vec<Arc<Pod>>),
}

/// The stream of updates.
pub fn channel() -> (mpsc::Sender<Update>, mpsc::Receiver<Update>) {
    mpsc::channel(QUEUE)
}

/// The version of a static pod; `None` for the API's pods.
pub fn config_hash(pod: &Pod) -> Option<String> {
    let annotations = pod.metadata.annotations.as_ref()?;
    let is_static = annotations.get(CONFIG_SOURCE).is_some_and(|source| source != "api");
    annotations.get(CONFIG_HASH).filter(|_| is_static && !annotations.contains_key(CONFIG_MIRROR)).cloned()
}
