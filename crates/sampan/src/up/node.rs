//! The node of this machine: from the command line and the data directory to an agent that can run.
//!
//! All that may be missing or taken (the port, the network, the store of images) is looked at before the server says that it is ready.

mod certificate;
mod network;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Error, Result, anyhow};
use sampan_apiserver::server::Server;
use sampan_node::agent::{self, Config};
use sampan_node::image::store::{ImageStore, Options as ImageOptions};
use sampan_node::registration::Settings;
use sampan_node::runtime::native::{NativeRuntime, Options as RuntimeOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::clients;
use crate::cli::Up;
use crate::data_dir::DataDir;
use crate::pki::Pki;
use crate::{private_file, version};

/// The group of all nodes.
const NODES: &str = "system:nodes";
/// Through which address this is reached is how a machine is reached itself: of the range for documentation, and nothing is sent.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// What an agent needs, and what keeps it up.
pub(super) struct Node {
    /// The agent's.
    pub(super) config: Config,
    /// Its certificate.
    pub(super) certificate: certificate::Certificate,
}

/// Makes ready what the node of this machine needs.
pub(super) async fn prepare(
    options: &Up,
    dir: &DataDir,
    pki: &Pki,
    server: &Server,
    hostname: &str,
) -> Result<Node> {
    let flags = &options.node;
    let name = flags.name.clone().unwrap_or_else(|| hostname.to_lowercase());
    let address = flags.node_ip.unwrap_or_else(|| own_address(options.listen));
    let listener = bind(flags.kubelet_port).await?;
    let port = listener.local_addr().context("the node's listener has no address")?.port();
    let directory = dir.node();
    private_file::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let images = ImageStore::open(ImageOptions {
        hosts: Some(flags.registry_config_dir.clone()),
        ..ImageOptions::new(dir.images())
    })?;
    let network = network::open(flags, &directory, address).await?;
    let runtime = NativeRuntime::open(
        RuntimeOptions {
            executable: PathBuf::from("/proc/self/exe"),
            directory: directory.clone(),
            log_file_bytes: flags.container_log_max_size,
            log_files: flags.container_log_max_files,
        },
        Arc::new(images.clone()),
        network,
    )
    .await
    .context("cannot run containers on this machine")?;
    let (certificate, tls) = certificate::Certificate::make(pki, &name, &[address])?;
    let cluster_dns = if flags.cluster_dns.is_empty() {
        vec![options.service_cluster_ip_range.dns()]
    } else {
        flags.cluster_dns.clone()
    };
    let settings = Settings {
        labels: flags.labels(),
        taints: flags.register_with_taints.clone(),
        addresses: vec![address],
        port,
        max_pods: flags.max_pods,
        version: version::KUBERNETES.into(),
        name,
        ..Settings::default()
    };
    let config = Config {
        client: clients::client(server, &format!("system:node:{}", settings.name), &[NODES], "node"),
        settings,
        runtime: Arc::new(runtime),
        images: Arc::new(images),
        directory,
        static_pods: flags.pod_manifest_path.clone(),
        cluster_dns,
        cluster_domain: flags.cluster_domain.clone(),
        listener,
        tls,
    };
    Ok(Node { config, certificate })
}

/// Runs the node, if there is one: it ends only by an error, which is returned.
pub(super) async fn run(node: Option<Node>, pki: &Pki, stop: CancellationToken) -> Error {
    let Some(Node { config, certificate }) = node else { return std::future::pending().await };
    tokio::select! {
        ended = agent::run(config, stop) => match ended {
            Ok(()) => anyhow!("the node has ended"),
            Err(error) => Error::new(error).context("the node has ended"),
        },
        never = certificate.keep(pki) => match never {},
    }
}

async fn bind(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    TcpListener::bind(address).await.with_context(|| {
        format!("the node cannot listen on {address}: choose another port with --kubelet-port (0 takes a free one), or run no node with --no-node")
    })
}

/// The address by which this machine is reached: that of the API if it has one that others reach, else the one by which it reaches others itself.
fn own_address(listen: SocketAddr) -> IpAddr {
    if !listen.ip().is_unspecified() && !listen.ip().is_loopback() {
        return listen.ip();
    }
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    });
    asked.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}
