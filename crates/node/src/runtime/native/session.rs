//! Commands in containers, and who joins their streams. Data go between the agent and the processes; the shim only hands out the ends.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sampan_shim::protocol::{Call, Cause};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::pod::Pod;
use super::shim::{CallError, Shim};
use super::terminal::Terminal;
use super::{Shared, directories, failed};
use crate::container::ContainerId;
use crate::runtime::{Error, ExecConfig, Session, TerminalSize, Wanted};

/// Sizes that wait to be set; only the last matters.
const SIZES: usize = 8;

/// Numbers of commands, unlike those of an agent before this one.
static NEXT: AtomicU64 = AtomicU64::new(0);

fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

type Ends = std::vec::IntoIter<OwnedFd>;

fn writer(ends: &mut Ends, wanted: bool) -> Result<Option<pipe::Sender>, Error> {
    let end = ends.next().filter(|_| wanted);
    end.map(pipe::Sender::from_owned_fd).transpose().map_err(failed("cannot use a stream"))
}

fn reader(ends: &mut Ends, wanted: bool) -> Result<Option<pipe::Receiver>, Error> {
    if !wanted {
        return Ok(None);
    }
    ends.next().map(pipe::Receiver::from_owned_fd).transpose().map_err(failed("cannot use a stream"))
}

pub(super) async fn exec(
    shared: &Arc<Shared>,
    id: &ContainerId,
    config: &ExecConfig,
) -> Result<Session, Error> {
    let pod = shared.pod(&id.pod)?;
    let shim = pod.shim()?;
    let (container, exec) = (directories::key(id), name());
    let (sender, ended) = oneshot::channel();
    pod.lock().commands.insert((container.clone(), exec.clone()), sender);
    // Whoever asked may go before the answer is there.
    let mut kill = Kill {
        shim: Arc::clone(&shim),
        pod: Arc::clone(&pod),
        container: container.clone(),
        exec: exec.clone(),
        armed: true,
    };
    let Wanted { stdin, stdout, stderr } = config.wanted;
    let call = Call::Exec {
        container,
        exec,
        command: config.command.clone(),
        terminal: config.terminal,
        stdin,
        stdout,
        stderr,
    };
    let ends = match shim.call(call).await {
        Ok((_, ends)) => ends,
        Err(error) => {
            kill.armed = false;
            pod.lock().commands.remove(&(kill.container.clone(), kill.exec.clone()));
            return Err(not_run(error));
        }
    };
    let (resize, sizes) = mpsc::channel(SIZES);
    let (sender, exit) = oneshot::channel();
    tokio::spawn(follow(kill, ended, sender));
    let mut ends = ends.into_iter();
    if config.terminal {
        let master =
            ends.next().ok_or_else(|| Error::Precondition("the command has no terminal".to_owned()))?;
        let terminal = Terminal::new(master).map_err(failed("cannot use the terminal"))?;
        let screen = terminal.clone();
        tokio::spawn(resized(sizes, move |size| {
            let _ = screen.resize(size);
            std::future::ready(())
        }));
        return Ok(Session {
            stdin: stdin.then(|| Box::new(terminal.clone()) as _),
            stdout: Some(Box::new(terminal)),
            stderr: None,
            resize,
            exit,
        });
    }
    let stdin = if stdin { writer(&mut ends, true)? } else { None };
    Ok(Session {
        stdin: stdin.map(|stream| Box::new(stream) as _),
        stdout: reader(&mut ends, stdout)?.map(|stream| Box::new(stream) as _),
        stderr: reader(&mut ends, stderr)?.map(|stream| Box::new(stream) as _),
        resize,
        exit,
    })
}

/// The words of containerd, as far as users know them.
fn not_run(error: CallError) -> Error {
    let words = format!("exec failed: unable to start container process: {error}");
    match error.cause() {
        Some(Cause::CommandNotFound) => Error::Start { code: 127, message: words },
        Some(Cause::CommandNotExecutable) => Error::Start { code: 126, message: words },
        Some(Cause::NotFound) => Error::NotFound(error.to_string()),
        Some(Cause::Precondition) => Error::Precondition(error.to_string()),
        _ => failed("cannot run the command")(error),
    }
}

