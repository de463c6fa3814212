//! What the native runtime asks of the pod network. The binary puts an implementation here; the node knows nothing of bridges.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;

use crate::container::{PodUid, PortMapping};

/// Connects pods.
#[async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// Connects the network namespace at `namespace` (such as `/proc/PID/ns/net`) and returns the pod's addresses, the first one first.
    /// Repeated for a pod, it returns the same addresses.
    async fn attach(&self, pod: &Pod, namespace: &Path, ports: &[PortMapping]) -> Result<Vec<IpAddr>, Error>;

    /// Takes a pod off, and gives its addresses back. The namespace may be gone already; so may the pod.
    async fn detach(&self, pod: &PodUid) -> Result<(), Error>;

    /// Takes off whoever is not among these: what a crash may have left.
    async fn retain(&self, pods: &[PodUid]) -> Result<(), Error>;
}

/// A pod as the network knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its UID.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why a pod could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every address of the node's range is taken.
    #[error("no address is free in {range}")]
    Exhausted {
        /// The node's range.
        range: String,
    },
    /// A port of the host is another pod's.
    #[error("port {port} of the host is taken")]
    PortTaken {
        /// Which.
        port: u16,
    },
    /// The machine refused.
    #[error("{context}")]
    Failed {
        /// What was tried.
        context: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
