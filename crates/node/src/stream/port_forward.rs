//! `port-forward`: joins streams of a client with connections to ports of a pod.
//!
//! Over SPDY (also in a tunnel) each connection is a pair of streams, one for data and one for an error; over plain WebSockets the
//! ports are known from the start, and each has a pair of channels.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::upgrade::Upgrade;
use super::websocket::{self, Format, Tunnel};
use super::{CHUNK_BYTES, LINGER, STREAM_CREATION, spdy};
use crate::container::PodUid;
use crate::runtime::Runtime;
use spdy::header::Headers;

/// What SPDY clients speak.
pub const SPDY_PROTOCOLS: &[&str] = &["portforward.k8s.io"];
/// SPDY in a WebSocket.
pub const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// What WebSocket clients may speak.
pub const WEBSOCKET_PROTOCOLS: &[&str] =
    &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", ""];

/// Most ports of one plain WebSocket: two channels each, numbered by a byte.
const MAX_PORTS: usize = 127;
/// Connections of one client at once.
const MAX_CONNECTIONS: usize = 500;

/// Whose ports.
#[derive(Clone)]
pub struct Target {
    /// What connects.
    pub runtime: Arc<dyn Runtime>,
    /// The pod.
    pub pod: PodUid,
    /// Its name.
    pub name: String,
}

impl Target {
    /// Joins `near` with a port; what went wrong, in upstream's words.
    async fn forward(
        &self,
        port: u16,
        near: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<(), String> {
        let failed = |why: String| {
            let (name, pod) = (&self.name, &self.pod);
            format!("error forwarding port {port} to pod {name}, uid {pod}: {why}")
        };
        let connected = self.runtime.connect(&self.pod, port).await;
        let mut far = connected.map_err(|error| failed(crate::words::in_words(&error)))?;
        match tokio::io::copy_bidirectional_with_sizes(near, &mut far, CHUNK_BYTES, CHUNK_BYTES).await {
            // What the system does not say, a runtime does: only now it knows that nothing listens.
            Err(error) if error.kind() == std::io::ErrorKind::Other => Err(failed(error.to_string())),
            // A connection that breaks is the two ends' own affair.
            _ => Ok(()),
        }
    }
}

/// The ports in a query: `port=80&port=443`, also separated by commas.
pub fn ports(query: &str) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for (_, value) in form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "port") {
        for text in value.split(',') {
            let port = text.parse::<u16>().ok().filter(|port| *port > 0);
            ports.push(port.ok_or_else(|| format!("unable to parse {text:?} as a port"))?);
        }
    }
    match ports.len() {
        0 => Err("query parameter \"port\" is required".to_owned()),
        1..=MAX_PORTS => Ok(ports),
        _ => Err(format!("at most {MAX_PORTS} ports can be forwarded at once")),
    }
}

/// Serves a client over a connection that was upgraded, until it is gone. `ports` are those of the query.
pub async fn serve<T>(io: T, upgrade: &Upgrade, protocol: &str, ports: &[u16], target: Target)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match upgrade {
        Upgrade::Spdy => over_spdy(io, target).await,
        Upgrade::WebSocket(_) if protocol == TUNNEL => over_spdy(Tunnel::new(io).await, target).await,
        Upgrade::WebSocket(_) => over_websocket(io, protocol, ports, target).await,
    }
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Data,
    Error,
}

/// Port and purpose of a stream, as its headers say them.
fn purpose(headers: &Headers) -> Result<(u16, Purpose), String> {
    let text = headers.get("port").unwrap_or_default();
    if text.is_empty() {
        return Err("\"port\" header is required".to_owned());
    }
    let port = text.parse::<u16>().map_err(|_| format!("unable to parse {text:?} as a port"))?;
    if port == 0 {
        return Err(format!("port {text:?} must be > 0"));
    }
    match headers.get("streamtype").unwrap_or_default() {
        "" => Err("\"streamType\" header is required".to_owned()),
        "data" => Ok((port, Purpose::Data)),
        "error" => Ok((port, Purpose::Error)),
        other => Err(format!("invalid stream type {other:?}")),
    }
}

