//! What the agent knows of one pod while it runs: the one owner of that state. What must outlive the agent is in records and in the shim.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use sampan_shim::protocol::{self, Answer, Call, Exit};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::directories::PodDirectory;
use super::record::{self, ContainerRecord, SandboxRecord};
use super::shim::{Event, Listener, Shim};
use super::{Shared, failed};
use crate::container::{ContainerId, PodUid};
use crate::runtime::{Container, Error, Sandbox, State};

/// A container's name and attempt.
pub(super) type Key = (String, u32);

pub(super) struct Pod {
    pub(super) uid: PodUid,
    pub(super) directory: PodDirectory,
    /// Held by whoever makes or takes down a part of the pod.
    pub(super) turn: tokio::sync::Mutex<()>,
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

pub(super) struct Inner {
    pub(super) record: SandboxRecord,
    pub(super) shim: Option<Arc<Shim>>,
    pub(super) pid: Option<i32>,
    pub(super) init: Option<i32>,
    pub(super) containers: BTreeMap<Key, Known>,
    /// Who waits for commands, by container and command.
    pub(super) commands: HashMap<(String, String), oneshot::Sender<Result<i32, Error>>>,
    /// Whether its shim is being ended.
    pub(super) ending: bool,
}

/// A container.
pub(super) struct Known {
    pub(super) record: ContainerRecord,
    /// What the shim says, or said; `None` before it was started.
    pub(super) live: Option<protocol::Container>,
    /// When it is to be killed, once it is asked to end.
    pub(super) deadline: watch::Sender<Option<Instant>>,
}

impl Known {
    pub(super) fn new(record: ContainerRecord, live: Option<protocol::Container>) -> Self {
        Self { record, live, deadline: watch::Sender::new(None) }
    }

    pub(super) fn is_running(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.exit.is_none())
    }

    fn state(&self) -> State {
        match (&self.record.start_error, &self.live) {
            (Some(error), _) => State::Exited {
                started_at: None,
                finished_at: record::time(error.at_ns),
                code: error.code,
                signal: 0,
                out_of_memory: false,
                message: error.message.clone(),
            },
            (None, Some(protocol::Container { exit: Some(exit), started_ns, .. })) => State::Exited {
                started_at: started_ns.map(record::time),
                finished_at: record::time(exit.finished_ns),
                code: exit.code,
                signal: exit.signal,
                out_of_memory: exit.out_of_memory,
                message: String::new(),
            },
            (None, Some(protocol::Container { started_ns: Some(started), .. })) => {
                State::Running { started_at: record::time(*started) }
            }
            (None, _) => State::Created,
        }
    }
}

