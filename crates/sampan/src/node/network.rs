//! The pod network as the node asks for it: joins `sampan-net`, which knows nothing of containers, to `sampan-node`, which knows nothing of bridges.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use sampan_net::pods::{Network, Options, Port};
use sampan_net::service::Protocol;
use sampan_node::container::{PodUid, PortMapping};
use sampan_node::network::{Error, Pod, PodNetwork};

use crate::cli::NodeFlags;

/// The bridge of the pods of this node.
const BRIDGE: &str = "sampan0";

/// Makes the machine ready for pods. It works in the network namespace of the calling thread.
pub(super) fn open(flags: &NodeFlags, directory: &Path, services: Option<Ipv4Net>) -> Result<Network> {
    let options = Options {
        bridge: BRIDGE.into(),
        mtu: None,
        range: flags.pod_cidr,
        not_masqueraded: vec![flags.pod_cidr],
        service_range: services,
        directory: directory.join("network"),
    };
    Network::open(options).context(
        "cannot set up the pod network (--pod-cidr is its range of addresses; --no-node runs without a node)",
    )
}

/// The network as the native runtime asks for it.
pub(super) struct Pods(pub(super) Network);

#[async_trait]
impl PodNetwork for Pods {
    async fn attach(&self, pod: &Pod, namespace: &Path, ports: &[PortMapping]) -> Result<Vec<IpAddr>, Error> {
        let ports = ports.iter().map(port).collect::<Result<Vec<_>, _>>()?;
        self.0.attach(pod.uid.as_str(), namespace, &ports).await.map_err(translated)
    }

    async fn detach(&self, pod: &PodUid) -> Result<(), Error> {
        self.0.detach(pod.as_str()).await.map_err(translated)
    }

    async fn retain(&self, pods: &[PodUid]) -> Result<(), Error> {
        let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
        self.0.retain(&pods).await.map_err(translated)
    }
}

fn port(mapping: &PortMapping) -> Result<Port, Error> {
    let unusable = |what: &str, text: &str| Error::Failed {
        context: format!("the {what} {text:?} of a port cannot be used"),
        source: "it is not one that the pod network has".into(),
    };
    let protocol =
        Protocol::from_name(&mapping.protocol).ok_or_else(|| unusable("protocol", &mapping.protocol))?;
    let host_ip = match mapping.host_ip.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| unusable("host address", text))?),
    };
    Ok(Port { protocol, container_port: mapping.container_port, host_port: mapping.host_port, host_ip })
}

fn translated(error: sampan_net::Error) -> Error {
    match error {
        sampan_net::Error::Exhausted { range } => Error::Exhausted { range },
        sampan_net::Error::PortTaken { port } => Error::PortTaken { port },
        sampan_net::Error::Failed { context, source } => Error::Failed { context, source },
    }
}
