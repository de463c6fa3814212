//! The scheduler and the controllers of this process: clients like any other, each with an identity of its own.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use sampan_apiserver::server::Server;
use sampan_controllers::Identity;
use tokio_util::sync::CancellationToken;

use super::clients;
use crate::cli::Up;
use crate::pki::Pki;

/// Whom the scheduler is.
const SCHEDULER: &str = "system:kube-scheduler";

/// What both count, for the server's `/metrics`.
pub(super) struct Metrics {
    scheduler: sampan_scheduler::Metrics,
    controllers: sampan_controllers::Metrics,
}

impl Metrics {
    /// Makes them known to the server's registry.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            scheduler: sampan_scheduler::Metrics::default(),
            controllers: sampan_controllers::Metrics::default(),
        };
        metrics.scheduler.register(registry);
        metrics.controllers.register(registry);
        metrics
    }
}

/// Runs both until `stop`. The authority of `pki` is the one by which pods know the API server,
/// and signs for those who ask.
pub(super) fn run(
    options: &Up,
    server: &Server,
    hostname: &str,
    pki: &Pki,
    metrics: Metrics,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let scheduler = clients::client(server, SCHEDULER, &[], "scheduler");
    let settings = sampan_scheduler::Settings {
        metrics: metrics.scheduler,
        ..sampan_scheduler::Settings::new(hostname)
    };
    let scheduling = sampan_scheduler::run(scheduler, settings, stop.clone());
    let server = server.clone();
    let clients: sampan_controllers::Clients = Arc::new(move |identity: Identity| {
        let part = match identity {
            Identity::Manager => "controllers",
            Identity::Controller(name) => name,
        };
        clients::client(&server, &identity.user(), identity.groups(), part)
    });
    let settings = sampan_controllers::Settings {
        controllers: options.controllers.controllers.clone(),
        root_ca: Some(pki.authority().to_owned()),
        authority: Some(pki.signer()),
        signing_duration: options.controllers.cluster_signing_duration,
        terminated_pod_threshold: options.controllers.terminated_pod_gc_threshold,
        metrics: metrics.controllers,
        ..sampan_controllers::Settings::default()
    };
    let controlling = sampan_controllers::run(clients, settings, stop);
    async move {
        tokio::join!(scheduling, controlling);
    }
}
