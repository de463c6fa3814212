//! Runs pods by another's container runtime (containerd, CRI-O) over the CRI.
//!
//! A translation and no more: nothing about a container is kept here, each call asks the runtime which of its ids is meant, by the
//! kubelet's labels. Two things are the node's own work, as they are the kubelet's: the cgroup of a pod, and the rotation of logs.
//! The pod network is the runtime's (CNI).
//!
//! Changes are told by the runtime's events where it has any (`GetContainerEvents`, containerd 1.7 and CRI-O). A runtime without them
//! (containerd 1.6) is asked once a second for a list, as the kubelet does: the protocol has no other way to learn of an exit. Nothing
//! else here polls, but for the sizes of logs.

mod changes;
mod containers;
mod dial;
mod kept;
mod logs;
mod observed;
mod pod_cgroup;
mod request;
mod sandboxes;
mod streams;
mod usage;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::cgroup::Layout;
use super::{About, Duplex, Error, ExecConfig, Runtime, Sandbox, Session, Usage, Wanted};
use crate::container::{ContainerConfig, ContainerId, PodUid, Resources, SandboxConfig};
use crate::cri::{Client, Code, Status, messages as cri};

/// How many changes wait for whoever hears of them, before it has to ask for everything.
const CHANGES: usize = 1024;

/// How pods are run, besides what the runtime's own configuration says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes of one log file; 0 is without a limit.
    pub log_file_bytes: u64,
    /// Most log files of one container.
    pub log_files: u32,
    /// Limits of all pods together, so that the machine lives whatever they do.
    pub limits: Resources,
}

/// The runtime. Clones are the same one.
#[derive(Clone)]
pub struct CriRuntime(Arc<Shared>);

struct Shared {
    client: Client,
    options: Options,
    about: About,
    layout: Layout,
    /// Limits that running containers were given after they were made. The protocol tells them only in newer versions; a node that
    /// forgets them sets them again.
    limits: Mutex<HashMap<ContainerId, Resources>>,
    /// The same of pods as a whole.
    pod_limits: Mutex<HashMap<PodUid, Resources>>,
    changes: broadcast::Sender<PodUid>,
    /// Ends whoever follows the runtime.
    _end: DropGuard,
}

impl CriRuntime {
    /// Asks the runtime who it is, and begins to follow what it does.
    pub async fn open(client: Client, options: Options) -> Result<Self, Error> {
        let layout = Layout::look().map_err(failed("cannot look at the machine's cgroups"))?;
        let runtime = Self::with(client, options, layout).await?;
        if runtime.0.options.log_file_bytes > 0 {
            tokio::spawn(logs::rotate(Arc::downgrade(&runtime.0)));
        }
        Ok(runtime)
    }

    async fn with(client: Client, options: Options, layout: Layout) -> Result<Self, Error> {
        let version = client
            .ask(cri::VersionRequest { version: "v1".to_owned() })
            .await
            .map_err(failed("cannot ask the container runtime for its version"))?;
        let status = client
            .ask(cri::StatusRequest { verbose: false })
            .await
            .map_err(failed("cannot ask the container runtime for its status"))?;
        let conditions = status.status.into_iter().flat_map(|status| status.conditions);
        let withheld = conditions.filter(|condition| !condition.status).map(|condition| {
            let cri::RuntimeCondition { r#type, reason, message, .. } = condition;
            format!("container runtime is not ready: {type}=false reason:{reason} message:{message}")
        });
        let about = About {
            name: version.runtime_name,
            version: version.runtime_version,
            withheld: withheld.collect(),
        };
        let end = CancellationToken::new();
        let shared = Shared {
            client,
            about,
            layout,
            limits: Mutex::default(),
            pod_limits: Mutex::default(),
            changes: broadcast::channel(CHANGES).0,
            options,
            _end: end.clone().drop_guard(),
        };
        pod_cgroup::prepare(&shared)?;
        let shared = Arc::new(shared);
        tokio::spawn(changes::follow(Arc::downgrade(&shared), end));
        Ok(Self(shared))
    }
}

/// An error of the runtime itself, by what was tried.
fn failed<E: std::error::Error + Send + Sync + 'static>(
    context: impl Into<String>,
) -> impl FnOnce(E) -> Error {
    let context = context.into();
    move |source| Error::Failed { context, source: Box::new(source) }
}