/// A connection of which one stream is open.
struct Half {
    port: u16,
    purpose: Purpose,
    stream: spdy::Stream,
    until: Instant,
}

async fn over_spdy<T>(io: T, target: Target)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (_connection, mut incoming, carrier) = spdy::open(io, spdy::Role::Server);
    let work = async {
        let mut halves: HashMap<String, Half> = HashMap::new();
        let mut running = JoinSet::new();
        loop {
            let oldest = halves.values().map(|half| half.until).min();
            tokio::select! {
                next = incoming.recv() => {
                    let Some(next) = next else { return };
                    if halves.len() + running.len() >= MAX_CONNECTIONS {
                        tracing::debug!(limit = MAX_CONNECTIONS, "a client forwards too many connections");
                    } else if let Some((port, data, error)) = pair(next, &mut halves).await {
                        running.spawn(one(target.clone(), port, data, error));
                    }
                }
                Some(_) = running.join_next() => {}
                () = sleep_until(oldest.unwrap_or_else(Instant::now)), if oldest.is_some() => {
                    halves.retain(|_, half| half.until > Instant::now());
                }
            }
        }
    };
    tokio::select! {
        ended = carrier => tracing::debug!(?ended, "the client of a port-forward is gone"),
        () = work => {}
    }
}

/// Takes a stream in: the port and both streams of a connection when it has both.
async fn pair(
    next: spdy::Incoming,
    halves: &mut HashMap<String, Half>,
) -> Option<(u16, spdy::Stream, spdy::Stream)> {
    let (port, purpose) = match purpose(&next.headers) {
        Ok(read) => read,
        Err(why) => {
            tracing::debug!(%why, "a stream of a port-forward is refused");
            return None;
        }
    };
    // Clients before 1.1 do not number their connections: the streams of one follow each other.
    let id = next.headers.get("requestid").map_or_else(
        || if purpose == Purpose::Error { next.id() } else { next.id().saturating_sub(2) }.to_string(),
        str::to_owned,
    );
    let stream = next.accept().await.ok()?;
    match halves.remove(&id) {
        Some(half) if half.purpose != purpose && half.port == port => Some(match purpose {
            Purpose::Data => (port, stream, half.stream),
            Purpose::Error => (port, half.stream, stream),
        }),
        // The same stream twice: the first is dropped, and so reset.
        _ => {
            halves.insert(id, Half { port, purpose, stream, until: Instant::now() + STREAM_CREATION });
            None
        }
    }
}

/// One connection.
async fn one(target: Target, port: u16, mut data: spdy::Stream, mut error: spdy::Stream) {
    if let Err(why) = target.forward(port, &mut data).await {
        let _ = error.write_all(why.as_bytes()).await;
    }
    let _ = error.shutdown().await;
    let _ = data.shutdown().await;
}

async fn over_websocket<T>(io: T, protocol: &str, ports: &[u16], target: Target)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let format = if protocol.contains("base64") { Format::Base64 } else { Format::Binary { ends: false } };
    let numbers: Vec<(u8, u16)> = (0..).step_by(2).zip(ports.iter().copied().take(MAX_PORTS)).collect();
    let data: Vec<u8> = numbers.iter().map(|(channel, _)| *channel).collect();
    let (connection, outlets, carrier) = websocket::open(io, format, &data);
    let work = async {
        for (channel, port) in &numbers {
            for channel in [*channel, channel + 1] {
                connection.say(channel, port.to_le_bytes().to_vec()).await;
            }
        }
        let mut running = JoinSet::new();
        for ((channel, port), outlet) in numbers.into_iter().zip(outlets) {
            let (target, connection) = (target.clone(), connection.clone());
            running.spawn(async move {
                let mut near = tokio::io::join(outlet, connection.writer(channel));
                if let Err(why) = target.forward(port, &mut near).await {
                    connection.say(channel + 1, why).await;
                }
            });
        }
        while running.join_next().await.is_some() {}
        connection.close().await;
    };
    tokio::pin!(carrier);
    tokio::select! {
        ended = &mut carrier => tracing::debug!(?ended, "the client of a port-forward is gone"),
        () = work => {
            let _ = timeout(LINGER * 2, carrier).await;
        }
    }
}

#[cfg(test)]
mod tests;
