//! What can be said of the node. Names and defaults are the kubelet's, where it has the flag.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Taint;

use sampan_node::pressure::thresholds::Thresholds;

use super::Place;

/// The node that pods run on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeFlags {
    /// Name of the node [default: the machine's host name]
    #[arg(long = "hostname-override", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Address of the node [default: the one by which this machine reaches others]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) node_ip: Option<IpAddr>,
    /// Port of the node's own API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 10250)]
    pub(crate) kubelet_port: u16,
    /// Range of the addresses of the node's pods
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/24")]
    pub(crate) pod_cidr: Ipv4Net,
    /// Addresses of the cluster's DNS, which pods are told [default: the tenth of the service range, where that is known]
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    pub(crate) cluster_dns: Vec<IpAddr>,
    /// The cluster's domain, which pods are told
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Socket of a container runtime that is to run the pods, such as unix:///run/containerd/containerd.sock [default: none, the node runs them itself]
    #[arg(long, value_name = "URL")]
    pub(crate) container_runtime_endpoint: Option<String>,
    /// Directory of the manifests of static pods
    #[arg(long, value_name = "DIR")]
    pub(crate) pod_manifest_path: Option<PathBuf>,
    /// The most pods
    #[arg(long, value_name = "NUMBER", default_value_t = 110)]
    pub(crate) max_pods: u32,
    /// Labels of the node: `KEY=VALUE,...`
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = parse_label)]
    pub(crate) node_labels: Vec<(String, String)>,
    /// Taints that the node registers with: `KEY=VALUE:EFFECT,...`
    #[arg(long, value_name = "TAINTS", value_delimiter = ',', value_parser = parse_taint)]
    pub(crate) register_with_taints: Vec<Taint>,
    /// The most processes of one pod; 0 or less has no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 4096, allow_negative_numbers = true)]
    pub(crate) pod_max_pids: i64,
    /// Below how much of something pods are evicted: `SIGNAL<AMOUNT,...`
    #[arg(
        long,
        value_name = "THRESHOLDS",
        default_value = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%"
    )]
    pub(crate) eviction_hard: Thresholds,
    /// Directory of REGISTRY/hosts.toml: mirrors, certificates, headers, as containerd has them
    #[arg(long, value_name = "DIR", default_value = super::image::HOSTS)]
    pub(crate) registry_config_dir: PathBuf,
    /// How large a container's log may become before it is rotated
    #[arg(long, value_name = "SIZE", default_value = "10Mi", value_parser = parse_size)]
    pub(crate) container_log_max_size: u64,
    /// How many log files a container may have
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub(crate) container_log_max_files: u32,
}

/// `sampan node`.
#[derive(Debug, Args)]
pub(crate) struct Node {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Kubeconfig of the node, whose user is `system:node:NAME`; with --bootstrap-kubeconfig it is written if need be
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
    /// Kubeconfig with which the node asks for a client certificate if it has none that is good, such as one with a bootstrap token
    #[arg(long, value_name = "FILE")]
    pub(crate) bootstrap_kubeconfig: Option<PathBuf>,
    /// Show a certificate that the cluster has signed on the node's own API; somebody must approve the request
    #[arg(long, conflicts_with = "tls_cert_file")]
    pub(crate) rotate_server_certificates: bool,
    /// Certificate that the node's own API shows [default: one of the node's own authority]
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub(crate) tls_private_key_file: Option<PathBuf>,
    /// Authorities whose client certificates the node's own API believes [default: that of the kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca_file: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,sampan_node=debug`
    #[arg(long, env = "RUST_LOG", value_name = "LEVEL", default_value = "info", hide_env_values = true)]
    pub(crate) log_level: String,
    #[command(flatten)]
    pub(crate) flags: NodeFlags,
}

impl NodeFlags {
    /// The labels; the last one of a name counts.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        self.node_labels.iter().cloned().collect()
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write a label as KEY=VALUE")?;
    if key.is_empty() { Err("a label needs a key".into()) } else { Ok((key.into(), value.into())) }
}

/// `KEY=VALUE:EFFECT` or `KEY:EFFECT`.
fn parse_taint(text: &str) -> Result<Taint, String> {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let (left, effect) = text.rsplit_once(':').ok_or("write a taint as KEY=VALUE:EFFECT")?;
    if !EFFECTS.contains(&effect) {
        return Err(format!("the effect of a taint is one of {}", EFFECTS.join(", ")));
    }
    let (key, value) =
        left.split_once('=').map_or((left, None), |(key, value)| (key, Some(value.to_owned())));
    if key.is_empty() {
        return Err("a taint needs a key".into());
    }
    Ok(Taint { key: key.into(), value, effect: effect.into(), time_added: None })
}

fn parse_size(text: &str) -> Result<u64, String> {
    let quantity: sampan_model::Quantity = text.parse().map_err(|_| "write a size such as 10Mi")?;
    u64::try_from(quantity.value()).map_err(|_| "write a size such as 10Mi".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_read_as_the_kubelet_reads_them() {
        let rows = [
            ("a=b:NoSchedule", Some(("a", Some("b"), "NoSchedule"))),
            ("a:NoExecute", Some(("a", None, "NoExecute"))),
            ("a=:NoExecute", Some(("a", Some(""), "NoExecute"))),
            ("a=b", None),
            ("a=b:Never", None),
            (":NoSchedule", None),
        ];
        for (text, want) in rows {
            let got = parse_taint(text).ok();
            let got = got.as_ref().map(|t| (t.key.as_str(), t.value.as_deref(), t.effect.as_str()));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn labels_and_sizes_are_read() {
        assert_eq!(parse_label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_label("a").is_err() && parse_label("=b").is_err());
        assert_eq!(parse_size("10Mi"), Ok(10 << 20));
        assert!(parse_size("much").is_err() && parse_size("-1").is_err());
    }
}