/// A refusal, in the runtime's words, as the kubelet passes them on.
fn refused(status: Status) -> Error {
    match status.code {
        Code::FailedPrecondition => Error::Precondition(status.message),
        Code::InvalidArgument => Error::Config(status.message),
        _ => Error::Failed { context: status.message.clone(), source: status.message.into() },
    }
}

/// A refusal, with its code.
fn refused_with_code(status: Status) -> Error {
    Error::Failed { context: status.to_string(), source: Box::new(status) }
}

/// What is gone need not be ended.
fn absent<T: Default>(outcome: Result<T, Status>) -> Result<T, Status> {
    match outcome {
        Err(status) if status.code == Code::NotFound => Ok(T::default()),
        outcome => outcome,
    }
}

impl Shared {
    fn changed(&self, pod: &PodUid) {
        // Nobody may be listening.
        let _ = self.changes.send(pod.clone());
    }
}

#[async_trait]
impl Runtime for CriRuntime {
    fn about(&self) -> About {
        self.0.about.clone()
    }

    async fn start_sandbox(&self, config: &SandboxConfig) -> Result<Sandbox, Error> {
        sandboxes::start(&self.0, config).await
    }

    async fn stop_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        sandboxes::stop(&self.0, pod).await
    }

    async fn remove_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        sandboxes::remove(&self.0, pod).await
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        sandboxes::all(&self.0).await
    }

    async fn sandbox(&self, pod: &PodUid) -> Result<Option<Sandbox>, Error> {
        sandboxes::one(&self.0, pod).await
    }

    async fn create_container(&self, config: &ContainerConfig) -> Result<(), Error> {
        containers::create(&self.0, config).await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), Error> {
        containers::start(&self.0, id).await
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), Error> {
        containers::stop(&self.0, id, grace).await
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), Error> {
        containers::remove(&self.0, id).await
    }

    async fn update_resources(&self, id: &ContainerId, resources: &Resources) -> Result<(), Error> {
        containers::update(&self.0, id, resources).await
    }

    async fn update_sandbox_resources(&self, pod: &PodUid, resources: &Resources) -> Result<(), Error> {
        let sandbox = sandboxes::newest(&self.0, pod).await?;
        pod_cgroup::limit(&self.0, &sandbox.kept.cgroup, resources, true).await?;
        self.0.pod_limits.lock().insert(pod.clone(), resources.clone());
        self.0.changed(pod);
        Ok(())
    }

    async fn exec(&self, id: &ContainerId, command: &ExecConfig) -> Result<Session, Error> {
        streams::exec(&self.0, id, command).await
    }

    async fn attach(&self, id: &ContainerId, wanted: Wanted) -> Result<Session, Error> {
        streams::attach(&self.0, id, wanted).await
    }

    async fn connect(&self, pod: &PodUid, port: u16) -> Result<Box<dyn Duplex>, Error> {
        streams::connect(&self.0, pod, port).await
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), Error> {
        let found = containers::find(&self.0, id).await?;
        containers::reopen_log(&self.0, found.id).await
    }

    async fn usage(&self, pod: &PodUid) -> Result<Usage, Error> {
        usage::of(&self.0, pod).await
    }

    async fn written(&self, pod: &PodUid) -> Result<BTreeMap<String, u64>, Error> {
        usage::written(&self.0, pod).await
    }

    fn changes(&self) -> broadcast::Receiver<PodUid> {
        self.0.changes.subscribe()
    }
}

#[cfg(test)]
mod tests;
