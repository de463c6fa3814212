//! `sampan up`: puts the parts together, runs them, and takes them apart again.
//!
//! The order of the start: the store (whose lock keeps a second server out of the directory), then the
//! certificates, beside both the resource table, then the listener; the kubeconfig and the line that says
//! `ready` come last, so that whoever waits for them finds a server that answers.

mod admission;
mod audit;
mod authentication;
mod authorization;
mod bootstrap;
mod certificates;
mod clients;
mod encryption;
mod flow_control;
mod joining;
pub(crate) mod limits;
mod nodes;
mod notices;
pub(crate) mod signals;
mod workloads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use sampan_apiserver::Resource;
use sampan_apiserver::catalog::Catalog;
use sampan_apiserver::server::{Config, Server};
use sampan_auth::authentication::published;
use sampan_auth::authentication::service_account::last_used;
use sampan_auth::authorization::rbac::aggregation;
use sampan_auth::metrics::Metrics;
use sampan_builtins::Dependencies;
use sampan_encryption::Encryption;
use sampan_store::Store;
use sampan_store::embedded::{Embedded, Options};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::{StoreKind, Up};
use crate::data_dir::DataDir;
use crate::node::certificate::Certificate;
use crate::pki::{Pki, ServerNames};
use crate::{kubeconfig, logging, node, openapi, private_file, tls, version};

/// The group of all nodes.
const NODES: &str = "system:nodes";
/// Whom the keeper of services is.
const PROXY: &str = "system:kube-proxy";

