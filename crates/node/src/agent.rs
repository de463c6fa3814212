//! The agent of a node: joins the parts of this crate, and runs them until it is told to stop. Containers run on.
//!
//! It is given what it works with (a client, a runtime, images, a listener), and decides nothing. How it came by these is its caller's business.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admit::OwnNode;
use crate::events;
use crate::health;
use crate::image::Images;
use crate::mirror::Mirrors;
use crate::objects::{Fetcher, Objects};
use crate::pods::manager::{Admission, Manager};
use crate::pods::parts::{NodeFacts, Parts, Reporter};
use crate::pods::roster::Roster;
use crate::pressure::{self, State};
use crate::probe::metrics::Metrics;
use crate::registration::{self, Settings, machine::Machine, object};
use crate::reporter::ApiReporter;
use crate::runtime::Runtime;
use crate::server;
use crate::source::{self, Origin};
use crate::status_writer::StatusWriter;
use crate::volume::Mounter;
use crate::words::in_words;

/// How long after its first failure a registration is tried again; it doubles.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest pause between two registrations, as the kubelet's.
const LONGEST_DELAY: Duration = Duration::from_secs(7);

/// Evictions that may wait for the manager.
const EVICTIONS: usize = 16;

/// What an agent works with.
pub struct Config {
    /// What is said of the node.
    pub settings: Settings,
    /// Speaks for the node (`system:node:NAME`).
    pub client: kube::Client,
    /// Runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Keeps images.
    pub images: Arc<dyn Images>,
    /// The node's directory, as `docs/node.md` lays it out.
    pub directory: PathBuf,
    /// Directory of the manifests of static pods, if there is one.
    pub static_pods: Option<PathBuf>,
    /// The most processes of a pod; `None` has no limit.
    pub pod_pids_limit: Option<i64>,
    /// Addresses of the cluster's DNS.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// Where the node's own API is.
    pub listener: TcpListener,
    /// Its side of TLS, the newest.
    pub tls: watch::Receiver<Arc<rustls::ServerConfig>>,
}

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine cannot be read.
    #[error("cannot read what this machine has")]
    Machine(#[source] io::Error),
    /// The directory of static pods cannot be followed.
    #[error("cannot follow the manifests in {directory}")]
    StaticPods {
        /// Which.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node's own API cannot be served.
    #[error("cannot serve the node's API")]
    Server(#[source] io::Error),
    /// A part panicked, or ended although it never does.
    #[error("the {0} of the node has ended")]
    Ended(&'static str),
}

/// Directory of pods below that of a node.
pub fn pods_directory(node: &Path) -> PathBuf {
    node.join("pods")
}

/// Runs a node until `stop`.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let machine = Machine::read(&config.directory).map_err(Error::Machine)?;
    let facts = Arc::new(facts(&config, &machine));
    let Config { settings, client, runtime, images, directory, static_pods, listener, tls, .. } = config;
    let name: Arc<str> = settings.name.as_str().into();
    let mut metrics = Registry::default();

    let mirrors = Arc::new(Mirrors::default());
    let roster = Arc::new(Roster::new(facts.logs.clone()));
    let (events, event_writer) = events::Recorder::new(client.clone(), &name);
    events.register(&mut metrics);
    let statuses = StatusWriter::new(client.clone(), Arc::clone(&mirrors));
    let reporter: Arc<dyn Reporter> = Arc::new(ApiReporter { events, statuses, roster: Arc::clone(&roster) });
    let objects = Arc::new(Objects::new(client.clone()));
    let volumes = Arc::new(Mounter::new(Arc::clone(&objects), Arc::clone(&facts)));
    let sources = Fetcher::new(&objects, volumes.clone(), Arc::clone(&facts));
    let probes = Metrics::default();
    probes.register(&mut metrics);
    let health = health::Keeper::new(Arc::clone(&runtime), Arc::clone(&reporter), &facts.addresses, probes);
    let parts = Parts {
        runtime: Arc::clone(&runtime),
        images: Arc::clone(&images),
        volumes,
        sources: Arc::new(sources),
        health: Arc::new(health),
        reporter,
        node: facts,
    };
    let origins: &[Origin] =
        if static_pods.is_some() { &[Origin::Api, Origin::Files] } else { &[Origin::Api] };
    let (updates, wanted) = source::channel();
    let (evictions, evicted) = mpsc::channel(EVICTIONS);
    let (state, pressure) = watch::channel(State::default());
    let registered = object::registered(&settings, &machine);
    let own = OwnNode::new(client.clone(), registered, parts.node.allocatable.clone(), pressure.clone());
    let own = Arc::new(own);
    let admission: Arc<dyn Admission> = own.clone();
    let manager = Manager::new(parts.clone(), Arc::clone(&mirrors), Arc::clone(&roster), admission, origins);
    let keeper = pressure::Keeper {
        machine,
        data: directory.clone(),
        thresholds: settings.thresholds.clone(),
        runtime: Arc::clone(&runtime),
        images: Arc::clone(&images),
        pods: roster.clone(),
        reporter: Arc::clone(&parts.reporter),
        node: Arc::clone(&parts.node),
        evictions,
        state,
    };

    // None of these ends by itself.
    let mut tasks: JoinSet<Error> = JoinSet::new();
    tasks.spawn(async move {
        manager.run(wanted, evicted).await;
        Error::Ended("manager")
    });
    tasks.spawn(async move {
        keeper.run().await;
        Error::Ended("keeper of the machine")
    });
    tasks.spawn(async move {
        event_writer.run().await;
        Error::Ended("writer of events")
    });
    if let Some(directory) = static_pods {
        let (name, updates) = (Arc::clone(&name), updates.clone());
        tasks.spawn(async move {
            match source::files::run(&directory, &name, updates).await {
                Ok(()) => Error::Ended("source of static pods"),
                Err(source) => Error::StaticPods { directory, source },
            }
        });
    }
    let (mirrored, of, speaker) = (Arc::clone(&mirrors), Arc::clone(&name), client.clone());
    tasks.spawn(async move {
        mirrored.run(speaker, &of).await;
        Error::Ended("keeper of mirrors")
    });
    let known = Arc::clone(&own);
    tasks.spawn(async move {
        own.run().await;
        Error::Ended("watch on the node itself")
    });
    let speaker = client.clone();
    tasks.spawn(async move {
        // Pods are judged by what the API says of the node.
        known.is_known().await;
        source::api::run(speaker, &name, &mirrors, updates).await;
        Error::Ended("source of pods")
    });
    let server = server::Config {
        node: settings.name.clone(),
        tls,
        access: Arc::new(server::access::Reviews::new(client.clone())),
        pods: roster,
        runtime: Arc::clone(&runtime),
        configuration: json!({"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "port": settings.port, "maxPods": settings.max_pods}),
        metrics,
        data_directory: directory.clone(),
    };
    let stopped = stop.clone();
    tasks.spawn(async move {
        match server::serve(server, listener, stopped).await {
            Ok(()) => Error::Ended("API"),
            Err(error) => Error::Server(error),
        }
    });
    let stopped = stop.clone();
    tasks.spawn(async move {
        let keep = || {
            let (client, settings, directory) = (client.clone(), settings.clone(), directory.clone());
            let (runtime, images) = (Arc::clone(&runtime), Arc::clone(&images));
            registration::keep(
                client,
                settings,
                directory,
                runtime,
                images,
                pressure.clone(),
                stopped.clone(),
            )
        };
        register(keep, &stopped).await;
        Error::Ended("registration")
    });

    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => match ended {
            _ if stop.is_cancelled() => Ok(()),
            Ok(error) => Err(error),
            // What panicked has said why.
            Err(_) => Err(Error::Ended("task")),
        },
    };
    tasks.shutdown().await;
    outcome
}

/// Registers the node, which may take more than one attempt, and keeps it up.
async fn register<F>(keep: impl Fn() -> F, stop: &CancellationToken)
where
    F: Future<Output = Result<(), registration::Error>>,
{
    let mut delay = FIRST_DELAY;
    loop {
        let Err(error) = keep().await else { return };
        tracing::warn!(error = in_words(&error), "the node is not registered");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => delay = (delay * 2).min(LONGEST_DELAY),
        }
    }
}

/// What workers need to know of the node.
fn facts(config: &Config, machine: &Machine) -> NodeFacts {
    NodeFacts {
        name: config.settings.name.clone(),
        addresses: config.settings.addresses.clone(),
        allocatable: object::allocatable_of(&config.settings, machine),
        cluster_dns: config.cluster_dns.clone(),
        cluster_domain: config.cluster_domain.clone(),
        logs: config.directory.join("logs"),
        pods: pods_directory(&config.directory),
        pod_pids_limit: config.pod_pids_limit,
        memory_bytes: machine.memory_bytes,
    }
}
