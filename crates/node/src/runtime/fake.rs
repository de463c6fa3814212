//! A runtime in memory: sandboxes and containers that run nothing but programs of this process.
//!
//! For tests of everything above [`Runtime`], and for nodes that only pretend. Containers write real log files in the CRI's
//! format when their sandbox has a log directory; nothing else of the machine is touched. A program that a container or a
//! command names is looked up among those that were added by [`Fake::program`]; a few are there from the start (`fake/programs.rs`).

mod container;
mod fixtures;
pub mod programs;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::broadcast;

use super::{About, Container, Duplex, Error, ExecConfig, Runtime, Sandbox, Session, State, Usage, Wanted};
use crate::container::{ContainerConfig, ContainerId, PodUid, Resources, SandboxConfig};
use container::Running;
pub use fixtures::{container_config, sandbox_config};
pub use programs::{Process, Program};

/// Bytes that wait between a program and whoever reads it.
const BUFFER_BYTES: usize = 64 * 1024;

/// What answers on a port of every pod.
pub type Listener = Arc<dyn Fn(DuplexStream) + Send + Sync>;

/// A runtime in memory. Clones are the same runtime.
#[derive(Clone)]
pub struct Fake(Arc<Inner>);

struct Inner {
    pods: Mutex<BTreeMap<PodUid, Pod>>,
    programs: Mutex<HashMap<String, Program>>,
    ports: Mutex<HashMap<u16, Listener>>,
    changes: broadcast::Sender<PodUid>,
    /// Held by each program that runs.
    alive: Arc<()>,
}

struct Pod {
    config: SandboxConfig,
    ready: bool,
    created_at: SystemTime,
    address: IpAddr,
    containers: BTreeMap<(String, u32), Entry>,
}

struct Entry {
    config: ContainerConfig,
    state: State,
    resources: Resources,
    running: Option<Running>,
}

impl Default for Fake {
    fn default() -> Self {
        Self(Arc::new(Inner {
            pods: Mutex::default(),
            programs: Mutex::new(programs::builtin()),
            ports: Mutex::default(),
            changes: broadcast::channel(1024).0,
            alive: Arc::default(),
        }))
    }
}

impl Fake {
    /// Adds a program: what a container or command runs whose first word (its command, or else its image) is `name`.
    #[must_use]
    pub fn program(self, name: &str, program: Program) -> Self {
        self.0.programs.lock().insert(name.to_owned(), program);
        self
    }

    /// Lets something answer on a port of every pod.
    #[must_use]
    pub fn listener(self, port: u16, listener: Listener) -> Self {
        self.0.ports.lock().insert(port, listener);
        self
    }

    /// How many programs run: those of containers and of commands.
    pub fn processes(&self) -> usize {
        Arc::strong_count(&self.0.alive) - 1
    }

    fn changed(&self, pod: &PodUid) {
        // Nobody may be listening.
        let _ = self.0.changes.send(pod.clone());
    }

    fn with<T>(
        &self,
        id: &ContainerId,
        run: impl FnOnce(&mut Entry) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut pods = self.0.pods.lock();
        let pod = pods.get_mut(&id.pod).ok_or_else(|| Error::NotFound(id.pod.to_string()))?;
        let entry = pod.containers.get_mut(&(id.name.clone(), id.attempt));
        run(entry.ok_or_else(|| Error::NotFound(id.to_string()))?)
    }

    /// The program of a command; an error as a shell would give it when there is none.
    fn find(&self, command: &[String], image: &str) -> Result<Program, Error> {
        let name = command.first().map_or(image, String::as_str);
        let program = self.0.programs.lock().get(name).cloned();
        program.ok_or_else(|| Error::Start {
            code: 127,
            message: format!("exec: {name:?}: executable file not found in $PATH"),
        })
    }

    /// A container has ended: by itself, or because it was stopped.
    fn ended(&self, id: &ContainerId, code: i32, signal: i32) {
        let ended = self.with(id, |entry| {
            let State::Running { started_at } = entry.state else { return Ok(false) };
            entry.running = None;
            entry.state = State::Exited {
                started_at: Some(started_at),
                finished_at: SystemTime::now(),
                code,
                signal,
                out_of_memory: false,
                message: String::new(),
            };
            Ok(true)
        });
        if ended.unwrap_or(false) {
            self.changed(&id.pod);
        }
    }
}

