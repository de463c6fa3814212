//! What can be said on the command line. A command that is not listed here does not exist yet.

pub(crate) mod audit;
mod authentication;
mod controllers;
pub(crate) mod image;
mod kubelet;
mod node;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::authentication::{Authentication, Oidc, RequestHeader, ServiceAccount, WebhookVersion};
pub(crate) use self::controllers::ControllerFlags;
pub(crate) use self::kubelet::Kubelet as KubeletFlags;
pub(crate) use self::node::{Node, NodeFlags};
use crate::service_range::ServiceRange;

/// Kubernetes in one binary.
#[derive(Debug, Parser)]
#[command(name = "sampan", version = env!("CARGO_PKG_VERSION"), about, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub(crate) enum Command {
    /// Start everything in one process
    Up(Box<Up>),
    /// Run the node of this machine in a cluster that is there
    Node(Box<Node>),
    /// Print the kubeconfig of the cluster's administrator
    Kubeconfig(Kubeconfig),
    /// Load, pull, list and remove the images of the node
    #[command(subcommand)]
    Image(image::Image),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// Where the data is.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Directory of the cluster's state, certificates and kubeconfig
    /// [default: /var/lib/sampan for root, otherwise $XDG_DATA_HOME/sampan]
    #[arg(long, env = "SAMPAN_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// `sampan up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Address and port of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6443")]
    pub(crate) listen: SocketAddr,
    /// Where objects are kept: `embedded` (a file in the data directory) or `memory` (nowhere)
    #[arg(long, value_name = "STORE", default_value = "embedded", value_parser = parse_store)]
    pub(crate) store: StoreKind,
    /// Run no node
    #[arg(long)]
    pub(crate) no_node: bool,
    /// Run no controllers and no scheduler
    #[arg(long)]
    pub(crate) no_controllers: bool,
    #[command(flatten)]
    pub(crate) authorization: Authorization,
    #[command(flatten)]
    pub(crate) flow_control: FlowControl,
    #[command(flatten)]
    pub(crate) admission: Admission,
    /// Range from which services get their addresses
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/12")]
    pub(crate) service_cluster_ip_range: ServiceRange,
    /// A further name or address that the server's certificate is to be valid for; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_san: Vec<String>,
    /// The file that says how objects are encrypted at rest
    #[arg(long, value_name = "FILE")]
    pub(crate) encryption_provider_config: Option<PathBuf>,
    /// Take over changes of that file while running
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        requires = "encryption_provider_config"
    )]
    pub(crate) encryption_provider_config_automatic_reload: bool,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,sampan_store=debug`
    #[arg(long, env = "RUST_LOG", value_name = "LEVEL", default_value = "info", hide_env_values = true)]
    pub(crate) log_level: String,
    #[command(flatten)]
    pub(crate) audit: audit::AuditFlags,
    #[command(flatten)]
    pub(crate) authentication: Authentication,
    #[command(flatten)]
    pub(crate) controllers: ControllerFlags,
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    #[command(flatten)]
    pub(crate) kubelet: KubeletFlags,
}

/// What is admitted.
#[derive(Debug, Args)]
pub(crate) struct Admission {
    /// Admission plug-ins that are to run besides those that do by default; may be repeated, or a list with commas
    #[arg(long, value_name = "PLUGIN", value_delimiter = ',')]
    pub(crate) enable_admission_plugins: Vec<String>,
    /// Admission plug-ins that are not to run although they do by default
    #[arg(long, value_name = "PLUGIN", value_delimiter = ',')]
    pub(crate) disable_admission_plugins: Vec<String>,
    /// File with the configuration of admission plug-ins (an AdmissionConfiguration)
    #[arg(long = "admission-control-config-file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
}

/// `sampan kubeconfig`.
#[derive(Debug, Args)]
pub(crate) struct Kubeconfig {
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Where objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// In a file in the data directory.
    Embedded,
    /// In memory only.
    Memory,
}

fn parse_store(text: &str) -> Result<StoreKind, String> {
    match text {
        "embedded" => Ok(StoreKind::Embedded),
        "memory" => Ok(StoreKind::Memory),
        _ if text.starts_with("etcd://") || text.starts_with("etcds://") => {
            Err("etcd is not part of this version yet; use `embedded` or `memory`".into())
        }
        _ => Err("use `embedded` or `memory`".into()),
    }
}

/// Who may do what.
#[derive(Debug, Args)]
pub(crate) struct Authorization {
    /// Who decides what a user may do, in order: ABAC, AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook
    /// [default: Node,RBAC]
    #[arg(
        id = "authorization_mode",
        long = "authorization-mode",
        value_name = "MODES",
        value_delimiter = ',',
        conflicts_with = "authorization_config"
    )]
    pub(crate) modes: Vec<String>,
    /// File that says the same and more (apiserver.config.k8s.io AuthorizationConfiguration)
    #[arg(id = "authorization_config", long = "authorization-config", value_name = "FILE",
        conflicts_with_all = ["webhook_file", "authorized_ttl", "unauthorized_ttl"])]
    pub(crate) config: Option<PathBuf>,
    /// File of the policies of the mode ABAC, one a line
    #[arg(long = "authorization-policy-file", value_name = "FILE")]
    pub(crate) policy_file: Option<PathBuf>,
    /// Kubeconfig of the webhook that the mode Webhook asks
    #[arg(long = "authorization-webhook-config-file", value_name = "FILE")]
    pub(crate) webhook_file: Option<PathBuf>,
    /// Version in which the webhook is asked
    #[arg(long = "authorization-webhook-version", value_name = "VERSION", default_value = "v1", value_parser = ["v1", "v1beta1"])]
    pub(crate) webhook_version: String,
    /// How long the webhook's yes is remembered
    #[arg(long = "authorization-webhook-cache-authorized-ttl", value_name = "DURATION", default_value = "5m",
        value_parser = parse_duration)]
    pub(crate) authorized_ttl: Duration,
    /// How long the webhook's no is remembered
    #[arg(long = "authorization-webhook-cache-unauthorized-ttl", value_name = "DURATION", default_value = "30s",
        value_parser = parse_duration)]
    pub(crate) unauthorized_ttl: Duration,
}

/// How many requests are served at once.
#[derive(Debug, Args)]
pub(crate) struct FlowControl {
    /// Serve requests by priority levels, and fairly within them; otherwise by the two limits alone
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) enable_priority_and_fairness: bool,
    /// How many requests that read may be served at once (with priority levels: what the seats come to, with the next)
    #[arg(long, value_name = "NUMBER", default_value_t = sampan_apiserver::flow_control::MAX_READING)]
    pub(crate) max_requests_inflight: u32,
    /// How many requests that change something may be served at once
    #[arg(long, value_name = "NUMBER", default_value_t = sampan_apiserver::flow_control::MAX_MUTATING)]
    pub(crate) max_mutating_requests_inflight: u32,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = sampan_model::time::parse_go_duration(text).ok().and_then(|d| Duration::try_from(d).ok());
    parsed.ok_or_else(|| "write a duration such as 30s, 5m or 1h30m".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn authorization_is_said_by_flags_or_by_a_file() {
        let rows: [(&[&str], bool); 5] = [
            (&[], true),
            (&["--authorization-mode=Node,RBAC"], true),
            (&["--authorization-config=f"], true),
            (&["--authorization-config=f", "--authorization-mode=RBAC"], false),
            (&["--authorization-config=f", "--authorization-webhook-cache-authorized-ttl=1m"], false),
        ];
        for (flags, good) in rows {
            let words = ["sampan", "up"].iter().chain(flags);
            assert_eq!(Cli::try_parse_from(words).is_ok(), good, "{flags:?}");
        }
    }

    #[test]
    fn an_etcd_store_is_refused_with_what_to_use_instead() {
        let error = Cli::try_parse_from(["sampan", "up", "--store", "etcd://127.0.0.1:2379"]).unwrap_err();
        assert!(error.to_string().contains("use `embedded` or `memory`"), "{error}");
    }
}
