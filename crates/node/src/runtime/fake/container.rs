//! A running program: its streams, its log, and whoever is attached.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{BUFFER_BYTES, Fake, Process, Program};
use crate::container::{ContainerConfig, ContainerId};
use crate::runtime::{Error, ExecConfig, Session, TerminalSize, Wanted};

/// A running container. Clones are the same.
#[derive(Clone)]
pub(super) struct Running(Arc<Inner>);

struct Inner {
    begin: Notify,
    killed: CancellationToken,
    input: mpsc::Sender<Input>,
    output: broadcast::Sender<(Source, Vec<u8>)>,
    sizes: mpsc::Sender<TerminalSize>,
    log: Option<(PathBuf, Mutex<File>)>,
    end: tokio::sync::watch::Receiver<Option<i32>>,
}

enum Input {
    Bytes(Vec<u8>),
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
}

fn open(path: &Path) -> Result<File, Error> {
    let failed = |source: std::io::Error| Error::Failed {
        context: format!("cannot open the log {}", path.display()),
        source: source.into(),
    };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    OpenOptions::new().create(true).append(true).open(path).map_err(failed)
}

/// Starts the program of a container; it begins with [`Running::go`].
pub(super) fn start(
    fake: &Fake,
    config: &ContainerConfig,
    args: Vec<String>,
    program: &Program,
    log: Option<PathBuf>,
) -> Result<Running, Error> {
    let log = match log {
        Some(path) => {
            let file = open(&path)?;
            Some((path, Mutex::new(file)))
        }
        None => None,
    };
    let (input, inputs) = mpsc::channel(16);
    let (sizes, size) = mpsc::channel(16);
    let (end, ended) = tokio::sync::watch::channel(None);
    let running = Running(Arc::new(Inner {
        begin: Notify::new(),
        killed: CancellationToken::new(),
        input,
        output: broadcast::channel(256).0,
        sizes,
        log,
        end: ended,
    }));
    let (stdin, program_stdin) = tokio::io::duplex(BUFFER_BYTES);
    let (stdout, program_stdout) = tokio::io::duplex(BUFFER_BYTES);
    let (stderr, program_stderr) = tokio::io::duplex(BUFFER_BYTES);
    let process = Process {
        container: config.id.clone(),
        args,
        terminal: config.terminal,
        stdin: if config.stdin { Box::new(program_stdin) } else { Box::new(tokio::io::empty()) },
        stdout: Box::new(program_stdout),
        stderr: Box::new(program_stderr),
        sizes: size,
    };
    let run = program(process);
    let (fake, id, me, once) = (fake.clone(), config.id.clone(), running.clone(), config.stdin_once);
    tokio::spawn(async move {
        let _alive = Arc::clone(&fake.0.alive);
        me.0.begin.notified().await;
        let streams = async {
            tokio::join!(me.tell(stdout, Source::Stdout), me.tell(stderr, Source::Stderr));
        };
        let code = tokio::select! {
            (code, ()) = async { tokio::join!(run, streams) } => code,
            () = feed(inputs, stdin, once) => unreachable!("an input ends with its program"),
            () = me.0.killed.cancelled() => 143,
        };
        end.send_replace(Some(code));
        fake.ended(&id, code, if code == 143 { 15 } else { 0 });
    });
    Ok(running)
}

/// Hands on what the attached say; never ends.
async fn feed(mut inputs: mpsc::Receiver<Input>, stdin: DuplexStream, once: bool) {
    let mut stdin = Some(stdin);
    while let Some(input) = inputs.recv().await {
        match (input, &mut stdin) {
            (Input::Bytes(bytes), Some(stdin)) => {
                let _ = stdin.write_all(&bytes).await;
            }
            (Input::End, _) if once => stdin = None,
            _ => {}
        }
    }
    std::future::pending::<()>().await;
}

impl Running {
    /// Lets the program begin.
    pub(super) fn go(&self) {
        self.0.begin.notify_one();
    }

    /// Ends the program.
    pub(super) fn kill(&self) {
        self.0.killed.cancel();
    }

    /// Opens the log file anew.
    pub(super) fn reopen_log(&self) -> Result<(), Error> {
        if let Some((path, file)) = &self.0.log {
            *file.lock() = open(path)?;
        }
        Ok(())
    }