impl Pod {
    fn observed(&self) -> Sandbox {
        Sandbox {
            uid: self.config.uid.clone(),
            namespace: self.config.namespace.clone(),
            name: self.config.name.clone(),
            ready: self.ready,
            created_at: self.created_at,
            addresses: if self.config.namespaces.host_network { Vec::new() } else { vec![self.address] },
            resources: Some(self.config.resources.clone()),
            containers: self.containers.values().map(Entry::observed).collect(),
        }
    }
}

impl Entry {
    fn observed(&self) -> Container {
        Container {
            id: self.config.id.clone(),
            runtime_id: self.config.id.to_string(),
            image: self.config.image.clone(),
            image_id: self.config.image_id.clone(),
            state: self.state.clone(),
            labels: self.config.labels.clone(),
            resources: self.resources.clone(),
        }
    }
}

#[async_trait]
impl Runtime for Fake {
    fn about(&self) -> About {
        About { name: "fake".into(), version: env!("CARGO_PKG_VERSION").into(), withheld: Vec::new() }
    }

    async fn start_sandbox(&self, config: &SandboxConfig) -> Result<Sandbox, Error> {
        let mut pods = self.0.pods.lock();
        let number = u16::try_from(pods.len() % 0xfffe).unwrap_or(0) + 1;
        let [high, low] = number.to_be_bytes();
        let pod = pods.entry(config.uid.clone()).or_insert_with(|| Pod {
            config: config.clone(),
            ready: true,
            created_at: SystemTime::now(),
            address: Ipv4Addr::new(10, 99, high, low).into(),
            containers: BTreeMap::new(),
        });
        let observed = pod.observed();
        drop(pods);
        self.changed(&config.uid);
        Ok(observed)
    }

