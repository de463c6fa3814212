//! What can be said on the command line about who makes a request: kube-apiserver's flags, names and defaults.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

/// Who makes a request.
#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication")]
pub(crate) struct Authentication {
    /// Let requests without credentials in, as system:anonymous
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) anonymous_auth: bool,
    /// A file of further authorities whose client certificates are known
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca_file: Option<PathBuf>,
    /// A file of tokens: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub(crate) token_auth_file: Option<PathBuf>,
    /// Know the bootstrap tokens in secrets of kube-system
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) enable_bootstrap_token_auth: bool,
    /// API audiences of tokens [default: the issuers of service account tokens]
    #[arg(long, value_name = "AUDIENCE", value_delimiter = ',')]
    pub(crate) api_audiences: Vec<String>,
    /// A file with an AuthenticationConfiguration (apiserver.config.k8s.io/v1): OIDC issuers, anonymous paths
    #[arg(id = "authentication_config", long = "authentication-config", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) service_account: ServiceAccount,
    #[command(flatten)]
    pub(crate) request_header: RequestHeader,
    #[command(flatten)]
    pub(crate) webhook: Webhook,
    #[command(flatten)]
    pub(crate) oidc: Oidc,
}

/// Tokens of service accounts.
#[derive(Debug, Args)]
pub(crate) struct ServiceAccount {
    /// Issuer of the tokens; the first makes new ones, further ones are still known
    #[arg(
        long = "service-account-issuer",
        value_name = "URL",
        default_value = "https://kubernetes.default.svc.cluster.local"
    )]
    pub(crate) issuer: Vec<String>,
    /// A file of keys that verify tokens; may be repeated [default: the keys in the data directory]
    #[arg(long = "service-account-key-file", value_name = "FILE")]
    pub(crate) key_file: Vec<PathBuf>,
    /// The file of the key that signs tokens [default: the key in the data directory]
    #[arg(long = "service-account-signing-key-file", value_name = "FILE")]
    pub(crate) signing_key_file: Option<PathBuf>,
    /// Where others find the keys [default: this server]
    #[arg(long = "service-account-jwks-uri", value_name = "URL")]
    pub(crate) jwks_uri: Option<String>,
    /// The longest life of a token, such as 24h
    #[arg(long = "service-account-max-token-expiration", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) max_token_expiration: Option<Duration>,
    /// Let tokens of clients that do not renew them live for a year
    #[arg(long = "service-account-extend-token-expiration", value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) extend_token_expiration: bool,
}

/// A proxy in front of the server.
#[derive(Debug, Args)]
pub(crate) struct RequestHeader {
    /// A file of the authorities of proxies that may say who makes a request
    #[arg(long = "requestheader-client-ca-file", value_name = "FILE")]
    pub(crate) proxy_ca_file: Option<PathBuf>,
    /// Common names that such proxies may have [default: any]
    #[arg(long = "requestheader-allowed-names", value_name = "NAME", value_delimiter = ',')]
    pub(crate) allowed_names: Vec<String>,
    /// Headers with the user's name, such as X-Remote-User
    #[arg(long = "requestheader-username-headers", value_name = "HEADER", value_delimiter = ',')]
    pub(crate) username_headers: Vec<String>,
    /// Headers with the user's uid, such as X-Remote-Uid
    #[arg(long = "requestheader-uid-headers", value_name = "HEADER", value_delimiter = ',')]
    pub(crate) uid_headers: Vec<String>,
    /// Headers with the user's groups, such as X-Remote-Group
    #[arg(long = "requestheader-group-headers", value_name = "HEADER", value_delimiter = ',')]
    pub(crate) group_headers: Vec<String>,
    /// What headers with extra fields begin with, such as X-Remote-Extra-
    #[arg(long = "requestheader-extra-headers-prefix", value_name = "PREFIX", value_delimiter = ',')]
    pub(crate) extra_headers_prefix: Vec<String>,
}

/// A server that knows tokens.
#[derive(Debug, Args)]
pub(crate) struct Webhook {
    /// A kubeconfig of the server that is asked about tokens
    #[arg(long = "authentication-token-webhook-config-file", value_name = "FILE")]
    pub(crate) token_webhook_file: Option<PathBuf>,
    /// For how long its answers are remembered
    #[arg(long = "authentication-token-webhook-cache-ttl", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub(crate) cache_ttl: Duration,
    /// The version of authentication.k8s.io in which it is asked
    #[arg(long = "authentication-token-webhook-version", value_enum, value_name = "VERSION", default_value_t = WebhookVersion::V1)]
    pub(crate) token_webhook_version: WebhookVersion,
}

/// The version of reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WebhookVersion {
    /// The present one
    #[value(name = "v1")]
    V1,
    /// The one before
    #[value(name = "v1beta1")]
    V1Beta1,
}

/// One OIDC issuer, in flags.
#[derive(Debug, Args)]
pub(crate) struct Oidc {
    /// The URL of an OIDC issuer
    #[arg(
        long = "oidc-issuer-url",
        value_name = "URL",
        requires = "client_id",
        conflicts_with = "authentication_config"
    )]
    pub(crate) issuer_url: Option<String>,
    /// The client that its tokens must be for
    #[arg(long = "oidc-client-id", value_name = "ID", requires = "issuer_url")]
    pub(crate) client_id: Option<String>,
    /// A file of the authorities of its server [default: those of the machine]
    #[arg(long = "oidc-ca-file", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The claim that is the user's name
    #[arg(long = "oidc-username-claim", value_name = "CLAIM", default_value = "sub")]
    pub(crate) username_claim: String,
    /// What users' names begin with; "-" for nothing [default: the issuer's URL and "#", for claims other than email]
    #[arg(long = "oidc-username-prefix", value_name = "PREFIX", allow_hyphen_values = true)]
    pub(crate) username_prefix: Option<String>,
    /// The claim that is the user's groups
    #[arg(long = "oidc-groups-claim", value_name = "CLAIM")]
    pub(crate) groups_claim: Option<String>,
    /// What groups' names begin with
    #[arg(long = "oidc-groups-prefix", value_name = "PREFIX")]
    pub(crate) groups_prefix: Option<String>,
    /// The algorithms of its tokens
    #[arg(
        long = "oidc-signing-algs",
        value_name = "ALGORITHM",
        value_delimiter = ',',
        default_value = "RS256"
    )]
    pub(crate) signing_algs: Vec<String>,
    /// A claim that tokens must have, claim=value; may be repeated
    #[arg(long = "oidc-required-claim", value_name = "CLAIM=VALUE", value_delimiter = ',')]
    pub(crate) required_claim: Vec<String>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = sampan_model::time::parse_go_duration(text).map_err(|e| e.to_string())?;
    Duration::try_from(duration).map_err(|_| "it is negative".to_owned())
}
