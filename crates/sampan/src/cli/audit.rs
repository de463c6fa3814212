//! The flags of the audit, named and defaulted as kube-apiserver's.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

/// `--audit-*`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Audit")]
pub(crate) struct AuditFlags {
    /// File with the policy that says what is audited; without it nothing is
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_policy_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogFlags,
    #[command(flatten)]
    pub(crate) webhook: WebhookFlags,
}

/// How events are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeFlag {
    /// Events are buffered, and written by a task of their own
    Batch,
    /// Answers wait until events are written
    Blocking,
    /// The same, and a request that cannot be audited when it is received is refused
    BlockingStrict,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatFlag {
    /// One line of text for each event
    Legacy,
    /// One object for each event
    Json,
}

/// `--audit-log-*`.
#[derive(Debug, Args)]
#[allow(clippy::struct_field_names, reason = "a flag is named as its field")]
pub(crate) struct LogFlags {
    /// File to which events are written; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log_path: Option<PathBuf>,
    /// Form of the log
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FormatFlag::Json)]
    pub(crate) audit_log_format: FormatFlag,
    /// Days that old log files stay; 0 is for ever
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub(crate) audit_log_maxage: u32,
    /// Number of old log files that stay; 0 is all
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) audit_log_maxbackup: usize,
    /// Size of a log file in megabytes after which another is begun; 0 is 100
    #[arg(long, value_name = "MEGABYTES", default_value_t = 0)]
    pub(crate) audit_log_maxsize: u64,
    /// Compress old log files
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) audit_log_compress: bool,
    /// How events are handed to the log
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ModeFlag::Blocking)]
    pub(crate) audit_log_mode: ModeFlag,
    /// Events that wait at most (in batches)
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) audit_log_batch_buffer_size: usize,
    /// Events of a batch at most
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) audit_log_batch_max_size: usize,
    /// How long a batch waits to become full
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub(crate) audit_log_batch_max_wait: Duration,
    /// Limit the rate of batches
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) audit_log_batch_throttle_enable: bool,
    /// Batches a second on average
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(crate) audit_log_batch_throttle_qps: f64,
    /// Batches at once after a quiet time
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) audit_log_batch_throttle_burst: u32,
    /// Leave out the bodies of events that are too large
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) audit_log_truncate_enabled: bool,
    /// Size of a batch in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 20)]
    pub(crate) audit_log_truncate_max_batch_size: usize,
    /// Size of an event in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 100 << 10)]
    pub(crate) audit_log_truncate_max_event_size: usize,
    /// Version of the events
    #[arg(long, value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    pub(crate) audit_log_version: String,
}

/// `--audit-webhook-*`.
#[derive(Debug, Args)]
#[allow(clippy::struct_field_names, reason = "a flag is named as its field")]
pub(crate) struct WebhookFlags {
    /// Kubeconfig of the server to which events are sent
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_webhook_config_file: Option<PathBuf>,
    /// Pause after the first failure
    // The other is deprecated, and not shown.
    #[arg(long, alias = "audit-webhook-batch-initial-backoff", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(crate) audit_webhook_initial_backoff: Duration,
    /// How events are handed to the webhook
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ModeFlag::Batch)]
    pub(crate) audit_webhook_mode: ModeFlag,
    /// Events that wait at most (in batches)
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) audit_webhook_batch_buffer_size: usize,
    /// Events of a batch at most
    #[arg(long, value_name = "COUNT", default_value_t = 400)]
    pub(crate) audit_webhook_batch_max_size: usize,
    /// How long a batch waits to become full
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) audit_webhook_batch_max_wait: Duration,
    /// Limit the rate of batches
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) audit_webhook_batch_throttle_enable: bool,
    /// Batches a second on average
    #[arg(long, value_name = "RATE", default_value_t = 10.0)]
    pub(crate) audit_webhook_batch_throttle_qps: f64,
    /// Batches at once after a quiet time
    #[arg(long, value_name = "COUNT", default_value_t = 15)]
    pub(crate) audit_webhook_batch_throttle_burst: u32,
    /// Leave out the bodies of events that are too large
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) audit_webhook_truncate_enabled: bool,
    /// Size of a batch in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 20)]
    pub(crate) audit_webhook_truncate_max_batch_size: usize,
    /// Size of an event in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 100 << 10)]
    pub(crate) audit_webhook_truncate_max_event_size: usize,
    /// Version of the events
    #[arg(long, value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    pub(crate) audit_webhook_version: String,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = sampan_model::time::parse_go_duration(text).map_err(|error| error.to_string())?;
    Duration::try_from(duration).map_err(|_| "it must not be negative".to_owned())
}
