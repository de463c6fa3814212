//! The agent's end of a shim: starts it, asks it, hears from it.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sampan_shim::packet;
use sampan_shim::protocol::{Answer, Call, Cause, Exit, Failure, Message, Request};
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::descriptor;

/// What a shim says without being asked.
#[derive(Debug)]
pub(super) enum Event {
    Exited {
        container: String,
        exit: Exit,
    },
    CommandExited {
        container: String,
        exec: String,
        exit: Exit,
    },
    /// It is gone.
    Closed,
}

/// Who hears it.
pub(super) type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// Why a call was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The shim refuses.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// It is gone.
    #[error("the pod's shim is gone")]
    Gone,
    /// The request could not be sent.
    #[error("cannot ask the pod's shim")]
    Send(#[source] io::Error),
}

impl CallError {
    pub(super) fn cause(&self) -> Option<Cause> {
        match self {
            Self::Refused(failure) => Some(failure.cause),
            _ => None,
        }
    }
}

type Reply = (Result<Answer, Failure>, Vec<OwnedFd>);

/// A connection to a shim. Dropping it does not end the shim.
pub(super) struct Shim {
    socket: Arc<AsyncFd<OwnedFd>>,
    pending: Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>,
    next: AtomicU64,
    reader: tokio::task::AbortHandle,
}

/// Starts the shim of a directory, whose configuration is there; returns its process id when it listens.
pub(super) async fn spawn(executable: &Path, directory: &Path, log: &Path) -> io::Result<i32> {
    let log = std::fs::File::create(log)?;
    let mut child = Command::new(executable)
        .arg(sampan_shim::COMMAND)
        .arg(directory)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let mut said = String::new();
    let stdout = child.stdout.take().expect("it was piped");
    // More is not said.
    stdout.take(64 * 1024).read_to_string(&mut said).await?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    match (said.trim(), pid) {
        ("ready", Some(pid)) => {
            // It outlives the agent; while that lives, somebody has to take its exit code.
            tokio::spawn(async move { child.wait().await });
            Ok(pid)
        }
        (said, _) => {
            let _ = child.kill().await;
            Err(io::Error::other(if said.is_empty() {
                "the shim ended before it was ready".to_owned()
            } else {
                said.to_owned()
            }))
        }
    }
}

impl Shim {
    pub(super) fn connect(path: &Path, listener: Listener) -> io::Result<Self> {
        let socket = Arc::new(descriptor::watched(packet::connect(path)?)?);
        let pending: Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>> = Arc::default();
        let task = tokio::spawn(read(Arc::clone(&socket), Arc::clone(&pending), listener));
        Ok(Self { socket, pending, next: AtomicU64::new(0), reader: task.abort_handle() })
    }

    pub(super) async fn call(&self, call: Call) -> Result<(Answer, Vec<OwnedFd>), CallError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes =
            serde_json::to_vec(&Request { id, call }).map_err(|error| CallError::Send(error.into()))?;
        if bytes.len() > packet::MAX_BYTES {
            return Err(CallError::Send(io::ErrorKind::ArgumentListTooLong.into()));
        }
        let (sender, receiver) = oneshot::channel();
        self.pending.lock().insert(id, sender);
        if let Err(error) = self.send(&bytes).await {
            self.pending.lock().remove(&id);
            return Err(if error.kind() == io::ErrorKind::BrokenPipe {
                CallError::Gone
            } else {
                CallError::Send(error)
            });
        }
        match receiver.await {
            Ok((Ok(answer), descriptors)) => Ok((answer, descriptors)),
            Ok((Err(failure), _)) => Err(CallError::Refused(failure)),
            Err(_) => Err(CallError::Gone),
        }
    }

    async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            if let Ok(outcome) = ready.try_io(|socket| packet::send(socket.get_ref(), bytes, &[])) {
                return outcome;
            }
        }
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Until the shim is gone.
async fn read(
    socket: Arc<AsyncFd<OwnedFd>>,
    pending: Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>,
    listener: Listener,
) {
    while let Ok((bytes, descriptors)) = receive(&socket).await {
        if bytes.is_empty() {
            break;
        }
        match serde_json::from_slice(&bytes) {
            Ok(Message::Reply { id, result }) => {
                if let Some(sender) = pending.lock().remove(&id) {
                    // Whoever asked may have gone; its descriptors are closed with the reply.
                    let _ = sender.send((result, descriptors));
                }
            }
            Ok(Message::Exited { container, exit }) => listener(Event::Exited { container, exit }),
            Ok(Message::ExecExited { container, exec, exit }) => {
                listener(Event::CommandExited { container, exec, exit });
            }
            Err(error) => tracing::warn!(%error, "a shim says what is not understood"),
        }
    }
    pending.lock().clear();
    listener(Event::Closed);
}

async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(outcome) = ready.try_io(|socket| packet::receive(socket.get_ref())) {
            return outcome;
        }
    }
}
