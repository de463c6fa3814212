//! The kubelet's HTTP API on port 10250: logs, remote commands, port-forward, what runs here and what it uses.
//!
//! Who asks is found by a client certificate or by asking the API server ([`access`]); what a path means is read by `route`, pure.
//! It reaches pods by [`Pods`], and what runs by [`crate::runtime::Runtime`]; it knows nothing of how either does it.

pub mod access;
mod answer;
mod container_logs;
mod figures;
mod listener;
mod metrics;
mod pods;
mod route;
mod streams;
pub mod tls;

use std::sync::Arc;

use http::{Request, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::logs::Watcher;
use crate::runtime::Runtime;
use access::{Access, Peer};
use answer::Answer;
use metrics::Metrics;
pub use pods::{Found, Pods};
use route::Route;

/// Remote commands and port-forwards at once; further ones are refused with 503.
const MAX_STREAMS: usize = 2000;

/// What a server is given.
pub struct Config {
    /// The node's name.
    pub node: String,
    /// The server's side of TLS, the newest: it may be replaced while the server runs ([`tls::config`]).
    pub tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    /// Who may do what.
    pub access: Arc<dyn Access>,
    /// The pods of this node.
    pub pods: Arc<dyn Pods>,
    /// What runs them.
    pub runtime: Arc<dyn Runtime>,
    /// What `/configz` shows: a `KubeletConfiguration`.
    pub configuration: Value,
    /// Metrics of the node's other parts; the server's own are added.
    pub metrics: prometheus_client::registry::Registry,
    /// The file system whose room is told as the node's.
    pub data_directory: std::path::PathBuf,
}

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    node: String,
    access: Arc<dyn Access>,
    pods: Arc<dyn Pods>,
    runtime: Arc<dyn Runtime>,
    configuration: Value,
    data_directory: std::path::PathBuf,
    registry: prometheus_client::registry::Registry,
    metrics: Metrics,
    watcher: Watcher,
    streams: Arc<Semaphore>,
    rates: Mutex<figures::Rates>,
    stop: CancellationToken,
}

/// Serves connections until `stop`; then streams are cut.
pub async fn serve(config: Config, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let (tls, server) = (config.tls.clone(), Server::new(config, stop.clone())?);
    listener::serve(listener, tls, server, stop).await
}

impl Server {
    fn new(config: Config, stop: CancellationToken) -> std::io::Result<Self> {
        let mut registry = config.metrics;
        let metrics = Metrics::new(&mut registry);
        Ok(Self(Arc::new(Inner {
            node: config.node,
            access: config.access,
            pods: config.pods,
            runtime: config.runtime,
            configuration: config.configuration,
            data_directory: config.data_directory,
            registry,
            metrics,
            watcher: Watcher::new()?,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            rates: Mutex::default(),
            stop,
        })))
    }

    /// Answers a request of whoever is at the other end of a connection.
    async fn answer<B>(&self, request: Request<B>, peer: &Peer) -> Answer {
        // Nothing here looks at a body.
        let request: Head = request.map(|_| ());
        let Some(path) = route::decoded(request.uri().path()) else {
            return answer::text(StatusCode::BAD_REQUEST, "the path is not valid percent-encoded UTF-8");
        };
        let label = self.0.metrics.begin(request.method(), &path);
        let answer = match access::admit(&*self.0.access, &self.0.node, &request, &path, peer).await {
            Ok(()) => self.route(request, &path).await,
            Err(refusal) => refusal,
        };
        self.0.metrics.end(label, answer.status());
        answer
    }

    async fn route(&self, request: Head, path: &str) -> Answer {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let route = match route::parse(request.method(), path) {
            Ok(route) => route,
            Err(code) => return answer::text(code, &format!("{}\n", code.canonical_reason().unwrap_or(""))),
        };
        match route {
            Route::Health => answer::text(StatusCode::OK, "ok"),
            Route::Pods => self.pods(),
            Route::Config => answer::json(&serde_json::json!({"kubeletconfig": self.0.configuration})),
            Route::Metrics => metrics::answer(&self.0.registry),
            Route::ResourceMetrics => answer::metrics(figures::resource_metrics(self).await),
            Route::Summary => answer::json(&figures::summary(self).await),
            Route::SystemLogs => answer::text(StatusCode::METHOD_NOT_ALLOWED, "logs endpoint is disabled.\n"),
            Route::Logs(of) => container_logs::answer(self, &of, &query).await,
            Route::Exec(of) => streams::exec(self, request, &of, &query).await,
            Route::Attach(of) => streams::attach(self, request, &of, &query).await,
            Route::Run(of) => streams::run(self, &of, &query).await,
            Route::PortForward(of) => streams::port_forward(self, request, &of, &query).await,
        }
    }

    /// All pods of this node, as a `PodList`.
    fn pods(&self) -> Answer {
        let pods = self.0.pods.list();
        let list = serde_json::json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods.iter().map(|p| &**p).collect::<Vec<_>>(),
        });
        answer::json(&list)
    }
}

/// A request without its body.
type Head = Request<()>;

#[cfg(test)]
mod tests;
