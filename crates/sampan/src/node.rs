//! The node of this machine: from the command line and the data directory to an agent that can run.
//!
//! All that may be missing or taken (the port, the network, the store of images) is looked at before anything is said to be ready.

mod bootstrap;
pub(crate) mod certificate;
mod credentials;
pub(crate) mod join;
mod network;
mod request;
mod rotation;
pub(crate) mod services;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Error, Result, anyhow};
use ipnet::Ipv4Net;
use sampan_net::pods::Network;
use sampan_node::agent::{self, Config};
use sampan_node::container::Resources;
use sampan_node::cri::Client as CriClient;
use sampan_node::image::Images;
use sampan_node::image::cri::CriImages;
use sampan_node::image::store::{ImageStore, Options as ImageOptions};
use sampan_node::registration::machine::Machine;
use sampan_node::registration::{Settings, object};
use sampan_node::runtime::Runtime;
use sampan_node::runtime::cri::{CriRuntime, Options as CriOptions};
use sampan_node::runtime::native::{NativeRuntime, Options as RuntimeOptions};
use sampan_node::server::tls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::NodeFlags;
use crate::data_dir::DataDir;
use crate::{private_file, version};

/// Through which address this is reached is how a machine is reached itself: of the range for documentation, and nothing is sent.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Who a node is.
pub(crate) struct Identity {
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: IpAddr,
}

impl Identity {
    /// As the flags say, or as the machine is: `listen` is where its API server listens, if it has one.
    pub(crate) fn of(flags: &NodeFlags, listen: Option<SocketAddr>) -> Self {
        let hostname = || rustix::system::uname().nodename().to_string_lossy().to_lowercase();
        Self {
            name: flags.name.clone().unwrap_or_else(hostname),
            address: flags.node_ip.unwrap_or_else(|| own_address(listen)),
        }
    }
}

/// What a node needs besides its flags.
pub(crate) struct Setup<'a> {
    pub(crate) flags: &'a NodeFlags,
    pub(crate) dir: &'a DataDir,
    pub(crate) identity: Identity,
    /// Speaks for the node.
    pub(crate) client: kube::Client,
    /// What its own API shows.
    pub(crate) tls: watch::Receiver<Arc<ServerConfig>>,
    /// Addresses of the cluster's DNS, unless the flags name some.
    pub(crate) cluster_dns: Vec<IpAddr>,
    /// The addresses of services, if this node is to lead there.
    pub(crate) services: Option<Ipv4Net>,
}

/// A node that can run.
pub(crate) struct Prepared {
    /// The agent's.
    pub(crate) agent: Config,
    /// The pod network; none where another's runtime makes it.
    pub(crate) network: Option<Network>,
}

/// Makes ready what the node of this machine needs.
pub(crate) async fn prepare(setup: Setup<'_>) -> Result<Prepared> {
    let Setup { flags, dir, identity: Identity { name, address }, client, tls, cluster_dns, services } =
        setup;
    let listener = bind(flags.kubelet_port).await?;
    let port = listener.local_addr().context("the node's listener has no address")?.port();
    let directory = dir.node();
    private_file::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let Runs { runtime, images, network } = match &flags.container_runtime_endpoint {
        Some(endpoint) => by_cri(flags, &directory, endpoint).await?,
        None => by_itself(flags, dir, &directory, services).await?,
    };
    let settings = Settings {
        labels: flags.labels(),
        taints: flags.register_with_taints.clone(),
        thresholds: flags.eviction_hard.clone(),
        addresses: vec![address],
        port,
        max_pods: flags.max_pods,
        version: version::KUBERNETES.into(),
        name,
        ..Settings::default()
    };
    let agent = Config {
        settings,
        client,
        runtime,
        images,
        directory,
        static_pods: flags.pod_manifest_path.clone(),
        pod_pids_limit: (flags.pod_max_pids > 0).then_some(flags.pod_max_pids),
        cluster_dns: if flags.cluster_dns.is_empty() { cluster_dns } else { flags.cluster_dns.clone() },
        cluster_domain: flags.cluster_domain.clone(),
        listener,
        tls,
    };
    Ok(Prepared { agent, network })
}

/// What runs containers, and what it needs.
struct Runs {
    runtime: Arc<dyn Runtime>,
    images: Arc<dyn Images>,
    network: Option<Network>,
}

/// By the node itself: nothing is needed.
async fn by_itself(
    flags: &NodeFlags,
    dir: &DataDir,
    directory: &Path,
    services: Option<Ipv4Net>,
) -> Result<Runs> {
    let images = ImageStore::open(ImageOptions {
        hosts: Some(flags.registry_config_dir.clone()),
        ..ImageOptions::new(dir.images())
    })?;
    let network = network::open(flags, directory, services)?;
    let options = RuntimeOptions {
        executable: PathBuf::from("/proc/self/exe"),
        directory: directory.to_owned(),
        log_file_bytes: flags.container_log_max_size,
        log_files: flags.container_log_max_files,
        limits: limits(flags, directory)?,
    };
    let pods = Arc::new(network::Pods(network.clone()));
    let runtime = NativeRuntime::open(options, Arc::new(images.clone()), pods)
        .await
        .context("cannot run containers on this machine")?;
    Ok(Runs { runtime: Arc::new(runtime), images: Arc::new(images), network: Some(network) })
}

/// By containerd or CRI-O, which have images and a network of their own.
async fn by_cri(flags: &NodeFlags, directory: &Path, endpoint: &str) -> Result<Runs> {
    let unusable =
        || format!("the container runtime at {endpoint} (--container-runtime-endpoint) cannot be used");
    let client = CriClient::new(endpoint).with_context(unusable)?;
    let options = CriOptions {
        log_file_bytes: flags.container_log_max_size,
        log_files: flags.container_log_max_files,
        limits: limits(flags, directory)?,
    };
    let runtime = CriRuntime::open(client.clone(), options).await.with_context(unusable)?;
    Ok(Runs { runtime: Arc::new(runtime), images: Arc::new(CriImages::new(client)), network: None })
}

/// What all pods together may have: the memory that is not kept for the rest of the machine.
fn limits(flags: &NodeFlags, directory: &Path) -> Result<Resources> {
    let machine = Machine::read(directory).context("cannot read what this machine has")?;
    let settings = Settings { thresholds: flags.eviction_hard.clone(), ..Settings::default() };
    let allocatable = object::allocatable_of(&settings, &machine);
    let memory = allocatable.get("memory").and_then(|text| text.0.parse::<sampan_model::Quantity>().ok());
    Ok(Resources { memory_limit_bytes: memory.map(sampan_model::Quantity::value), ..Resources::default() })
}

/// Runs a node: it ends only by an error, which is returned.
pub(crate) async fn run(config: Config, stop: CancellationToken) -> Error {
    match agent::run(config, stop).await {
        Ok(()) => anyhow!("the node has ended"),
        Err(error) => Error::new(error).context("the node has ended"),
    }
}

async fn bind(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "the node cannot listen on {address}: choose another port with --kubelet-port (0 takes a free one), or run no node with --no-node"
        )
    })
}

/// How others reach a server of this machine that listens here.
pub(crate) fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = if listen.ip().is_unspecified() { own_address(None) } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

/// The address by which this machine is reached: that of its API server if others reach it there, else the one by which it reaches others itself.
fn own_address(listen: Option<SocketAddr>) -> IpAddr {
    let told = listen.map(|address| address.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
    let asked = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(ELSEWHERE).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    told.or_else(asked).unwrap_or(Ipv4Addr::LOCALHOST.into())
}
