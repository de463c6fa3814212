//! What a pod's worker works with: the parts of the node, as far as it sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tokio::sync::mpsc;

use crate::container::{ContainerId, PodUid};
use crate::environment::Environment;
use crate::image::Images;
use crate::runtime::Runtime;

/// The parts of the node that a worker works with.
#[derive(Clone)]
pub struct Parts {
    /// Runs the containers.
    pub runtime: Arc<dyn Runtime>,
    /// Keeps the images.
    pub images: Arc<dyn Images>,
    /// Makes the volumes.
    pub volumes: Arc<dyn Volumes>,
    /// Fetches what environments and pulls refer to.
    pub sources: Arc<dyn Sources>,
    /// Looks after running containers.
    pub health: Arc<dyn Health>,
    /// Tells the API.
    pub reporter: Arc<dyn Reporter>,
    /// The node itself.
    pub node: Arc<NodeFacts>,
}

/// What workers need to know of the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its addresses, the first one first.
    pub addresses: Vec<IpAddr>,
    /// What pods may use of it.
    pub allocatable: BTreeMap<String, Quantity>,
    /// Addresses of the cluster's DNS.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain: `cluster.local`.
    pub cluster_domain: String,
    /// Where logs are.
    pub logs: PathBuf,
    /// Where pods' directories are.
    pub pods: PathBuf,
    /// The most processes of a pod; `None` has no limit.
    pub pod_pids_limit: Option<i64>,
    /// Memory of the machine, for `oom_score_adj`.
    pub memory_bytes: u64,
}

/// Makes the volumes of pods.
#[async_trait]
pub trait Volumes: Send + Sync + 'static {
    /// Makes all volumes of a pod, and from then on keeps up those that follow objects. Repeated, it goes on where it was.
    async fn mount(&self, pod: &Pod) -> Result<(), VolumeError>;

    /// A later version of a pod whose volumes are there: its labels and annotations may have changed.
    async fn update(&self, pod: &Pod);

    /// Where a volume of a mounted pod is on the host; `None` if the pod has no such volume.
    fn path(&self, pod: &PodUid, volume: &str) -> Option<PathBuf>;

    /// Where a path below a volume is on the host, for the mount number `place` of a container: made if it is missing, and never outside of the volume, whatever links
    /// the volume's contents have (or come to have).
    async fn sub_path(
        &self,
        id: &ContainerId,
        place: usize,
        volume: &str,
        path: &str,
    ) -> Result<PathBuf, String>;

    /// Lets go of the volumes of a pod. It may be gone from the API.
    async fn unmount(&self, pod: &PodUid) -> Result<(), VolumeError>;
}

/// Why the volumes of a pod are not there: the event `FailedMount`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {message}")]
pub struct VolumeError {
    /// Which.
    pub volume: String,
    /// Why.
    pub message: String,
}

/// Fetches what pods refer to.
#[async_trait]
pub trait Sources: Send + Sync + 'static {
    /// The environment of a container.
    async fn environment(
        &self,
        pod: &Pod,
        container: &Container,
        pod_ips: &[IpAddr],
    ) -> Result<Environment, String>;

    /// Who may pull the images of a pod.
    async fn pull_credentials(&self, pod: &Pod, image: &str) -> Vec<crate::image::Credentials>;
}

/// What is said of a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of which start.
    pub id: ContainerId,
    /// What.
    pub verdict: Verdict,
}

/// What is said of a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has started: its hook has ended, its startup probe has succeeded.
    Started,
    /// It is ready, or not.
    Ready(bool),
    /// It is to be killed: a hook, or a startup or liveness probe, failed.
    Unhealthy(super::memory::Unhealthy),
}

/// Looks after running containers: probes and hooks.
#[async_trait]
pub trait Health: Send + Sync + 'static {
    /// Runs a hook of a running container to its end, whatever time that takes. What went wrong is in the kubelet's words.
    async fn run_hook(
        &self,
        pod: &Pod,
        container: &Container,
        id: &ContainerId,
        hook: &LifecycleHandler,
    ) -> Result<(), String>;

    /// Begins to look after a container that runs; findings go to `findings` until what is returned is dropped. `is_new` says that it was started just now: then its hook
    /// runs.
    fn look_after(
        &self,
        pod: &Arc<Pod>,
        container: &Container,
        start: Start,
        findings: mpsc::Sender<Finding>,
    ) -> Box<dyn Send>;
}

/// A start of a container, for those who look after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub id: ContainerId,
    /// Since when it runs.
    pub started_at: std::time::SystemTime,
    /// Addresses of the pod.
    pub pod_ips: Vec<IpAddr>,
    /// Whether it was started just now, and not found running.
    pub is_new: bool,
}

/// Whether an event tells of something usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does.
    Normal,
    /// It does not.
    Warning,
}

/// Tells the API of pods.
pub trait Reporter: Send + Sync + 'static {
    /// Something happened to a pod, or to a container of it.
    fn event(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &str, message: &str);

    /// The status of a pod. Only the newest counts.
    fn status(&self, pod: &Pod, status: PodStatus);

    /// Nothing of a deleted pod is left: its object may go.
    fn gone(&self, pod: &Pod);
}