/// Runs until a signal ends it.
pub(crate) fn run(options: &Up) -> Result<()> {
    let started = Instant::now();
    logging::start(&options.log_level)?;
    let open_files = limits::raise_open_files();
    let dir = DataDir::of(&options.place)?;
    dir.create()?;
    // The first random number takes 20 ms of measuring the processor's jitter; the keys will need one.
    let random = thread::spawn(tls::warm_random);
    // Reading the resource table and opening the store take about as long, and need nothing of each other.
    let catalog = thread::spawn(|| {
        let types = sampan_builtins::types();
        let resources = sampan_builtins::resources(&types);
        let documents = openapi::Documents::new(types, resources.iter());
        (resources, documents)
    });
    let encryption = encryption::load(options)?;
    let store = open_store(&dir, options.store, Arc::clone(&encryption))?;
    let storage = Storage { store: Arc::clone(&store), encryption };
    let _ = random.join();
    let pki = Pki::open(&dir.pki(), OffsetDateTime::now_utc())?;
    let (resources, documents) = catalog.join().map_err(|_| anyhow!("the resource table cannot be read"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("sampan")
        .build()
        .context("cannot start the threads of the server")?;
    let catalog = Served { resources, documents };
    let outcome = runtime.block_on(serve(options, &dir, &pki, storage, catalog, open_files, started));
    // Tasks go before the store does, so that none of them finds it closed.
    drop(runtime);
    store.close();
    outcome
}

/// Where objects are kept, and what happens to them on the way.
struct Storage {
    store: Arc<Embedded>,
    encryption: Arc<Encryption>,
}

/// What is served, and how it is described.
struct Served {
    resources: Vec<Resource>,
    documents: openapi::Documents,
}

fn open_store(dir: &DataDir, kind: StoreKind, encryption: Arc<Encryption>) -> Result<Arc<Embedded>> {
    let options = match kind {
        StoreKind::Embedded => Options::new(dir.path()),
        StoreKind::Memory => Options::in_memory(),
    };
    let options = Options { transform: Some(encryption), ..options };
    match Embedded::open(options) {
        Ok(store) => Ok(Arc::new(store)),
        Err(sampan_store::Error::InUse(path)) => Err(anyhow!(
            "another sampan is running on {}: stop it, or choose another directory with --data-dir",
            path.display()
        )),
        Err(error @ sampan_store::Error::Unreadable { .. }) => Err(error).with_context(|| {
            format!(
                "cannot read the store in {}, in which nothing was changed: start with an --encryption-provider-config that has the right keys",
                dir.path().display()
            )
        }),
        Err(error) => {
            Err(error).with_context(|| format!("cannot open the store in {}", dir.path().display()))
        }
    }
}

async fn serve(
    options: &Up,
    dir: &DataDir,
    pki: &Pki,
    Storage { store, encryption }: Storage,
    Served { mut resources, documents }: Served,
    open_files: u64,
    started: Instant,
) -> Result<()> {
    let signals = signals::Signals::listen()?;
    let listener = bind(options.listen).await?;
    let address = listener.local_addr().context("the listener has no address")?;
    let kept = Arc::clone(&store);
    let store: Arc<dyn Store> = store;
    let url = kubeconfig::url(address);
    let mut registry = Registry::default();
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let metrics = Metrics::register(&mut registry, &format!("apiserver-{hostname}"));
    let counted = (!options.no_controllers).then(|| workloads::Metrics::register(&mut registry));
    let authentication =
        authentication::Setup::new(&options.authentication, pki, Arc::clone(&store), &url, &metrics)?;
    let authorization = authorization::of(&options.authorization, &store, &metrics)?;
    let dependencies = Dependencies {
        authorizer: Some(Arc::clone(&authorization.authorizer)),
        tokens: Some(authentication.tokens),
        issuer: Some(authentication.issuer),
        nodes: Some(nodes::of(&options.kubelet, pki, &mut registry)?),
    };
    sampan_builtins::install(&mut resources, &dependencies);
    let audit = audit::of(&options.audit)?;
    let admission = admission::plugins(&options.admission, &authorization.authorizer, &store)?;
    let limits = options.flow_control.limits(&store);
    let server = Server::new(Config {
        store,
        catalog: Catalog::new(resources),
        admission: authorization::checked(admission, &authorization),
        authenticators: authentication.authenticators,
        anonymous: authentication.anonymous,
        authorizer: Arc::clone(&authorization.authorizer),
        pages: authentication.pages,
        openapi: Arc::new(documents),
        version: version::info(),
        clock: jiff::Timestamp::now,
        audit: audit.clone(),
        limits,
        health_checks: encryption::health_checks(options, &encryption),
        metrics: registry,
    });
    // Who listens everywhere is reached by others at the address of this machine.
    let reached = node::reached_at(address);
    let newcomers = if options.authentication.enable_bootstrap_token_auth {
        joining::objects(&format!("https://{reached}"), pki.authority())?
    } else {
        Vec::new()
    };
    bootstrap::ensure(&server, &options.service_cluster_ip_range, address.port(), newcomers).await?;
    let node = if notices::runs_node(options) {
        Some(node(options, dir, pki, &server, address).await?)
    } else {
        None
    };
    let gathering = tokio::spawn(aggregation::follow(server.clone(), authorization.rbac));
    let keeping = [
        tokio::spawn(sampan_builtins::flow_control::follow(server.clone())),
        tokio::spawn(last_used::follow(server.clone(), authentication.told)),
        tokio::spawn(published::follow(server.clone(), authentication.published)),
    ];
    let names =
        ServerNames::new(reached.ip(), options.service_cluster_ip_range.first(), &hostname, &options.tls_san);
    let certificate = pki.server(&names, OffsetDateTime::now_utc())?;
    let tls = Arc::new(ArcSwap::new(tls::config(authentication.trusted.names(), &certificate)?));
    let stop = CancellationToken::new();
    if let Some(file) = options.encryption_provider_config.as_ref()
        && options.encryption_provider_config_automatic_reload
    {
        tokio::spawn(encryption::follow(encryption, file.clone(), Arc::clone(&kept)));
    }
    let connections = limits::connections(open_files);
    let workloads =
        counted.map(|metrics| workloads::run(options, &server, &hostname, pki, metrics, stop.clone()));
    let serving =
        sampan_apiserver::listener::serve(listener, Arc::clone(&tls), server, connections, stop.clone());
    let mut listening = tokio::spawn(serving);
    let mut controlling = tokio::spawn(async {
        match workloads {
            Some(workloads) => workloads.await,
            None => std::future::pending().await,
        }
    });
    let path = dir.admin_kubeconfig();
    private_file::write(&path, kubeconfig::text(&url, pki.authority(), &pki.admin).as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    notices::print(options);
    eprintln!(
        "sampan ready in {} ms: {url}, kubectl --kubeconfig {}",
        started.elapsed().as_millis(),
        path.display()
    );
    let synced = tokio::task::spawn_blocking({
        let pki = pki.dir().to_owned();
        move || {
            private_file::sync(&pki).with_context(|| format!("cannot write {}", pki.display()))?;
            authentication.account_key.make()
        }
    });
    let renew = || pki.server(&names, OffsetDateTime::now_utc());
    // It ends on a signal; a listener that ends before that must not leave a process that nobody can reach.
    let failed = tokio::select! {
        () = signals.end() => None,
        ended = &mut listening => Some(match ended {
            Ok(()) => anyhow!("the listener has ended"),
            Err(error) => anyhow!(error).context("the listener has panicked"),
        }),
        never = certificates::follow(authentication.trusted, certificate, renew, &tls) => match never {},
        error = run_node(node, pki, stop.clone()) => Some(error),
        ended = &mut controlling => Some(anyhow!(match ended {
            Ok(()) => "the controllers have ended",
            Err(_) => "a controller has panicked",
        })),
    };
    tracing::info!("ending: connections are closed, then the store");
    stop.cancel();
    gathering.abort();
    keeping.iter().for_each(tokio::task::JoinHandle::abort);
    let ended = match failed {
        None => listening.await.context("the listener has panicked"),
        Some(error) => Err(error),
    };
    if let Some(audit) = audit {
        audit.shut_down().await;
    }
    ended?;
    synced.await?
}

/// The node of this machine, whose client wraps the server itself.
async fn node(options: &Up, dir: &DataDir, pki: &Pki, server: &Server, api: SocketAddr) -> Result<Node> {
    let identity = node::Identity::of(&options.node, Some(options.listen));
    let authority = pki.authority().as_bytes();
    let (certificate, tls) = Certificate::make(pki, &identity.name, &[identity.address], authority)?;
    let client = clients::client(server, &format!("system:node:{}", identity.name), &[NODES], "node");
    let cluster_dns = vec![options.service_cluster_ip_range.dns()];
    let services = options.service_cluster_ip_range.v4();
    let setup = node::Setup { flags: &options.node, dir, identity, client, tls, cluster_dns, services };
    let node::Prepared { agent, network } = node::prepare(setup).await?;
    let proxy = clients::client(server, PROXY, &[], "proxy");
    Ok(Node { agent, network: network.map(|network| (proxy, network, api)), certificate })
}

/// What an agent needs, and what keeps that good.
struct Node {
    agent: sampan_node::agent::Config,
    /// What leads to services, where this process makes the pods' network: who follows them, and where the API server is.
    network: Option<(kube::Client, sampan_net::pods::Network, SocketAddr)>,
    certificate: Certificate,
}

/// Runs the node, if there is one: it ends only by an error, which is returned.
async fn run_node(node: Option<Node>, pki: &Pki, stop: CancellationToken) -> anyhow::Error {
    let Some(Node { agent, network, certificate }) = node else { return std::future::pending().await };
    let leading = async {
        match network {
            Some((client, network, api)) => node::services::follow(client, network, api).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        error = node::run(agent, stop) => error,
        () = leading => anyhow!("the keeper of services has ended"),
        never = certificate.keep(pki) => match never {},
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another address with --listen (port 0 takes a free one)")
    })
}
