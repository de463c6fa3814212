//! The server as one tower service: clients may call it in process, the listener calls it for connections.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request};
use sampan_model::Value;
use sampan_store::Store;

use crate::admission::Plugins;
use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::chain;
use crate::chain::authentication::{Anonymous, Authenticator};
use crate::chain::authorization::Authorizer;
use crate::chain::metrics::Metrics;
use crate::flow_control::{FlowControl, Limits};
use crate::health::HealthCheck;
use crate::http_io::respond::Answer;
use crate::registry::{Clock, Registry};

/// What a server is made of.
pub struct Config {
    /// Where objects are kept.
    pub store: Arc<dyn Store>,
    /// The resources that are served.
    pub catalog: Catalog,
    /// Admission plug-ins, in order.
    pub admission: Plugins,
    /// Who makes a request: asked in order.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// Who makes a request without credentials; `None`: there are no such requests.
    pub anonymous: Option<Anonymous>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// Documents at paths of their own.
    pub pages: Vec<Arc<dyn crate::pages::Page>>,
    /// The documents of `/openapi`.
    pub openapi: Arc<dyn crate::openapi::Source>,
    /// The answer of `/version`.
    pub version: Value,
    /// The time.
    pub clock: Clock,
    /// What is told of requests, and to whom; nothing without.
    pub audit: Option<Arc<Audit>>,
    /// How many requests are served at once, and whose is next.
    pub limits: Limits,
    /// Health checks besides the server's own.
    pub health_checks: Vec<HealthCheck>,
    /// Metrics besides the server's own, registered already.
    pub metrics: prometheus_client::registry::Registry,
}

/// What all requests share.
pub struct Shared {
    pub(crate) registry: Registry,
    pub(crate) pages: Vec<Arc<dyn crate::pages::Page>>,
    pub(crate) openapi: Arc<dyn crate::openapi::Source>,
    pub(crate) version: Value,
    pub(crate) authenticators: Vec<Arc<dyn Authenticator>>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) anonymous: Option<Anonymous>,
    pub(crate) audit: Option<Arc<Audit>>,
    pub(crate) metrics: Metrics,
    pub(crate) metrics_registry: prometheus_client::registry::Registry,
    pub(crate) flow_control: FlowControl,
    pub(crate) health_checks: Vec<HealthCheck>,
    pub(crate) shutdown: tokio_util::sync::CancellationToken,
}

impl Shared {
    /// Sets the headers that every answer has.
    pub(crate) fn stamp(answer: &mut Answer) {
        answer.headers_mut().entry("cache-control").or_insert(HeaderValue::from_static("no-cache, private"));
    }
}

/// An API server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

impl Server {
    /// Puts a server together.
    pub fn new(config: Config) -> Self {
        let mut metrics_registry = config.metrics;
        config.store.register_metrics(&mut metrics_registry);
        let metrics = Metrics::new(&mut metrics_registry);
        config.admission.register_metrics(&mut metrics_registry);
        for authenticator in &config.authenticators {
            authenticator.register_metrics(&mut metrics_registry);
        }
        if let Some(audit) = &config.audit {
            audit.metrics().register(&mut metrics_registry);
        }
        let flow_control = FlowControl::new(config.limits, &mut metrics_registry);
        let registry = Registry::new(
            config.store,
            config.catalog,
            config.admission,
            Arc::clone(&config.authorizer),
            config.clock,
        );
        Self(Arc::new(Shared {
            registry,
            pages: config.pages,
            openapi: config.openapi,
            version: config.version,
            authenticators: config.authenticators,
            authorizer: config.authorizer,
            anonymous: config.anonymous,
            audit: config.audit,
            metrics,
            metrics_registry,
            flow_control,
            health_checks: config.health_checks,
            shutdown: tokio_util::sync::CancellationToken::new(),
        }))
    }

    /// The engine.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Ends watches, so that connections can be closed.
    pub fn shut_down(&self) {
        self.0.shutdown.cancel();
    }
}

impl<B> tower_service::Service<Request<B>> for Server
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { Ok(chain::serve(shared, request).await) })
    }
}
