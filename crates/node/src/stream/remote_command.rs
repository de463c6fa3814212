//! `exec` and `attach`: joins the streams of a client with those of a [`Session`], and tells how it ended.
//!
//! A client that goes away ends the session; the runtime then kills a command, and leaves a container alone.

mod sizes;

use std::future::pending;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use super::status::Outcome;
use super::upgrade::Upgrade;
use super::websocket::{self, Format};
use super::{LINGER, Reader, STREAM_CREATION, Writer, copy, spdy};
use crate::runtime::{Duplex, Error, Session};
use sizes::Sizes;

/// What SPDY clients may speak, the newest first. Who names nothing speaks the first version.
pub const SPDY_PROTOCOLS: &[&str] =
    &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", ""];
/// What WebSocket clients may speak.
pub const WEBSOCKET_PROTOCOLS: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// The streams that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent parameters of the request")]
pub struct Options {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error; never with a terminal.
    pub stderr: bool,
    /// A terminal.
    pub terminal: bool,
}

impl Options {
    /// As the kubelet's query says them: `input=1&output=1&error=1&tty=1`.
    pub fn parse(query: &str) -> Result<Self, &'static str> {
        let is_set = |name: &str| {
            let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
            found.is_some_and(|(_, value)| value == "1")
        };
        let terminal = is_set("tty");
        let stderr = is_set("error") && !terminal;
        let options = Self { stdin: is_set("input"), stdout: is_set("output"), stderr, terminal };
        if !options.stdin && !options.stdout && !options.stderr {
            return Err("you must specify at least 1 of stdin, stdout, stderr");
        }
        Ok(options)
    }
}

/// What is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A command.
    Exec(Vec<String>),
    /// A running container.
    Attach,
}

impl What {
    fn failed(&self, error: &Error) -> Outcome {
        let what = match self {
            What::Exec(_) => "error executing command in container",
            What::Attach => "error attaching to container",
        };
        Outcome::Failed(format!("{what}: {}", crate::words::in_words(error)))
    }

    fn ended(&self, code: i32) -> Outcome {
        match self {
            What::Exec(command) if code != 0 => Outcome::Exit { code, command: command.clone() },
            _ => Outcome::Success,
        }
    }
}

/// The streams of a client.
struct Remote {
    stdin: Option<Box<dyn Duplex>>,
    stdout: Option<Writer>,
    stderr: Option<Writer>,
    error: Writer,
    resize: Option<Box<dyn Duplex>>,
}

/// Serves a client over a connection that was upgraded, until the command has ended or the client is gone. `begin` is called when the
/// client's streams are there.
pub async fn serve<T, B>(io: T, upgrade: &Upgrade, protocol: &str, options: Options, what: What, begin: B)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Future<Output = Result<Session, Error>> + Send,
{
    match upgrade {
        Upgrade::Spdy => over_spdy(io, protocol, options, &what, begin).await,
        Upgrade::WebSocket(_) => over_websocket(io, protocol, options, &what, begin).await,
    }
}

async fn over_spdy<T, B>(io: T, protocol: &str, options: Options, what: &What, begin: B)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Future<Output = Result<Session, Error>> + Send,
{
    let (connection, incoming, carrier) = spdy::open(io, spdy::Role::Server);
    let resizes = options.terminal && matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let work = async {
        match timeout(STREAM_CREATION, spdy_streams(incoming, options, resizes)).await {
            Ok(Some(mut remote)) => {
                let outcome = run(&mut remote, what, begin).await;
                tell(&mut remote, &outcome, protocol == "v4.channel.k8s.io").await;
            }
            Ok(None) => {}
            Err(_) => tracing::debug!("a client did not open the streams of its remote command in time"),
        }
        connection.close().await;
    };
    tokio::pin!(carrier);
    tokio::select! {
        ended = &mut carrier => tracing::debug!(?ended, "the client of a remote command is gone"),
        () = work => {
            let _ = timeout(LINGER * 2, carrier).await;
        }
    }
}

/// The streams that belong to the request, as soon as all are open; `None` when the connection ended before.
async fn spdy_streams(
    mut incoming: mpsc::Receiver<spdy::Incoming>,
    options: Options,
    resizes: bool,
) -> Option<Remote> {
    let (mut error, mut stdin, mut stdout, mut stderr, mut resize) = (None, None, None, None, None);
    loop {
        let missing = error.is_none()
            || (options.stdin && stdin.is_none())
            || (options.stdout && stdout.is_none())
            || (options.stderr && stderr.is_none())
            || (resizes && resize.is_none());
        if !missing {
            break;
        }
        let next = incoming.recv().await?;
        let slot = match next.headers.get("streamtype").unwrap_or_default() {
            "error" => &mut error,
            "stdin" if options.stdin => &mut stdin,
            "stdout" if options.stdout => &mut stdout,
            "stderr" if options.stderr => &mut stderr,
            "resize" if resizes => &mut resize,
            other => {
                tracing::debug!(kind = other, "a stream that does not belong to the request is refused");
                continue;
            }
        };
        *slot = Some(next.accept().await.ok()?);
    }
    Some(Remote {
        stdin: stdin.map(|stream| Box::new(stream) as Box<dyn Duplex>),
        stdout: stdout.map(|stream| Box::new(stream) as Writer),
        stderr: stderr.map(|stream| Box::new(stream) as Writer),
        error: Box::new(error?),
        resize: resize.map(|stream| Box::new(stream) as Box<dyn Duplex>),
    })
}

