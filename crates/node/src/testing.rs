//! For the tests of this crate: a runtime that has what a test put there, and a reporter that remembers.

pub(crate) mod api;
pub(crate) mod parts;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::container::{ContainerConfig, ContainerId, PodUid, Resources, SandboxConfig};
use crate::pods::parts::{Kind, Reporter};
use crate::runtime::{About, Duplex, Error, ExecConfig, Runtime, Sandbox, Session, Usage, Wanted};

/// What a command does in a test.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Ends with a code, after it wrote this.
    Exit(i32, String),
    /// Never ends.
    Hang,
    /// Cannot be run.
    Fail(&'static str),
}

/// A runtime that has what a test put there.
pub(crate) struct Scripted {
    /// What commands do, one after the other; the last one for good.
    pub(crate) acts: Mutex<VecDeque<Act>>,
    /// The commands that were run.
    pub(crate) commands: Mutex<Vec<Vec<String>>>,
    /// Sandboxes that are there.
    pub(crate) sandboxes: Mutex<Vec<Sandbox>>,
    /// How often somebody looked at a sandbox.
    pub(crate) looks: Mutex<Vec<PodUid>>,
    pub(crate) changes: broadcast::Sender<PodUid>,
}

impl Scripted {
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self {
            acts: Mutex::new(acts.into_iter().collect()),
            commands: Mutex::default(),
            sandboxes: Mutex::default(),
            looks: Mutex::default(),
            changes: broadcast::channel(4).0,
        })
    }
}

/// A sandbox without containers.
pub(crate) fn sandbox(uid: &str) -> Sandbox {
    Sandbox {
        uid: PodUid::new(uid).expect("a UID"),
        namespace: "default".into(),
        name: uid.into(),
        ready: true,
        created_at: SystemTime::UNIX_EPOCH,
        addresses: Vec::new(),
        resources: None,
        containers: Vec::new(),
    }
}

#[async_trait]
impl Runtime for Scripted {
    fn about(&self) -> About {
        About { name: "scripted".into(), version: "1".into(), withheld: Vec::new() }
    }

    async fn start_sandbox(&self, config: &SandboxConfig) -> Result<Sandbox, Error> {
        let made = sandbox(config.uid.as_str());
        self.sandboxes.lock().push(made.clone());
        Ok(made)
    }

    async fn stop_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        self.sandboxes.lock().iter_mut().filter(|s| s.uid == *pod).for_each(|s| s.ready = false);
        Ok(())
    }

    async fn remove_sandbox(&self, pod: &PodUid) -> Result<(), Error> {
        self.sandboxes.lock().retain(|s| s.uid != *pod);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        Ok(self.sandboxes.lock().clone())
    }

    async fn sandbox(&self, pod: &PodUid) -> Result<Option<Sandbox>, Error> {
        self.looks.lock().push(pod.clone());
        Ok(self.sandboxes.lock().iter().find(|s| s.uid == *pod).cloned())
    }

    async fn create_container(&self, _: &ContainerConfig) -> Result<(), Error> {
        Ok(())
    }

    async fn start_container(&self, _: &ContainerId) -> Result<(), Error> {
        Ok(())
    }

    async fn stop_container(&self, _: &ContainerId, _: Duration) -> Result<(), Error> {
        Ok(())
    }

    async fn remove_container(&self, _: &ContainerId) -> Result<(), Error> {
        Ok(())
    }

    async fn update_resources(&self, _: &ContainerId, _: &Resources) -> Result<(), Error> {
        Ok(())
    }

    async fn update_sandbox_resources(&self, _: &PodUid, _: &Resources) -> Result<(), Error> {
        Ok(())
    }

    async fn exec(&self, _: &ContainerId, command: &ExecConfig) -> Result<Session, Error> {
        self.commands.lock().push(command.command.clone());
        let mut acts = self.acts.lock();
        let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
        let (ended, exit) = oneshot::channel();
        let stdout = match act.expect("the test says what commands do") {
            Act::Exit(code, output) => {
                let _ = ended.send(Ok(code));
                Some(Box::new(std::io::Cursor::new(output.into_bytes())) as _)
            }
            Act::Hang => {
                // It ends when its session is dropped: then nobody holds the other end.
                tokio::spawn(async move {
                    let mut ended = ended;
                    ended.closed().await;
                });
                None
            }
            Act::Fail(message) => return Err(Error::Precondition(message.into())),
        };
        Ok(Session { stdin: None, stdout, stderr: None, resize: mpsc::channel(1).0, exit })
    }

    async fn attach(&self, id: &ContainerId, _: Wanted) -> Result<Session, Error> {
        Err(Error::NotFound(id.to_string()))
    }

    async fn connect(&self, pod: &PodUid, _: u16) -> Result<Box<dyn Duplex>, Error> {
        Err(Error::NotFound(pod.to_string()))
    }

    async fn reopen_log(&self, _: &ContainerId) -> Result<(), Error> {
        Ok(())
    }

    async fn written(&self, _: &PodUid) -> Result<BTreeMap<String, u64>, Error> {
        Ok(BTreeMap::new())
    }

    async fn usage(&self, _: &PodUid) -> Result<Usage, Error> {
        Ok(Usage::default())
    }

    fn changes(&self) -> broadcast::Receiver<PodUid> {
        self.changes.subscribe()
    }
}

/// A reporter that remembers.
#[derive(Default)]
pub(crate) struct Remembered {
    /// `REASON: MESSAGE` of each event.
    pub(crate) events: Mutex<Vec<String>>,
    /// Statuses, the newest last.
    pub(crate) statuses: Mutex<Vec<PodStatus>>,
    /// Names of pods that are gone.
    pub(crate) gone: Mutex<Vec<String>>,
}

impl Remembered {
    /// The events so far, which are forgotten.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock())
    }
}

impl Reporter for Remembered {
    fn event(&self, _: &Pod, _: Option<&str>, _: Kind, reason: &str, message: &str) {
        self.events.lock().push(format!("{reason}: {message}"));
    }

    fn status(&self, _: &Pod, status: PodStatus) {
        self.statuses.lock().push(status);
    }

    fn gone(&self, pod: &Pod) {
        self.gone.lock().push(pod.metadata.name.clone().unwrap_or_default());
    }
}
