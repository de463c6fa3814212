//! What the node asks of whoever runs its containers, in the CRI's terms, so that a runtime over CRI is a translation and no more.
//!
//! Every call is idempotent: it may be repeated after a crash in the middle. None of them waits for another pod's.

mod cgroup;
pub mod cri;
pub mod fake;
mod hidden;
mod log_files;
pub mod native;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc};

use crate::container::{ContainerConfig, ContainerId, PodUid, Resources, SandboxConfig};

/// Runs sandboxes and containers.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// What it is: for the node's `containerRuntimeVersion`, and for what the machine withholds.
    fn about(&self) -> About;

    /// Makes what the containers of a pod share, the network included, or returns what is there.
    async fn start_sandbox(&self, config: &SandboxConfig) -> Result<Sandbox, Error>;

    /// Kills what runs in it and takes its namespaces, network, mounts and cgroup down. Containers and their exits stay until they are removed.
    async fn stop_sandbox(&self, pod: &PodUid) -> Result<(), Error>;

    /// Removes a stopped sandbox with its containers; nothing of it is left.
    async fn remove_sandbox(&self, pod: &PodUid) -> Result<(), Error>;

    /// All there are, with their containers: what a restarted node adopts.
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error>;

    /// One of them.
    async fn sandbox(&self, pod: &PodUid) -> Result<Option<Sandbox>, Error>;

    /// Creates a container in a running sandbox.
    async fn create_container(&self, config: &ContainerConfig) -> Result<(), Error>;

    /// Starts a created container.
    async fn start_container(&self, id: &ContainerId) -> Result<(), Error>;

    /// Asks it to end with its stop signal, kills it when `grace` is over, and returns when it has ended. A second call with a shorter time holds.
    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), Error>;

    /// Removes a container that does not run.
    async fn remove_container(&self, id: &ContainerId) -> Result<(), Error>;

    /// Changes the limits of a running container.
    async fn update_resources(&self, id: &ContainerId, resources: &Resources) -> Result<(), Error>;

    /// Changes the limits of a pod as a whole.
    async fn update_sandbox_resources(&self, pod: &PodUid, resources: &Resources) -> Result<(), Error>;

    /// Runs a command in a running container.
    async fn exec(&self, id: &ContainerId, command: &ExecConfig) -> Result<Session, Error>;

    /// Joins the streams of a running container.
    async fn attach(&self, id: &ContainerId, wanted: Wanted) -> Result<Session, Error>;

    /// Connects to a port of the pod's own loopback.
    async fn connect(&self, pod: &PodUid, port: u16) -> Result<Box<dyn Duplex>, Error>;

    /// Opens the container's log file anew, after it was moved away.
    async fn reopen_log(&self, id: &ContainerId) -> Result<(), Error>;

    /// What a pod's containers use.
    async fn usage(&self, pod: &PodUid) -> Result<Usage, Error>;

    /// Bytes that each container of a pod wrote into its root file system, by name. It may take as long as there are files.
    async fn written(&self, pod: &PodUid) -> Result<BTreeMap<String, u64>, Error>;

    /// Tells that something about a pod changed. Whoever lags behind asks for the sandboxes.
    fn changes(&self) -> broadcast::Receiver<PodUid>;
}

/// What a runtime is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `sampan`, `containerd` ...
    pub name: String,
    /// Its version.
    pub version: String,
    /// What the machine withholds, one sentence each: for the log and the node's conditions.
    pub withheld: Vec<String>,
}

/// A sandbox as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The pod.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether its namespaces are there.
    pub ready: bool,
    /// When it was made.
    pub created_at: SystemTime,
    /// Addresses of the pod, the first one first; none on the host's network.
    pub addresses: Vec<std::net::IpAddr>,
    /// The limits it has as a whole, if the runtime knows.
    pub resources: Option<Resources>,
    /// Its containers, those that ended included.
    pub containers: Vec<Container>,
}

/// A container as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Which.
    pub id: ContainerId,
    /// The runtime's own id, for `containerID` in the status.
    pub runtime_id: String,
    /// The reference by which the pod named its image.
    pub image: String,
    /// The id of its image.
    pub image_id: String,
    /// What it does.
    pub state: State,
    /// The labels it was created with.
    pub labels: BTreeMap<String, String>,
    /// The limits it has.
    pub resources: Resources,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was created and not started.
    Created,
    /// It runs.
    Running {
        /// Since when.
        started_at: SystemTime,
    },
    /// It ended.
    Exited {
        /// When it had started; `None` if it could not be.
        started_at: Option<SystemTime>,
        /// When it ended.
        finished_at: SystemTime,
        /// Its exit code; 128 and the signal's number if a signal ended it.
        code: i32,
        /// The signal that ended it, 0 if none did.
        signal: i32,
        /// Whether the kernel killed it for want of memory.
        out_of_memory: bool,
        /// Why it could not be started, if so.
        message: String,
    },
}

/// A command to run in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Which of its streams are wanted.
    pub wanted: Wanted,
}

/// Streams that somebody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error; never with a terminal.
    pub stderr: bool,
}

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The streams of a command or container. Dropping it lets go of them; a command whose session is dropped is killed, an attached container is not.
pub struct Session {
    /// Its standard input, if wanted; dropped when it is to end.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its standard output, if wanted; with a terminal, all its output.
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Its standard error, if wanted.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Sizes for its terminal.
    pub resize: mpsc::Sender<TerminalSize>,
    /// Resolves when it has ended.
    pub exit: tokio::sync::oneshot::Receiver<Result<i32, Error>>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// What a pod uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of each container by name.
    pub containers: Vec<(String, ContainerUsage)>,
    /// Of the pod as a whole.
    pub pod: ContainerUsage,
    /// Bytes received and sent by its network interface since it was made.
    pub network: Option<(u64, u64)>,
}

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Processor time since it started.
    pub cpu_nanoseconds: u64,
    /// Memory less the inactive file cache.
    pub memory_working_set_bytes: u64,
    /// All memory.
    pub memory_usage_bytes: u64,
    /// Anonymous memory.
    pub memory_rss_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// Why a runtime could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such sandbox or container (any more).
    #[error("{0} is not there")]
    NotFound(String),
    /// The container is in a state in which that cannot be done.
    #[error("{0}")]
    Precondition(String),
    /// The configuration of the container cannot be carried out: `CreateContainerConfigError`.
    #[error("{0}")]
    Config(String),
    /// The command could not be executed: `RunContainerError`, exit code 128 (126, 127 of a shell's meaning).
    #[error("{message}")]
    Start {
        /// The exit code that the kubelet shows.
        code: i32,
        /// Why.
        message: String,
    },
    /// The network of the pod could not be made.
    #[error("cannot set up the pod's network")]
    Network(#[source] crate::network::Error),
    /// The runtime itself failed or is not there.
    #[error("{context}")]
    Failed {
        /// What was tried.
        context: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