async fn over_websocket<T, B>(io: T, protocol: &str, options: Options, what: &What, begin: B)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Future<Output = Result<Session, Error>> + Send,
{
    let is_base64 = protocol.contains("base64");
    let format =
        if is_base64 { Format::Base64 } else { Format::Binary { ends: protocol == "v5.channel.k8s.io" } };
    let (connection, mut outlets, carrier) = websocket::open(io, format, &[STDIN, RESIZE]);
    let readable = |outlet| Box::new(tokio::io::join(outlet, tokio::io::sink())) as Box<dyn Duplex>;
    let (resize, stdin) = (outlets.pop().map(readable), outlets.pop().map(readable));
    let writer = |channel| Box::new(connection.writer(channel)) as Writer;
    let mut remote = Remote {
        stdin: stdin.filter(|_| options.stdin),
        stdout: options.stdout.then(|| writer(STDOUT)),
        stderr: options.stderr.then(|| writer(STDERR)),
        error: writer(ERROR),
        resize: resize.filter(|_| options.terminal),
    };
    let work = async {
        // Says that the connection stands, before the command says anything.
        let first = match (options.stdout, options.stderr) {
            (true, _) => STDOUT,
            (false, true) => STDERR,
            (false, false) => ERROR,
        };
        connection.say(first, "").await;
        let outcome = run(&mut remote, what, begin).await;
        tell(&mut remote, &outcome, protocol.starts_with('v')).await;
        connection.close().await;
    };
    tokio::pin!(carrier);
    tokio::select! {
        ended = &mut carrier => tracing::debug!(?ended, "the client of a remote command is gone"),
        () = work => {
            let _ = timeout(LINGER * 2, carrier).await;
        }
    }
}

/// Runs the session to its end.
async fn run(
    remote: &mut Remote,
    what: &What,
    begin: impl Future<Output = Result<Session, Error>>,
) -> Outcome {
    let Session { stdin, stdout, stderr, resize, exit } = match begin.await {
        Ok(session) => session,
        Err(error) => return what.failed(&error),
    };
    let input = async {
        if let Some(from) = &mut remote.stdin {
            if let Some(mut to) = stdin {
                // A command that reads no more is no failure.
                let _ = copy(from, &mut to).await;
                let _ = to.shutdown().await;
            }
            let _ = from.shutdown().await;
            // What the client still says must not be in the way of what else it says.
            let _ = copy(from, &mut tokio::io::sink()).await;
        }
        pending::<()>().await;
    };
    let sizes = async {
        if let Some(from) = &mut remote.resize {
            Sizes::default().hand_on(from, &resize).await;
        }
        pending::<()>().await;
    };
    let output = async {
        tokio::try_join!(carry(stdout, &mut remote.stdout), carry(stderr, &mut remote.stderr))?;
        Ok::<_, std::io::Error>(exit.await)
    };
    tokio::select! {
        () = input => unreachable!("input does not end a command"),
        () = sizes => unreachable!("sizes do not end a command"),
        ended = output => match ended {
            Ok(Ok(Ok(code))) => what.ended(code),
            Ok(Ok(Err(error))) => what.failed(&error),
            Ok(Err(_)) => Outcome::Failed("the container runtime lost the command".to_owned()),
            Err(error) => Outcome::Failed(format!("the client could not be told more: {error}")),
        },
    }
}

/// Carries one output to the client, to its end.
async fn carry(from: Option<Reader>, to: &mut Option<Writer>) -> std::io::Result<()> {
    match (from, to) {
        (Some(mut from), Some(to)) => {
            copy(&mut from, to).await?;
            to.shutdown().await
        }
        (Some(mut from), None) => copy(&mut from, &mut tokio::io::sink()).await,
        (None, Some(to)) => to.shutdown().await,
        (None, None) => Ok(()),
    }
}

/// Says how it ended: as a Status, or before version 4 in words.
async fn tell(remote: &mut Remote, outcome: &Outcome, as_status: bool) {
    let text = if as_status { outcome.status().to_string() } else { outcome.message() };
    // Who is gone need not be told. What was never written to has an end as well: a stream that is dropped without one is reset, maybe
    // before the client has read that it was accepted.
    for input in [&mut remote.stdin, &mut remote.resize].into_iter().flatten() {
        let _ = input.shutdown().await;
    }
    for output in [&mut remote.stdout, &mut remote.stderr].into_iter().flatten() {
        let _ = output.shutdown().await;
    }
    let _ = remote.error.write_all(text.as_bytes()).await;
    let _ = remote.error.shutdown().await;
}

#[cfg(test)]
mod tests;
