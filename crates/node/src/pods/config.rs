//! From a pod of the API to what a runtime is given: everything that is said indirectly is worked out here.
//!
//! Pure, except for `files`, which writes the few files that a container finds mounted.

mod container;
mod dns;
pub(crate) mod files;
mod hosts;
pub(crate) mod qos;
mod resources;
mod sandbox;
mod security;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::parts::NodeFacts;
use crate::container::{ContainerId, PodUid};

pub use container::{Inputs, container};
pub use resources::of_container as container_resources;
pub use sandbox::{pod_resources, sandbox};

/// Why a pod cannot be given to a runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The object is not whole. The API server lets no such pod in.
    #[error("the pod has no {0}")]
    Incomplete(&'static str),
    /// It must not run as root, and would.
    #[error("{0}")]
    Root(String),
    /// An amount is no quantity.
    #[error("{0:?} is no quantity")]
    Quantity(String),
    /// A number does not fit.
    #[error("{what} {value} is out of range")]
    Range {
        /// Of what.
        what: &'static str,
        /// The number.
        value: i64,
    },
    /// A volume is not there.
    #[error("volume \"{0}\" not found")]
    NoVolume(String),
}

/// When the image is to be pulled: what the API server has written down, or its default.
pub fn pull_policy(container: &Container) -> &str {
    container.image_pull_policy.as_deref().unwrap_or("IfNotPresent")
}

/// An ephemeral container as the container that it is.
pub fn ephemeral(spec: &PodSpec, name: &str) -> Option<Container> {
    let found = spec.ephemeral_containers.iter().flatten().find(|c| c.name == name)?.clone();
    Some(Container {
        args: found.args,
        command: found.command,
        env: found.env,
        env_from: found.env_from,
        image: found.image,
        image_pull_policy: found.image_pull_policy,
        name: found.name,
        resources: found.resources,
        security_context: found.security_context,
        stdin: found.stdin,
        stdin_once: found.stdin_once,
        termination_message_path: found.termination_message_path,
        termination_message_policy: found.termination_message_policy,
        tty: found.tty,
        volume_devices: found.volume_devices,
        volume_mounts: found.volume_mounts,
        working_dir: found.working_dir,
        ..Container::default()
    })
}

/// `NAMESPACE_NAME_UID`, below the directory of logs.
pub fn log_directory(pod: &Pod) -> PathBuf {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let meta = &pod.metadata;
    PathBuf::from(format!("{}_{}_{}", text(&meta.namespace), text(&meta.name), text(&meta.uid)))
}

/// `NAME/ATTEMPT.log`, below that.
pub fn log_path(id: &ContainerId) -> PathBuf {
    PathBuf::from(&id.name).join(format!("{}.log", id.attempt))
}

/// The directory of a pod.
pub fn pod_directory(node: &NodeFacts, uid: &PodUid) -> PathBuf {
    node.pods.join(uid.as_str())
}

/// Where a container writes its last words.
pub fn termination_log(node: &NodeFacts, id: &ContainerId) -> PathBuf {
    let directory = pod_directory(node, &id.pod).join("containers").join(&id.name);
    directory.join(id.attempt.to_string()).join("termination-log")
}

/// A pod as errors name it: `NAME_NAMESPACE(UID)`.
pub(crate) fn in_words(pod: &Pod) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let meta = &pod.metadata;
    format!("{}_{}({})", text(&meta.name), text(&meta.namespace), text(&meta.uid))
}

/// A duration as Go writes it, in milliseconds: `1.234s`, `56ms`, `2m3.4s`.
pub fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
