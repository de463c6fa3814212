//! The scheduler and the controllers of this process: clients like any other, each with an identity of its own.

use std::sync::Arc;

use sampan_apiserver::server::Server;
use sampan_controllers::Identity;
use tokio_util::sync::CancellationToken;

use super::clients;
use crate::cli::Up;
use crate::pki::Pki;

/// Whom the scheduler is.
const SCHEDULER: &str = "system:kube-scheduler";

/// Runs both until `stop`, or waits for nothing if there are to be none. The authority of `pki` is the one by which pods know the API server,
/// and signs for those who ask.
pub(super) fn run(
    options: &Up,
    server: &Server,
    hostname: &str,
    pki: &Pki,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let wanted = !options.no_controllers;
    let scheduler = clients::client(server, SCHEDULER, &[], "scheduler");
    let scheduling =
        sampan_scheduler::run(scheduler, sampan_scheduler::Settings::new(hostname), stop.clone());
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
        ..sampan_controllers::Settings::default()
    };
    let controlling = sampan_controllers::run(clients, settings, stop.clone());
    async move {
        if wanted {
            tokio::join!(scheduling, controlling);
        } else {
            stop.cancelled().await;
        }
    }
}
