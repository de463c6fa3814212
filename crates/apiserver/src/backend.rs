//! Connections to what stands behind the API server: nodes, and what runs on them.
//!
//! Whoever asks says where to ([`Location`]); here it is connected to, the request passed on, and the answer passed back as it comes.
//! A connection that becomes another protocol is joined with the client's, both ways, with one small buffer each. It knows no kinds.

mod dial;
mod forward;
mod splice;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::request::Parts;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sampan_model::{Reason, Status};
use tokio::sync::Semaphore;

use crate::http_io::body::{Upload, nothing};
use crate::http_io::respond::Answer;
use forward::{Answered, Outgoing};
pub use tls::{Error, Identity};

/// Upgraded connections at once; further ones are refused with 429.
const MAX_UPGRADED: usize = 4096;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// How it is spoken with.
    pub scheme: Scheme,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, percent-encoded, with its first slash; may be empty.
    pub path: String,
    /// The query, without its question mark.
    pub query: String,
}

/// How a location is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTPS with whoever answers, as proxies to pods and services have it.
    AnyHttps,
    /// HTTPS with a node, which must show a certificate of the cluster's authority, and is shown the server's own.
    Node,
    /// The same with whoever answers (`insecureSkipTLSVerifyBackend`).
    UnverifiedNode,
}

impl Location {
    /// The host and port as a URL has them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn path_and_query(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        if self.query.is_empty() { path.to_owned() } else { format!("{path}?{}", self.query) }
    }

    fn url(&self) -> String {
        let scheme = if self.scheme == Scheme::Http { "http" } else { "https" };
        format!("{scheme}://{}{}", self.authority(), self.path_and_query())
    }
}

/// Connects. Clones are the same.
#[derive(Clone, Debug)]
pub struct Backend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: tls::Configs,
    seats: Arc<Semaphore>,
    upgraded: Gauge,
    refused: Counter,
}

impl Backend {
    /// Connects to nodes as `identity`, and only to those that `authorities` (PEM) vouch for. Without authorities, as upstream has it
    /// without `--kubelet-certificate-authority`, nodes are not verified.
    pub fn new(identity: Option<&Identity>, authorities: Option<&[u8]>) -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner {
            tls: tls::Configs::new(identity, authorities)?,
            seats: Arc::new(Semaphore::new(MAX_UPGRADED)),
            upgraded: Gauge::default(),
            refused: Counter::default(),
        })))
    }

    /// Tells how many connections there are.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let help = "Upgraded connections (exec, attach, port-forward, proxied sockets) that are open";
        registry.register("sampan_apiserver_upgraded_connections", help, self.0.upgraded.clone());
        let help = "Upgraded connections that were refused because too many were open";
        registry.register("sampan_apiserver_upgraded_connections_refused", help, self.0.refused.clone());
    }

    /// Passes an upgrade on, and joins the connections. What the other side answers instead of upgrading is passed back.
    pub async fn upgrade(&self, location: &Location, parts: &Parts) -> Result<Answer, Status> {
        if !is_upgrade(parts) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let Some(client) = parts.extensions.get::<hyper::upgrade::OnUpgrade>().cloned() else {
            return Err(Status::bad_request("Upgrade request required"));
        };
        let Ok(seat) = Arc::clone(&self.0.seats).try_acquire_owned() else {
            self.0.refused.inc();
            return Err(Status::too_many_requests("too many connections are upgraded; try again later", 1));
        };
        let dialing = |error: dial::Error| {
            Status::failure(500, Reason::Unknown, format!("error dialing backend: {error}"))
        };
        let stream = dial::dial(location, &self.0.tls).await.map_err(dialing)?;
        let outgoing = Outgoing {
            method: &parts.method,
            headers: &parts.headers,
            body: nothing(),
            upgrade: true,
            peer: peer(parts),
        };
        let answered = forward::forward(stream, location, outgoing).await;
        let failed = |why: String| Status::failure(500, Reason::Unknown, why);
        match answered.map_err(|error| failed(error.to_string()))? {
            Answered::Plain(answer) if answer.status().as_u16() < 400 => {
                Err(failed(format!("invalid upgrade response: status code {}", answer.status().as_u16())))
            }
            Answered::Plain(answer) => Ok(answer),
            Answered::Upgraded(answer, backend) => {
                let open = Open::new(&self.0.upgraded);
                tokio::spawn(async move {
                    let _kept = (seat, open);
                    splice::join(client, backend).await;
                });
                Ok(answer)
            }
        }
    }

    /// Passes a request on, and the answer back. An error says what failed, as Go's HTTP client would.
    pub async fn request(&self, location: &Location, outgoing: Request<'_>) -> Result<Answer, String> {
        let Request { method, headers, body, peer } = outgoing;
        let stream = dial::dial(location, &self.0.tls).await.map_err(|error| error.to_string())?;
        let outgoing = Outgoing { method, headers, body, upgrade: false, peer };
        match forward::forward(stream, location, outgoing).await {
            Ok(Answered::Plain(answer) | Answered::Upgraded(answer, _)) => Ok(answer),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The addresses of a host, or why there are none.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = dial::addresses(host, 0).await.map_err(|error| match error {
            dial::Error::Lookup(host) => format!("lookup {host}: no such host"),
            other => other.to_string(),
        })?;
        Ok(found.iter().map(SocketAddr::ip).collect())
    }

    /// Reads something of a node: a failure to reach it is told as upstream tells it.
    pub async fn get(&self, location: &Location) -> Result<Answer, Status> {
        let headers = http::HeaderMap::new();
        let request = Request { method: &http::Method::GET, headers: &headers, body: nothing(), peer: None };
        self.request(location, request).await.map_err(|why| {
            Status::failure(500, Reason::Unknown, format!("Get \"{}\": {why}", location.url()))
        })
    }
}

/// A request that is passed on.
pub struct Request<'a> {
    /// Its method.
    pub method: &'a http::Method,
    /// Its headers; those that are the client's affair with this server are left out.
    pub headers: &'a http::HeaderMap,
    /// Its body.
    pub body: Upload,
    /// Whose it is, if that is to be told.
    pub peer: Option<IpAddr>,
}

/// The address of whoever made a request.
pub fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<SocketAddr>().map(SocketAddr::ip)
}

/// Whether a request asks for another protocol.
pub fn is_upgrade(parts: &Parts) -> bool {
    let lines =
        parts.headers.get_all(http::header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
}

/// A connection that counts.
struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
