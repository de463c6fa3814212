//! How the API server reaches nodes.

use std::path::PathBuf;

use clap::Args;

/// How nodes are reached, for logs, remote commands and proxies.
#[derive(Debug, Args)]
pub(crate) struct Kubelet {
    /// Types of node addresses, the preferred one first
    #[arg(long = "kubelet-preferred-address-types", value_name = "TYPES", value_delimiter = ',',
        default_values = ["InternalIP", "ExternalIP", "Hostname"],
        value_parser = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"])]
    pub(crate) address_types: Vec<String>,
    /// Certificate that is shown to nodes [default: one of the cluster's authority]
    #[arg(long = "kubelet-client-certificate", value_name = "FILE", requires = "kubelet_client_key")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// Its key
    #[arg(
        id = "kubelet_client_key",
        long = "kubelet-client-key",
        value_name = "FILE",
        requires = "client_certificate"
    )]
    pub(crate) client_key: Option<PathBuf>,
    /// Authorities that vouch for nodes [default: the cluster's]
    #[arg(long = "kubelet-certificate-authority", value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,
}
