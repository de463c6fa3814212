//! Commands, attached streams and connections to ports, over the runtime's streaming server.
//!
//! A command whose session is dropped loses its streams, and the runtime decides what becomes of it: containerd lets it run on, as under
//! the kubelet.

mod joined;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use self::joined::{Forwarded, Input, Output};
use super::{Shared, containers, dial, refused, sandboxes};
use crate::container::{ContainerId, PodUid};
use crate::cri::messages as cri;
use crate::runtime::{Duplex, Error, ExecConfig, Session, State, TerminalSize, Wanted};
use crate::stream::spdy::header::Headers;
use crate::stream::spdy::{self, Connection, Role, Stream};

/// What is spoken in the streams of commands: the fourth version tells exit codes.
const COMMAND_PROTOCOL: &str = "v4.channel.k8s.io";
/// What is spoken in the streams of ports.
const PORT_PROTOCOL: &str = "portforward.k8s.io";
/// Sizes that wait to be sent; only the last matters.
const SIZES: usize = 8;
/// Most of what an error stream may say.
const MAX_ERROR_BYTES: u64 = 1 << 20;

pub(super) async fn exec(
    shared: &Arc<Shared>,
    id: &ContainerId,
    config: &ExecConfig,
) -> Result<Session, Error> {
    let (container_id, _) = containers::running(shared, id).await?;
    let wanted = Wanted { stderr: config.wanted.stderr && !config.terminal, ..config.wanted };
    let asked = asked(wanted);
    let request = cri::ExecRequest {
        container_id,
        cmd: config.command.clone(),
        tty: config.terminal,
        stdin: asked.stdin,
        stdout: asked.stdout,
        stderr: asked.stderr,
    };
    let url = shared.client.ask(request).await.map_err(refused)?.url;
    let (exited, exit) = oneshot::channel();
    let open = begin(&url, asked, config.terminal, exited, |said| async move { said }).await?;
    Ok(open.session(wanted, exit))
}

pub(super) async fn attach(shared: &Arc<Shared>, id: &ContainerId, wanted: Wanted) -> Result<Session, Error> {
    let (container_id, kept) = containers::running(shared, id).await?;
    let wanted = Wanted { stderr: wanted.stderr && !kept.terminal, ..wanted };
    let asked = asked(wanted);
    let request = cri::AttachRequest {
        container_id,
        tty: kept.terminal,
        stdin: asked.stdin,
        stdout: asked.stdout,
        stderr: asked.stderr,
    };
    let url = shared.client.ask(request).await.map_err(refused)?.url;
    let (exited, exit) = oneshot::channel();
    let (owner, id) = (Arc::clone(shared), id.clone());
    // The streams end with the container, a moment before the runtime says so, and do not tell its code.
    let code = |said: Result<i32, Error>| async move {
        said?;
        let mut changes = owner.changes.subscribe();
        loop {
            let sandbox = sandboxes::one(&owner, &id.pod).await?;
            let container = sandbox.and_then(|s| s.containers.into_iter().find(|c| c.id == id));
            match container.map(|container| container.state) {
                Some(State::Exited { code, .. }) => return Ok(code),
                Some(_) => {}
                None => return Err(Error::NotFound(format!("container {id}"))),
            }
            let _ = changes.recv().await;
        }
    };
    let open = begin(&url, asked, kept.terminal, exited, code).await?;
    Ok(open.session(wanted, exit))
}

/// Something has to be asked for: then it is the output, which is not read.
fn asked(wanted: Wanted) -> Wanted {
    Wanted { stdout: wanted.stdout || !(wanted.stdin || wanted.stderr), ..wanted }
}

/// The streams of a command.
struct Open {
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: mpsc::Sender<TerminalSize>,
}

impl Open {
    fn session(self, wanted: Wanted, exit: oneshot::Receiver<Result<i32, Error>>) -> Session {
        let Self { stdin, stdout, stderr, resize } = self;
        let reader = |stream: Stream| Box::new(Output(stream)) as Box<dyn AsyncRead + Send + Unpin>;
        let stdout = match stdout.map(reader) {
            Some(mut unread) if !wanted.stdout => {
                tokio::spawn(async move { tokio::io::copy(&mut unread, &mut tokio::io::sink()).await });
                None
            }
            stdout => stdout,
        };
        Session {
            stdin: stdin.map(|stream| Box::new(Input::new(stream)) as _),
            stdout,
            stderr: stderr.map(reader),
            resize,
            exit,
        }
    }
}

