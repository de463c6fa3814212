//! The audit of the server, put together from its flags.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sampan_apiserver::audit::{
    Audit, BatchOptions, Log, LogFormat, Metrics, Mode, Policy, Rotating, RotationOptions, Sink,
    TruncateOptions,
};
use sampan_auth::audit_webhook::AuditWebhook;
use sampan_auth::webhook_client::Kubeconfig;

use crate::cli::audit::{AuditFlags, FormatFlag, LogFlags, ModeFlag, WebhookFlags};

/// The audit that the flags ask for; `None` without a policy or without a place for events. Needs the runtime.
pub(super) fn of(flags: &AuditFlags) -> Result<Option<Arc<Audit>>> {
    let metrics = Metrics::default();
    let Some(file) = &flags.audit_policy_file else {
        for (name, given) in [
            ("log", flags.log.audit_log_path.is_some()),
            ("webhook", flags.webhook.audit_webhook_config_file.is_some()),
        ] {
            if given {
                tracing::warn!(
                    "No audit policy file provided, no events will be recorded for {name} backend"
                );
            }
        }
        return Ok(None);
    };
    let policy = policy(file).context("loading audit policy file")?;
    let sinks: Vec<Sink> =
        log(&flags.log, &metrics)?.into_iter().chain(webhook(&flags.webhook, &metrics)?).collect();
    if sinks.is_empty() {
        tracing::warn!(
            "there is an audit policy, but neither --audit-log-path nor --audit-webhook-config-file"
        );
        return Ok(None);
    }
    Ok(Some(Arc::new(Audit::new(policy, sinks, metrics))))
}

fn policy(file: &Path) -> Result<Policy> {
    let text =
        std::fs::read(file).with_context(|| format!("failed to read file path \"{}\"", file.display()))?;
    Policy::from_yaml(&text).with_context(|| format!("from file {}", file.display()))
}

fn log(flags: &LogFlags, metrics: &Metrics) -> Result<Option<Sink>> {
    let Some(path) = &flags.audit_log_path else { return Ok(None) };
    let mode = mode(
        "log",
        flags.audit_log_mode,
        &Batching {
            buffer_size: flags.audit_log_batch_buffer_size,
            max_size: flags.audit_log_batch_max_size,
            max_wait: flags.audit_log_batch_max_wait,
            throttled: flags.audit_log_batch_throttle_enable,
            qps: flags.audit_log_batch_throttle_qps,
            burst: flags.audit_log_batch_throttle_burst,
        },
    )?;
    let truncate = truncate(
        "log",
        flags.audit_log_truncate_enabled,
        flags.audit_log_truncate_max_event_size,
        flags.audit_log_truncate_max_batch_size,
    )?;
    let format = match flags.audit_log_format {
        FormatFlag::Json => LogFormat::Json,
        FormatFlag::Legacy => LogFormat::Legacy,
    };
    let log = if path == Path::new("-") {
        Log::stdout(format)
    } else {
        let options = RotationOptions {
            max_bytes: flags.audit_log_maxsize << 20,
            max_backups: flags.audit_log_maxbackup,
            max_age_days: flags.audit_log_maxage,
            compress: flags.audit_log_compress,
        };
        let file = Rotating::open(path, options, jiff::Timestamp::now);
        Log::file(format, file.with_context(|| format!("cannot write the audit log {}", path.display()))?)
    };
    Ok(Some(Sink::new(Arc::new(log), mode, truncate, metrics.clone())))
}

fn webhook(flags: &WebhookFlags, metrics: &Metrics) -> Result<Option<Sink>> {
    let Some(file) = &flags.audit_webhook_config_file else { return Ok(None) };
    let mode = mode(
        "webhook",
        flags.audit_webhook_mode,
        &Batching {
            buffer_size: flags.audit_webhook_batch_buffer_size,
            max_size: flags.audit_webhook_batch_max_size,
            max_wait: flags.audit_webhook_batch_max_wait,
            throttled: flags.audit_webhook_batch_throttle_enable,
            qps: flags.audit_webhook_batch_throttle_qps,
            burst: flags.audit_webhook_batch_throttle_burst,
        },
    )?;
    let truncate = truncate(
        "webhook",
        flags.audit_webhook_truncate_enabled,
        flags.audit_webhook_truncate_max_event_size,
        flags.audit_webhook_truncate_max_batch_size,
    )?;
    let config = Kubeconfig::load(file).context("initializing audit webhook")?;
    let webhook = AuditWebhook::new(config, flags.audit_webhook_initial_backoff)
        .context("initializing audit webhook")?;
    Ok(Some(Sink::new(Arc::new(webhook), mode, truncate, metrics.clone())))
}

/// What the flags say of batches.
struct Batching {
    buffer_size: usize,
    max_size: usize,
    max_wait: Duration,
    throttled: bool,
    qps: f64,
    burst: u32,
}

fn mode(plugin: &str, flag: ModeFlag, batching: &Batching) -> Result<Mode> {
    match flag {
        ModeFlag::Blocking => return Ok(Mode::Blocking),
        ModeFlag::BlockingStrict => return Ok(Mode::BlockingStrict),
        ModeFlag::Batch => {}
    }
    let what = match batching {
        b if b.buffer_size == 0 => Some("buffer size 0".to_owned()),
        b if b.max_size == 0 => Some("max batch size 0".to_owned()),
        b if b.throttled && b.qps <= 0.0 => Some(format!("throttle QPS {}", b.qps)),
        b if b.throttled && b.burst == 0 => Some("throttle burst 0".to_owned()),
        _ => None,
    };
    if let Some(what) = what {
        bail!("invalid audit batch {plugin} {what}, must be a positive number");
    }
    Ok(Mode::Batch(BatchOptions {
        buffer_size: batching.buffer_size,
        max_size: batching.max_size,
        max_wait: batching.max_wait,
        throttle: batching.throttled.then_some((batching.qps, batching.burst)),
    }))
}

fn truncate(plugin: &str, enabled: bool, event: usize, batch: usize) -> Result<Option<TruncateOptions>> {
    if event == 0 {
        bail!("invalid audit truncate {plugin} max event size {event}, must be a positive number");
    }
    if batch < event {
        bail!(
            "invalid audit truncate {plugin} max batch size {batch}, must be greater than max event size ({event})"
        );
    }
    Ok(enabled.then_some(TruncateOptions { max_event_size: event, max_batch_size: batch }))
}
