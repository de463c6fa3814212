//! What is used.

use std::collections::BTreeMap;

use super::{ContainerMetadata, FilesystemUsage, PodSandboxMetadata, UInt64Value};

/// Which containers.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerStatsFilter {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) pod_sandbox_id: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) label_selector: BTreeMap<String, String>,
}

/// Asks what containers use.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListContainerStatsRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) filter: Option<ContainerStatsFilter>,
}

/// It.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListContainerStatsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) stats: Vec<ContainerStats>,
}

/// Which container.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerAttributes {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<ContainerMetadata>,
}

/// What a container uses.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerStats {
    #[prost(message, optional, tag = "1")]
    pub(crate) attributes: Option<ContainerAttributes>,
    #[prost(message, optional, tag = "2")]
    pub(crate) cpu: Option<CpuUsage>,
    #[prost(message, optional, tag = "3")]
    pub(crate) memory: Option<MemoryUsage>,
    #[prost(message, optional, tag = "4")]
    pub(crate) writable_layer: Option<FilesystemUsage>,
}

/// Processor time.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CpuUsage {
    #[prost(message, optional, tag = "2")]
    pub(crate) usage_core_nano_seconds: Option<UInt64Value>,
}

/// Memory.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MemoryUsage {
    #[prost(message, optional, tag = "2")]
    pub(crate) working_set_bytes: Option<UInt64Value>,
    #[prost(message, optional, tag = "4")]
    pub(crate) usage_bytes: Option<UInt64Value>,
    #[prost(message, optional, tag = "5")]
    pub(crate) rss_bytes: Option<UInt64Value>,
}

/// Which sandboxes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PodSandboxStatsFilter {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) label_selector: BTreeMap<String, String>,
}

/// Asks what sandboxes use.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListPodSandboxStatsRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) filter: Option<PodSandboxStatsFilter>,
}

/// It.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListPodSandboxStatsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) stats: Vec<PodSandboxStats>,
}

/// Which sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PodSandboxAttributes {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<PodSandboxMetadata>,
}

/// What a sandbox uses.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PodSandboxStats {
    #[prost(message, optional, tag = "1")]
    pub(crate) attributes: Option<PodSandboxAttributes>,
    #[prost(message, optional, tag = "2")]
    pub(crate) linux: Option<LinuxPodSandboxStats>,
}

/// It.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LinuxPodSandboxStats {
    #[prost(message, optional, tag = "3")]
    pub(crate) network: Option<NetworkUsage>,
}

/// Network traffic.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NetworkUsage {
    #[prost(message, optional, tag = "2")]
    pub(crate) default_interface: Option<NetworkInterfaceUsage>,
}

/// That of an interface.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NetworkInterfaceUsage {
    #[prost(message, optional, tag = "2")]
    pub(crate) rx_bytes: Option<UInt64Value>,
    #[prost(message, optional, tag = "4")]
    pub(crate) tx_bytes: Option<UInt64Value>,
}
