//! `/exec`, `/attach`, `/portForward`, `/run`: what is joined with a client's connection once it has been upgraded.

use std::future::Future;

use futures::future::join;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::answer::{self, Answer, full};
use super::pods::Found;
use super::route::Of;
use super::{Head, Server};
use crate::container::ContainerId;
use crate::runtime::{Container, ExecConfig, State, Wanted};
use crate::stream::port_forward;
use crate::stream::remote_command::{self, Options, What};
use crate::stream::upgrade::{self, ACCEPTED_PROTOCOLS, Refusal, Upgrade};
use crate::words::in_words;

/// Most bytes that `/run` answers with.
const MAX_RUN_BYTES: u64 = 4 << 20;

/// Runs a command with a client's streams.
pub(super) async fn exec(server: &Server, request: Head, of: &Of, query: &str) -> Answer {
    let options = match Options::parse(query) {
        Ok(options) => options,
        Err(why) => return answer::text(StatusCode::BAD_REQUEST, why),
    };
    let Some(found) = find(server, of) else { return missing_pod() };
    let Some(id) = running(server, &found, &of.container).await else {
        return failed(&format!("container not found ({:?})", of.container));
    };
    let command = words(query, "command");
    let Options { stdin, stdout, stderr, terminal } = options;
    let config = ExecConfig { command: command.clone(), terminal, wanted: Wanted { stdin, stdout, stderr } };
    let runtime = server.0.runtime.clone();
    let (spdy, web) = (remote_command::SPDY_PROTOCOLS, remote_command::WEBSOCKET_PROTOCOLS);
    upgraded(server, request, spdy, web, move |io, upgrade, protocol| async move {
        let begin = runtime.exec(&id, &config);
        remote_command::serve(io, &upgrade, protocol, options, What::Exec(command), begin).await;
    })
}

/// Joins a container's streams with a client's.
pub(super) async fn attach(server: &Server, request: Head, of: &Of, query: &str) -> Answer {
    let mut options = match Options::parse(query) {
        Ok(options) => options,
        Err(why) => return answer::text(StatusCode::BAD_REQUEST, why),
    };
    let Some(found) = find(server, of) else { return missing_pod() };
    let missing = || failed(&format!("container {} not found in pod {}", of.container, found.full_name()));
    let Some(id) = running(server, &found, &of.container).await else { return missing() };
    // Whether there is a terminal was decided when the container was started.
    let Some(terminal) = found.terminal_of(&of.container) else { return missing() };
    options.terminal = terminal;
    options.stderr &= !terminal;
    let Options { stdin, stdout, stderr, .. } = options;
    let runtime = server.0.runtime.clone();
    let (spdy, web) = (remote_command::SPDY_PROTOCOLS, remote_command::WEBSOCKET_PROTOCOLS);
    upgraded(server, request, spdy, web, move |io, upgrade, protocol| async move {
        let begin = runtime.attach(&id, Wanted { stdin, stdout, stderr });
        remote_command::serve(io, &upgrade, protocol, options, What::Attach, begin).await;
    })
}

/// Joins a client's connections with ports of a pod.
pub(super) async fn port_forward(server: &Server, request: Head, of: &Of, query: &str) -> Answer {
    let Some(found) = find(server, of) else { return missing_pod() };
    let ready = match server.0.runtime.sandbox(&found.uid).await {
        Ok(sandbox) => sandbox.is_some_and(|sandbox| sandbox.ready),
        Err(error) => return failed(&in_words(&error)),
    };
    if !ready {
        return failed(&format!("pod not found ({:?})", found.full_name()));
    }
    // Plain WebSockets name their ports here; others with each connection.
    let asked = upgrade::asked(request.headers());
    let ports = match &asked {
        Ok(upgrade @ Upgrade::WebSocket(_))
            if upgrade::negotiate(request.headers(), upgrade, port_forward::WEBSOCKET_PROTOCOLS)
                .is_ok_and(|protocol| protocol != port_forward::TUNNEL) =>
        {
            match port_forward::ports(query) {
                Ok(ports) => ports,
                Err(why) => return answer::text(StatusCode::BAD_REQUEST, &why),
            }
        }
        _ => Vec::new(),
    };
    let target = port_forward::Target {
        runtime: server.0.runtime.clone(),
        pod: found.uid.clone(),
        name: found.name().to_owned(),
    };
    let (spdy, web) = (port_forward::SPDY_PROTOCOLS, port_forward::WEBSOCKET_PROTOCOLS);
    upgraded(server, request, spdy, web, move |io, upgrade, protocol| async move {
        port_forward::serve(io, &upgrade, protocol, &ports, target).await;
    })
}

