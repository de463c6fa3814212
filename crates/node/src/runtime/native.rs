//! Runs pods with nothing installed: a shim a pod, containers by libcontainer, cgroups, namespaces. `docs/node.md` says how.
//!
//! Nothing here clones, changes a namespace, or waits for a container's process: shims do. It knows neither the API nor the network's bridges.

mod adopt;
mod bundle;
mod capabilities;
mod connect;
mod descriptor;
mod devices;
mod directories;
mod inside;
mod lifecycle;
mod machine;
mod mounts;
mod pod;
mod record;
pub mod rootfs;
mod sandbox;
mod seccomp;
mod session;
mod shim;
mod signals;
mod spec;
mod terminal;
mod user;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use self::machine::Machine;
use self::pod::Pod;
use self::rootfs::RootFilesystems;
use super::cgroup::{self, Layout};
use super::{About, Duplex, Error, ExecConfig, Runtime, Sandbox, Session, Usage, Wanted};
use crate::container::{ContainerConfig, ContainerId, PodUid, Resources, SandboxConfig};
use crate::network::PodNetwork;

/// The cgroup of all pods, in every hierarchy.
const PODS: &str = "/kubepods";
/// How many changes wait for whoever hears of them, before it has to ask for everything.
const CHANGES: usize = 1024;

/// Where and how it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that is run as `PROGRAM shim DIR`: `/proc/self/exe` where the agent is that program itself.
    pub executable: PathBuf,
    /// The node's directory; pods are below it.
    pub directory: PathBuf,
    /// Most bytes of one log file; 0 is without a limit.
    pub log_file_bytes: u64,
    /// Most log files of one container.
    pub log_files: u32,
    /// Limits of all pods together, so that the machine lives whatever they do.
    pub limits: Resources,
}

/// The runtime. Clones are the same one.
#[derive(Clone)]
pub struct NativeRuntime(Arc<Shared>);

struct Shared {
    options: Options,
    rootfs: Arc<dyn RootFilesystems>,
    network: Arc<dyn PodNetwork>,
    layout: Layout,
    machine: Machine,
    pods: Mutex<HashMap<PodUid, Arc<Pod>>>,
    changes: broadcast::Sender<PodUid>,
}

impl NativeRuntime {
    /// Looks at the machine, and adopts the pods that an agent before this one left. What it left half made is taken down.
    pub async fn open(
        options: Options,
        rootfs: Arc<dyn RootFilesystems>,
        network: Arc<dyn PodNetwork>,
    ) -> Result<Self, Error> {
        let layout = Layout::look().map_err(failed("cannot look at the machine's cgroups"))?;
        let machine = Machine::look(&layout);
        cgroup::create(&layout, PODS).map_err(failed("cannot make the cgroup of pods"))?;
        for (file, error) in cgroup::limit(&layout, PODS, &options.limits, false) {
            tracing::warn!(file = %file.display(), %error, "a limit of all pods together cannot be set");
        }
        std::fs::create_dir_all(directories::pods(&options.directory))
            .map_err(failed("cannot make the directory of pods"))?;
        let (changes, _) = broadcast::channel(CHANGES);
        let shared =
            Arc::new(Shared { options, rootfs, network, layout, machine, pods: Mutex::default(), changes });
        adopt::all(&shared).await?;
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

/// Runs what blocks (cgroups do, when processes end) where it may.
async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(act).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Shared {
    fn pod(&self, uid: &PodUid) -> Result<Arc<Pod>, Error> {
        self.pods.lock().get(uid).cloned().ok_or_else(|| Error::NotFound(format!("sandbox {uid}")))
    }
}

#[async_trait]
impl Runtime for NativeRuntime {
    fn about(&self) -> About {
        About {
            name: "sampan".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            withheld: self.0.machine.withheld(&self.0.layout),
        }
    }

    async fn start_sandbox(&self, config: &SandboxConfig) -> Result<Sandbox, Error> {
        sandbox::start(&self.0, config).await
    }

    async fn stop_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        sandbox::stop(&self.0, pod).await
    }

    async fn remove_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        sandbox::remove(&self.0, pod).await
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        let mut all: Vec<Sandbox> = self.0.pods.lock().values().filter_map(|pod| pod.describe()).collect();
        all.sort_by(|one, other| one.uid.cmp(&other.uid));
        Ok(all)
    }

    async fn sandbox(&self, pod: &PodUid) -> Result<Option<Sandbox>, Error> {
        Ok(self.0.pods.lock().get(pod).and_then(|pod| pod.describe()))
    }

    async fn create_container(&self, config: &ContainerConfig) -> Result<(), Error> {
        lifecycle::create(&self.0, config).await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), Error> {
        lifecycle::start(&self.0, id).await
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), Error> {
        lifecycle::stop(&self.0, id, grace).await
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), Error> {
        lifecycle::remove(&self.0, id).await
    }

    async fn update_resources(&self, id: &ContainerId, resources: &Resources) -> Result<(), Error> {
        lifecycle::update(&self.0, id, resources).await
    }

    async fn update_sandbox_resources(&self, pod: &PodUid, resources: &Resources) -> Result<(), Error> {
        sandbox::update(&self.0, pod, resources).await
    }

    async fn exec(&self, id: &ContainerId, command: &ExecConfig) -> Result<Session, Error> {
        session::exec(&self.0, id, command).await
    }

    async fn attach(&self, id: &ContainerId, wanted: Wanted) -> Result<Session, Error> {
        session::attach(&self.0, id, wanted).await
    }

    async fn connect(&self, pod: &PodUid, port: u16) -> Result<Box<dyn Duplex>, Error> {
        let namespace = self.0.pod(pod)?.network_namespace()?;
        let stream = connect::connect(namespace, port)
            .await
            .map_err(failed(format!("failed to connect to port {port} of the pod")))?;
        Ok(Box::new(stream))
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), Error> {
        lifecycle::reopen_log(&self.0, id).await
    }

    async fn usage(&self, pod: &PodUid) -> Result<Usage, Error> {
        let pod = self.0.pod(pod)?;
        let shared = Arc::clone(&self.0);
        Ok(blocking(move || sandbox::usage(&shared, &pod)).await)
    }

    async fn written(&self, pod: &PodUid) -> Result<BTreeMap<String, u64>, Error> {
        let containers: Vec<(String, u32)> = self.0.pod(pod)?.lock().containers.keys().cloned().collect();
        let mut written = BTreeMap::new();
        for (name, attempt) in containers {
            let id = ContainerId { pod: pod.clone(), name, attempt };
            *written.entry(id.name.clone()).or_default() += self.0.rootfs.written(&id).await;
        }
        Ok(written)
    }

    fn changes(&self) -> broadcast::Receiver<PodUid> {
        self.0.changes.subscribe()
    }
}