    async fn stop_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        let running: Vec<_> = {
            let mut pods = self.0.pods.lock();
            let Some(pod) = pods.get_mut(pod) else { return Ok(()) };
            pod.ready = false;
            pod.containers.values().filter(|c| c.running.is_some()).map(|c| c.config.id.clone()).collect()
        };
        for id in running {
            self.stop_container(&id, Duration::ZERO).await?;
        }
        self.changed(pod);
        Ok(())
    }

    async fn remove_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        self.stop_sandbox(pod).await?;
        self.0.pods.lock().remove(pod);
        self.changed(pod);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        Ok(self.0.pods.lock().values().map(Pod::observed).collect())
    }

    async fn sandbox(&self, pod: &PodUid) -> Result<Option<Sandbox>, Error> {
        Ok(self.0.pods.lock().get(pod).map(Pod::observed))
    }

    async fn create_container(&self, config: &ContainerConfig) -> Result<(), Error> {
        let id = &config.id;
        {
            let mut pods = self.0.pods.lock();
            let pod = pods.get_mut(&id.pod).ok_or_else(|| Error::NotFound(id.pod.to_string()))?;
            if !pod.ready {
                return Err(Error::Precondition(format!("the sandbox of {} is stopped", id.pod)));
            }
            pod.containers.entry((id.name.clone(), id.attempt)).or_insert_with(|| Entry {
                config: config.clone(),
                state: State::Created,
                resources: config.resources.clone(),
                running: None,
            });
        }
        self.changed(&id.pod);
        Ok(())
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), Error> {
        let (config, created) =
            self.with(id, |entry| Ok((entry.config.clone(), entry.state == State::Created)))?;
        if !created {
            return Ok(());
        }
        let directory = self.0.pods.lock().get(&id.pod).map(|pod| pod.config.log_directory.clone());
        let command: Vec<String> = config.command.iter().chain(&config.args).cloned().collect();
        let program = match self.find(&command, &config.image) {
            Ok(program) => program,
            Err(Error::Start { code, message }) => {
                self.with(id, |entry| {
                    entry.state = State::Exited {
                        started_at: None,
                        finished_at: SystemTime::now(),
                        code: 128,
                        signal: 0,
                        out_of_memory: false,
                        message: message.clone(),
                    };
                    Ok(())
                })?;
                self.changed(&id.pod);
                return Err(Error::Start { code, message });
            }
            Err(other) => return Err(other),
        };
        let log = directory.filter(|d| !d.as_os_str().is_empty()).map(|d| d.join(&config.log_path));
        let running = container::start(self, &config, command, &program, log)?;
        self.with(id, |entry| {
            entry.state = State::Running { started_at: SystemTime::now() };
            entry.running = Some(running.clone());
            Ok(())
        })?;
        running.go();
        self.changed(&id.pod);
        Ok(())
    }

    async fn stop_container(&self, id: &ContainerId, _grace: Duration) -> Result<(), Error> {
        let running = self.with(id, |entry| Ok(entry.running.clone()))?;
        if let Some(running) = running {
            running.kill();
            self.ended(id, 143, 15);
        }
        Ok(())
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), Error> {
        {
            let mut pods = self.0.pods.lock();
            let Some(pod) = pods.get_mut(&id.pod) else { return Ok(()) };
            let key = (id.name.clone(), id.attempt);
            if pod.containers.get(&key).is_some_and(|entry| entry.running.is_some()) {
                return Err(Error::Precondition(format!("{id} is running")));
            }
            pod.containers.remove(&key);
        }
        self.changed(&id.pod);
        Ok(())
    }

    async fn update_resources(&self, id: &ContainerId, resources: &Resources) -> Result<(), Error> {
        self.with(id, |entry| {
            entry.resources = resources.clone();
            Ok(())
        })?;
        self.changed(&id.pod);
        Ok(())
    }

    async fn update_sandbox_resources(&self, pod: &PodUid, resources: &Resources) -> Result<(), Error> {
        {
            let mut pods = self.0.pods.lock();
            let pod = pods.get_mut(pod).ok_or_else(|| Error::NotFound(pod.to_string()))?;
            pod.config.resources = resources.clone();
        }
        self.changed(pod);
        Ok(())
    }

    async fn exec(&self, id: &ContainerId, command: &ExecConfig) -> Result<Session, Error> {
        self.with(id, |entry| match entry.running {
            Some(_) => Ok(()),
            None => Err(Error::Precondition(format!("{id} is not running"))),
        })?;
        let program = self.find(&command.command, "")?;
        Ok(container::exec(self, id, command, &program))
    }

    async fn attach(&self, id: &ContainerId, wanted: Wanted) -> Result<Session, Error> {
        let running = self.with(id, |entry| {
            entry.running.clone().ok_or_else(|| Error::Precondition(format!("{id} is not running")))
        })?;
        Ok(running.attach(wanted))
    }

    async fn connect(&self, pod: &PodUid, port: u16) -> Result<Box<dyn Duplex>, Error> {
        if !self.0.pods.lock().get(pod).is_some_and(|pod| pod.ready) {
            return Err(Error::NotFound(pod.to_string()));
        }
        let Some(listener) = self.0.ports.lock().get(&port).cloned() else {
            return Err(Error::Failed {
                context: format!("dial tcp4 127.0.0.1:{port}"),
                source: std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(),
            });
        };
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        listener(theirs);
        Ok(Box::new(ours))
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), Error> {
        match self.with(id, |entry| Ok(entry.running.clone()))? {
            Some(running) => running.reopen_log(),
            None => Ok(()),
        }
    }

    async fn written(&self, _: &PodUid) -> Result<BTreeMap<String, u64>, Error> {
        Ok(BTreeMap::new())
    }

    async fn usage(&self, pod: &PodUid) -> Result<Usage, Error> {
        let pods = self.0.pods.lock();
        let pod = pods.get(pod).ok_or_else(|| Error::NotFound(pod.to_string()))?;
        let running = pod.containers.values().filter(|entry| entry.running.is_some());
        let containers =
            running.map(|entry| (entry.config.id.name.clone(), super::ContainerUsage::default()));
        Ok(Usage { containers: containers.collect(), ..Usage::default() })
    }

    fn changes(&self) -> broadcast::Receiver<PodUid> {
        self.0.changes.subscribe()
    }
}

#[cfg(test)]
mod tests;