/// Kills a command when it is dropped.
struct Kill {
    shim: Arc<Shim>,
    pod: Arc<Pod>,
    container: String,
    exec: String,
    armed: bool,
}

impl Drop for Kill {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (container, exec) = (std::mem::take(&mut self.container), std::mem::take(&mut self.exec));
        self.pod.lock().commands.remove(&(container.clone(), exec.clone()));
        let shim = Arc::clone(&self.shim);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // It may have ended by itself.
                let _ = shim.call(Call::KillExec { container, exec }).await;
            });
        }
    }
}

/// Until the command has ended, or nobody waits for it any more.
async fn follow(
    mut kill: Kill,
    ended: oneshot::Receiver<Result<i32, Error>>,
    mut waiting: oneshot::Sender<Result<i32, Error>>,
) {
    tokio::select! {
        outcome = ended => {
            kill.armed = false;
            let _ = waiting.send(outcome.unwrap_or_else(|_| Err(Error::Precondition("the pod's shim is gone".to_owned()))));
        }
        () = waiting.closed() => {}
    }
}

async fn resized<F: Future<Output = ()>>(
    mut sizes: mpsc::Receiver<TerminalSize>,
    mut set: impl FnMut(TerminalSize) -> F,
) {
    while let Some(size) = sizes.recv().await {
        set(size).await;
    }
}

pub(super) async fn attach(shared: &Arc<Shared>, id: &ContainerId, wanted: Wanted) -> Result<Session, Error> {
    let pod = shared.pod(&id.pod)?;
    let shim = pod.shim()?;
    let key = (id.name.clone(), id.attempt);
    let terminal = pod
        .lock()
        .containers
        .get(&key)
        .map(|known| known.record.terminal)
        .ok_or_else(|| Error::NotFound(format!("container {id}")))?;
    let container = directories::key(id);
    let Wanted { stdin, stdout, stderr } = Wanted { stderr: wanted.stderr && !terminal, ..wanted };
    let (_, ends) = shim
        .call(Call::Attach { container: container.clone(), stdin, stdout, stderr })
        .await
        .map_err(not_run)?;
    let mut ends = ends.into_iter();
    let stdin: Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>> =
        match if stdin { ends.next() } else { None } {
            Some(end) if rustix::termios::isatty(&end) => {
                Some(Box::new(Terminal::new(end).map_err(failed("cannot use the terminal"))?))
            }
            Some(end) => {
                Some(Box::new(pipe::Sender::from_owned_fd(end).map_err(failed("cannot use a stream"))?))
            }
            None => None,
        };
    let (resize, sizes) = mpsc::channel(SIZES);
    tokio::spawn(resized(sizes, move |size: TerminalSize| {
        let (shim, container) = (Arc::clone(&shim), container.clone());
        async move {
            let _ = shim.call(Call::Resize { container, width: size.width, height: size.height }).await;
        }
    }));
    let (sender, exit) = oneshot::channel();
    tokio::spawn(ended(Arc::clone(&pod), key, sender));
    Ok(Session {
        stdin,
        stdout: reader(&mut ends, stdout)?.map(|stream| Box::new(stream) as _),
        stderr: reader(&mut ends, stderr)?.map(|stream| Box::new(stream) as _),
        resize,
        exit,
    })
}

/// Until the container has ended, or nobody waits for it any more.
async fn ended(pod: Arc<Pod>, key: super::pod::Key, mut waiting: oneshot::Sender<Result<i32, Error>>) {
    let mut version = pod.watch();
    loop {
        let outcome = {
            let inner = pod.lock();
            match inner.containers.get(&key) {
                None => Some(Err(Error::NotFound("the container".to_owned()))),
                Some(known) => {
                    known.live.as_ref().and_then(|live| live.exit.as_ref()).map(|exit| Ok(exit.code))
                }
            }
        };
        if let Some(outcome) = outcome {
            let _ = waiting.send(outcome);
            return;
        }
        tokio::select! {
            outcome = version.changed() => {
                if outcome.is_err() {
                    return;
                }
            }
            () = waiting.closed() => return,
        }
    }
}