/// Runs a command, and answers with all that it says.
pub(super) async fn run(server: &Server, of: &Of, query: &str) -> Answer {
    let Some(found) = find(server, of) else { return missing_pod() };
    let Some(id) = running(server, &found, &of.container).await else {
        return failed(&format!("container not found ({:?})", of.container));
    };
    let line = words(query, "cmd").into_iter().next().unwrap_or_default();
    let command = line.split(' ').map(str::to_owned).collect();
    let wanted = Wanted { stdin: false, stdout: true, stderr: true };
    let config = ExecConfig { command, terminal: false, wanted };
    let mut session = match server.0.runtime.exec(&id, &config).await {
        Ok(session) => session,
        Err(error) => return failed(&in_words(&error)),
    };
    let (stdout, stderr) = join(all(session.stdout.take()), all(session.stderr.take())).await;
    match (&mut session.exit).await {
        Ok(Ok(0)) => answer::text(StatusCode::OK, &String::from_utf8_lossy(&[stdout, stderr].concat())),
        Ok(Ok(code)) => {
            failed(&format!("command '{line}' exited with {code}: {}", String::from_utf8_lossy(&stderr)))
        }
        Ok(Err(error)) => failed(&in_words(&error)),
        Err(_) => failed("the container runtime lost the command"),
    }
}

async fn all(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What was said before it broke is worth something.
        let _ = stream.take(MAX_RUN_BYTES).read_to_end(&mut bytes).await;
    }
    bytes
}

/// The pod, if its UID is the one that is asked for.
pub(super) fn find(server: &Server, of: &Of) -> Option<Found> {
    let found = server.0.pods.find(&of.namespace, &of.pod)?;
    let fits = |uid: &String| found.pod.metadata.uid.as_ref() == Some(uid) || found.uid.as_str() == uid;
    of.uid.as_ref().is_none_or(fits).then_some(found)
}

/// The container of that name that runs.
async fn running(server: &Server, found: &Found, name: &str) -> Option<ContainerId> {
    let sandbox = server.0.runtime.sandbox(&found.uid).await.ok().flatten()?;
    let runs = |c: &&Container| c.id.name == name && matches!(c.state, State::Running { .. });
    sandbox.containers.iter().rev().find(runs).map(|container| container.id.clone())
}

/// All values of a parameter.
fn words(query: &str, name: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    pairs.map(|(_, value)| value.into_owned()).collect()
}

fn missing_pod() -> Answer {
    answer::text(StatusCode::NOT_FOUND, "pod does not exist")
}

fn failed(why: &str) -> Answer {
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, why)
}

/// What a connection is once it has been upgraded.
type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// Answers that the connection becomes a stream, and serves that in a task of its own.
fn upgraded<S, F>(
    server: &Server,
    mut head: Head,
    spdy: &'static [&'static str],
    web: &'static [&'static str],
    serve: S,
) -> Answer
where
    S: FnOnce(Upgraded, Upgrade, &'static str) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let agreed = upgrade::asked(head.headers()).and_then(|upgrade| {
        let accepted = if upgrade == Upgrade::Spdy { spdy } else { web };
        let protocol = upgrade::negotiate(head.headers(), &upgrade, accepted)?;
        Ok((upgrade, protocol))
    });
    let (upgrade, protocol) = match agreed {
        Ok(agreed) => agreed,
        Err(refusal) => return refused(&refusal),
    };
    let Ok(seat) = std::sync::Arc::clone(&server.0.streams).try_acquire_owned() else {
        server.0.metrics.stream_refused();
        return answer::text(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open on this node");
    };
    let answer = upgrade::switching(&upgrade, protocol).map(|()| full(""));
    let (on_upgrade, stop) = (hyper::upgrade::on(&mut head), server.0.stop.clone());
    let open = server.0.metrics.stream();
    tokio::spawn(async move {
        let _kept = (seat, open);
        match on_upgrade.await {
            Ok(io) => tokio::select! {
                () = serve(TokioIo::new(io), upgrade, protocol) => {}
                () = stop.cancelled() => {}
            },
            Err(error) => tracing::debug!(%error, "a connection did not become a stream"),
        }
    });
    answer
}

fn refused(refusal: &Refusal) -> Answer {
    let mut answer = answer::text(refusal.code(), &refusal.to_string());
    if let Refusal::NoProtocol { list, .. } = refusal {
        for protocol in *list {
            answer.headers_mut().append(ACCEPTED_PROTOCOLS, http::HeaderValue::from_static(protocol));
        }
    }
    answer
}