/// Connects, opens the streams, and has the connection carried until the command has ended or nobody waits for it any more. `code` makes
/// the exit code of what the error stream said.
async fn begin<C, F>(
    url: &str,
    asked: Wanted,
    terminal: bool,
    exited: oneshot::Sender<Result<i32, Error>>,
    code: C,
) -> Result<Open, Error>
where
    C: FnOnce(Result<i32, Error>) -> F + Send + 'static,
    F: Future<Output = Result<i32, Error>> + Send,
{
    let io = dial::dial(url, COMMAND_PROTOCOL).await?;
    let (connection, _incoming, work) = spdy::open(io, Role::Client);
    // It is carried from now on: opening a stream waits for that.
    let carrying = tokio::spawn(work);
    let opened = open(&connection, asked, terminal).await;
    let (error, open, resize) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            carrying.abort();
            return Err(super::failed("cannot open the streams of the command")(error));
        }
    };
    tokio::spawn(async move {
        let mut exited = exited;
        let resized = async {
            if let Some((stream, sizes)) = resize {
                hand_on(stream, sizes).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            said = read_error(error) => {
                tokio::select! {
                    code = code(outcome(&said)) => {
                        let _ = exited.send(code);
                    }
                    () = exited.closed() => {}
                }
            }
            () = exited.closed() => {}
            () = resized => {}
        }
        connection.close().await;
        let _ = carrying.await;
    });
    Ok(open)
}

type Sizes = Option<(Stream, mpsc::Receiver<TerminalSize>)>;

/// In the order in which the kubelet's clients open them.
async fn open(
    connection: &Connection,
    asked: Wanted,
    terminal: bool,
) -> Result<(Stream, Open, Sizes), spdy::Error> {
    let stream = |kind: &'static str| connection.open(Headers::of(&[("streamType", kind)]));
    let error = stream("error").await?;
    let stdin = if asked.stdin { Some(stream("stdin").await?) } else { None };
    let stdout = if asked.stdout { Some(stream("stdout").await?) } else { None };
    let stderr = if asked.stderr { Some(stream("stderr").await?) } else { None };
    let (resize, sizes) = mpsc::channel(SIZES);
    let screen = if terminal { Some((stream("resize").await?, sizes)) } else { None };
    Ok((error, Open { stdin, stdout, stderr, resize }, screen))
}

/// Sizes are JSON texts, one after another.
async fn hand_on(mut stream: Stream, mut sizes: mpsc::Receiver<TerminalSize>) {
    while let Some(TerminalSize { width, height }) = sizes.recv().await {
        let text = json!({"Width": width, "Height": height}).to_string() + "\n";
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// All that an error stream says. The other side may end it by breaking the connection.
async fn read_error(stream: Stream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = stream.take(MAX_ERROR_BYTES).read_to_end(&mut said).await;
    said
}

/// A Status, as far as it is needed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(rename = "status")]
    success: String,
    message: String,
    reason: String,
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// How a command ended, as its error stream says it.
fn outcome(said: &[u8]) -> Result<i32, Error> {
    if said.is_empty() {
        let message = "the container runtime's streaming server broke the connection";
        return Err(Error::Precondition(message.to_owned()));
    }
    let status: Status = serde_json::from_slice(said).unwrap_or_else(|_| Status {
        message: String::from_utf8_lossy(said).into_owned(),
        ..Status::default()
    });
    if status.success == "Success" {
        return Ok(0);
    }
    if status.reason == "NonZeroExitCode" {
        let code = status.details.causes.iter().find(|cause| cause.reason == "ExitCode");
        if let Some(code) = code.and_then(|cause| cause.message.parse().ok()) {
            return Ok(code);
        }
    }
    Err(not_run(&status.message))
}

/// What others prepend is said by whoever passes the error on.
fn not_run(message: &str) -> Error {
    let mut words = message;
    for prefix in [
        "Internal error occurred: ",
        "error executing command in container: ",
        "error attaching to container: ",
    ] {
        words = words.strip_prefix(prefix).unwrap_or(words);
    }
    let code = if words.contains("executable file not found") || words.contains("no such file or directory") {
        127
    } else if words.contains("permission denied") {
        126
    } else {
        return Error::Precondition(words.to_owned());
    };
    Error::Start { code, message: words.to_owned() }
}

/// A connection to a port. Whether something listens there is known only when it says so, or fails: reading then fails with the reason.
pub(super) async fn connect(shared: &Arc<Shared>, pod: &PodUid, port: u16) -> Result<Box<dyn Duplex>, Error> {
    let sandbox = sandboxes::newest(shared, pod).await?;
    if !sandbox.ready {
        return Err(Error::Precondition(format!("sandbox {pod} is not running")));
    }
    let request = cri::PortForwardRequest { pod_sandbox_id: sandbox.id, port: vec![port.into()] };
    let url = shared.client.ask(request).await.map_err(refused)?.url;
    let io = dial::dial(&url, PORT_PROTOCOL).await?;
    let (connection, _incoming, work) = spdy::open(io, Role::Client);
    let carrying = tokio::spawn(work);
    let port = port.to_string();
    let stream = |kind: &'static str| {
        connection.open(Headers::of(&[("streamType", kind), ("port", &port), ("requestID", "0")]))
    };
    let opened = async {
        let mut error = stream("error").await?;
        // Nothing is said on it.
        error.shutdown().await?;
        Ok::<_, spdy::Error>((error, stream("data").await?))
    };
    match opened.await {
        Ok((error, data)) => {
            let said = tokio::spawn(read_error(error));
            Ok(Box::new(Forwarded::new(data, said, connection, carrying)))
        }
        Err(error) => {
            carrying.abort();
            Err(super::failed("cannot open the streams of the port")(error))
        }
    }
}

#[cfg(test)]
mod tests;