impl Pod {
    pub(super) fn new(uid: PodUid, directory: PodDirectory, record: SandboxRecord) -> Self {
        let inner = Inner {
            record,
            shim: None,
            pid: None,
            init: None,
            containers: BTreeMap::new(),
            commands: HashMap::new(),
            ending: false,
        };
        Self {
            uid,
            directory,
            turn: tokio::sync::Mutex::default(),
            inner: Mutex::new(inner),
            version: watch::Sender::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Resolves after each change.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Tells all who wait that something changed.
    pub(super) fn changed(&self, shared: &Shared) {
        self.version.send_modify(|version| *version += 1);
        // Nobody may be listening.
        let _ = shared.changes.send(self.uid.clone());
    }

    pub(super) fn is_ready(&self) -> bool {
        let inner = self.lock();
        inner.record.started && !inner.record.stopped && inner.shim.is_some()
    }

    /// `None` while it is being made.
    pub(super) fn describe(&self) -> Option<Sandbox> {
        let inner = self.lock();
        let record = &inner.record;
        if !record.started && !record.stopped {
            return None;
        }
        let containers = inner.containers.iter().map(|((name, attempt), known)| Container {
            id: ContainerId { pod: self.uid.clone(), name: name.clone(), attempt: *attempt },
            runtime_id: known.record.runtime_id.clone(),
            image: known.record.image.clone(),
            image_id: known.record.image_id.clone(),
            state: known.state(),
            labels: known.record.labels.clone(),
            resources: known.record.resources.clone(),
        });
        Some(Sandbox {
            uid: self.uid.clone(),
            namespace: record.namespace.clone(),
            name: record.name.clone(),
            ready: record.started && !record.stopped && inner.shim.is_some() && !inner.ending,
            created_at: record::time(record.created_ns),
            addresses: record.addresses.clone(),
            resources: record.resources.clone(),
            containers: containers.collect(),
        })
    }

    /// The shim of a pod that is ready.
    pub(super) fn shim(&self) -> Result<Arc<Shim>, Error> {
        self.lock()
            .shim
            .clone()
            .ok_or_else(|| Error::Precondition(format!("sandbox {} is not running", self.uid)))
    }

    /// The pod's network namespace; `None` is the host's.
    pub(super) fn network_namespace(&self) -> Result<Option<PathBuf>, Error> {
        let inner = self.lock();
        match (inner.pid, inner.record.host_network) {
            (Some(_), true) => Ok(None),
            (Some(pid), false) => Ok(Some(format!("/proc/{pid}/ns/net").into())),
            (None, _) => Err(Error::Precondition(format!("sandbox {} is not running", self.uid))),
        }
    }

    pub(super) fn save(&self, record: &SandboxRecord) -> Result<(), Error> {
        record::write(&self.directory.record(), record).map_err(failed("cannot write down the sandbox"))
    }

    /// Connects to its shim, and takes over what that knows.
    pub(super) async fn connect(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), Error> {
        let shim = Shim::connect(
            &self.directory.shim_socket(),
            listener(Arc::downgrade(shared), Arc::downgrade(self)),
        )
        .map_err(failed("cannot reach the pod's shim"))?;
        self.lock().shim = Some(Arc::new(shim));
        self.refresh().await
    }

    /// Asks the shim for everything.
    pub(super) async fn refresh(&self) -> Result<(), Error> {
        let shim = self.shim()?;
        let (answer, _) =
            shim.call(Call::State).await.map_err(failed("cannot ask the pod's shim for its state"))?;
        let Answer::State { pid, init, containers } = answer else { return Ok(()) };
        let mut inner = self.lock();
        inner.pid = Some(pid);
        inner.init = init;
        for ((name, attempt), known) in &mut inner.containers {
            let Some(said) = containers.get(&format!("{name}_{attempt}")) else { continue };
            // An event may have overtaken the answer.
            let ended = known.live.as_ref().is_some_and(|live| live.exit.is_some());
            if said.exit.is_some() || !ended {
                known.live = Some(said.clone());
            }
        }
        Ok(())
    }

    fn hear(self: &Arc<Self>, shared: &Arc<Shared>, event: Event) {
        match event {
            Event::Exited { container, exit } => {
                self.ended(&container, exit);
                self.changed(shared);
            }
            Event::CommandExited { container, exec, exit } => {
                if let Some(waiting) = self.lock().commands.remove(&(container, exec)) {
                    let _ = waiting.send(Ok(exit.code));
                }
            }
            Event::Closed => self.closed(shared),
        }
    }

    fn ended(&self, container: &str, exit: Exit) {
        let mut inner = self.lock();
        let known =
            inner.containers.iter_mut().find(|((name, attempt), _)| format!("{name}_{attempt}") == container);
        if let Some((_, known)) = known {
            let at = exit.finished_ns;
            let live = known.live.get_or_insert(protocol::Container {
                pid: None,
                created_ns: at,
                started_ns: Some(at),
                exit: None,
            });
            live.exit = Some(exit);
            live.pid = None;
        }
    }

    fn closed(self: &Arc<Self>, shared: &Arc<Shared>) {
        let expected = {
            let mut inner = self.lock();
            inner.shim = None;
            inner.commands.clear();
            inner.ending || !inner.record.started || inner.record.stopped
        };
        self.changed(shared);
        if !expected {
            tracing::warn!(pod = %self.uid, "the pod's shim has ended; the pod is taken down");
            let (shared, pod) = (Arc::clone(shared), Arc::clone(self));
            tokio::spawn(async move { super::sandbox::lost(&shared, &pod).await });
        }
    }
}

fn listener(shared: Weak<Shared>, pod: Weak<Pod>) -> Listener {
    Arc::new(move |event| {
        if let (Some(shared), Some(pod)) = (shared.upgrade(), pod.upgrade()) {
            pod.hear(&shared, event);
        }
    })
}