    /// Writes what the program says into the log, and tells the attached.
    async fn tell(&self, mut stream: DuplexStream, source: Source) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            self.log(&buffer[..n], source);
            let _ = self.0.output.send((source, buffer[..n].to_vec()));
        }
    }

    fn log(&self, bytes: &[u8], source: Source) {
        let Some((_, file)) = &self.0.log else { return };
        let name = if source == Source::Stdout { "stdout" } else { "stderr" };
        let mut text = Vec::new();
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let now = jiff::Timestamp::now();
            let (line, tag) = line.strip_suffix(b"\n").map_or((line, "P"), |line| (line, "F"));
            text.extend_from_slice(format!("{now:.9} {name} {tag} ").as_bytes());
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        // A log that cannot be written is not worth a container.
        let _ = file.lock().write_all(&text);
    }

    /// Joins the streams.
    pub(super) fn attach(&self, wanted: Wanted) -> Session {
        let (exited, exit) = oneshot::channel();
        let mut session =
            Session { stdin: None, stdout: None, stderr: None, resize: self.0.sizes.clone(), exit };
        if wanted.stdin {
            let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
            session.stdin = Some(Box::new(ours));
            tokio::spawn(hear(theirs, self.0.input.clone()));
        }
        let listen = |source| {
            let (mut ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
            let mut output = self.0.output.subscribe();
            let mut end = self.0.end.clone();
            tokio::spawn(async move {
                loop {
                    let said = tokio::select! {
                        biased;
                        said = output.recv() => said,
                        _ = end.wait_for(Option::is_some) => break,
                    };
                    match said {
                        Ok((from, bytes)) if from == source => {
                            if ours.write_all(&bytes).await.is_err() {
                                break;
                            }
                        }
                        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => break,
                    }
                }
            });
            Box::new(theirs) as Box<dyn AsyncRead + Send + Unpin>
        };
        session.stdout = wanted.stdout.then(|| listen(Source::Stdout));
        session.stderr = wanted.stderr.then(|| listen(Source::Stderr));
        let mut end = self.0.end.clone();
        tokio::spawn(async move {
            let mut exited = exited;
            tokio::select! {
                code = end.wait_for(Option::is_some) => {
                    let code = code.ok().and_then(|code| *code).unwrap_or(0);
                    let _ = exited.send(Ok(code));
                }
                () = exited.closed() => {}
            }
        });
        session
    }
}

/// Hands on what one of the attached says.
async fn hear(mut from: DuplexStream, to: mpsc::Sender<Input>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if to.send(Input::Bytes(buffer[..n].to_vec())).await.is_err() {
            return;
        }
    }
    let _ = to.send(Input::End).await;
}

/// Runs a command.
pub(super) fn exec(fake: &Fake, id: &ContainerId, command: &ExecConfig, program: &Program) -> Session {
    let wanted = command.wanted;
    let (resize, sizes) = mpsc::channel(16);
    let (exited, exit) = oneshot::channel();
    let mut session = Session { stdin: None, stdout: None, stderr: None, resize, exit };
    let (mut stdin, mut stdout, mut stderr): (
        Box<dyn AsyncRead + Send + Unpin>,
        Box<dyn AsyncWrite + Send + Unpin>,
        Box<dyn AsyncWrite + Send + Unpin>,
    ) = (Box::new(tokio::io::empty()), Box::new(tokio::io::sink()), Box::new(tokio::io::sink()));
    if wanted.stdin {
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        session.stdin = Some(Box::new(ours));
        stdin = Box::new(theirs);
    }
    if wanted.stdout {
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        session.stdout = Some(Box::new(ours));
        stdout = Box::new(theirs);
    }
    if wanted.stderr && !command.terminal {
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        session.stderr = Some(Box::new(ours));
        stderr = Box::new(theirs);
    }
    let run = program(Process {
        container: id.clone(),
        args: command.command.clone(),
        terminal: command.terminal,
        stdin,
        stdout,
        stderr,
        sizes,
    });
    let alive = Arc::clone(&fake.0.alive);
    tokio::spawn(async move {
        let (mut exited, _alive) = (exited, alive);
        tokio::select! {
            code = run => {
                let _ = exited.send(Ok(code));
            }
            () = exited.closed() => {}
        }
    });
    session
}
