//! What is counted, under upstream's names: calls to KMS plugins, the use of their keys, reloads of the configuration.
//!
//! Key ids may be secret, so labels show their hashes. Keys come and go, so only those that were used last are kept.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sha2::{Digest as _, Sha256};

/// How many keys are told of.
const MAX_KEYS: usize = 100;

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    provider_name: String,
    method_name: String,
    grpc_status_code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UseLabel {
    transformation_type: &'static str,
    provider_name: String,
    key_id_hash: String,
    apiserver_id_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabel {
    provider_name: String,
    key_id_hash: String,
    apiserver_id_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InvalidLabel {
    provider_name: String,
    error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabel {
    status: &'static str,
    apiserver_id_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConfigLabel {
    apiserver_id_hash: String,
    hash: String,
}

/// The way of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    FromStorage,
    ToStorage,
}

/// The metrics. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(Arc<All>);

#[derive(Debug)]
struct All {
    /// The hash of the server's name; empty for one without.
    server: String,
    calls: Family<CallLabel, Histogram, fn() -> Histogram>,
    uses: Family<UseLabel, Counter>,
    last_used: Family<UseLabel, Seconds>,
    last_seen: Family<KeyLabel, Seconds>,
    invalid: Family<InvalidLabel, Counter>,
    seeds: Family<ProviderLabel, Gauge>,
    reloads: Family<ReloadLabel, Counter>,
    last_reload: Family<ReloadLabel, Seconds>,
    configuration: Family<ConfigLabel, Gauge>,
    recent: Mutex<(Recent<UseLabel>, Recent<KeyLabel>)>,
}

impl Default for All {
    fn default() -> Self {
        Self {
            server: String::new(),
            calls: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 2.0, 20))),
            uses: Family::default(),
            last_used: Family::default(),
            last_seen: Family::default(),
            invalid: Family::default(),
            seeds: Family::default(),
            reloads: Family::default(),
            last_reload: Family::default(),
            configuration: Family::default(),
            recent: Mutex::default(),
        }
    }
}

/// The labels that were used last, the newest at the end.
#[derive(Debug)]
struct Recent<L>(VecDeque<L>);

impl<L> Default for Recent<L> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<L: PartialEq + Clone> Recent<L> {
    /// `label` is used. The one that goes for it, if any.
    fn used(&mut self, label: &L) -> Option<L> {
        if let Some(at) = self.0.iter().rposition(|l| l == label) {
            let label = self.0.remove(at)?;
            self.0.push_back(label);
            return None;
        }
        self.0.push_back(label.clone());
        if self.0.len() > MAX_KEYS { self.0.pop_front() } else { None }
    }
}

/// `sha256:` and the hash in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Metrics {
    /// Those of a server of this name.
    pub(crate) fn new(server: &str) -> Self {
        let server = if server.is_empty() { String::new() } else { hash(server.as_bytes()) };
        Self(Arc::new(All { server, ..All::default() }))
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let all = &*self.0;
        let of = registry.sub_registry_with_prefix("apiserver_envelope_encryption");
        of.register(
            "kms_operations_latency_seconds",
            "KMS operation duration with gRPC error code status total",
            all.calls.clone(),
        );
        of.register(
            "key_id_hash",
            "Number of times a keyID is used split by transformation type, provider, and apiserver identity",
            all.uses.clone(),
        );
        of.register(
            "key_id_hash_last_timestamp_seconds",
            "The last time in seconds when a keyID was used",
            all.last_used.clone(),
        );
        of.register(
            "key_id_hash_status_last_timestamp_seconds",
            "The last time in seconds when a keyID was returned by the Status RPC call",
            all.last_seen.clone(),
        );
        of.register(
            "invalid_key_id_from_status",
            "Number of times an invalid keyID is returned by the Status RPC call split by error",
            all.invalid.clone(),
        );
        of.register("dek_source_cache_size", "Number of records in data encryption key (DEK) source cache. On a restart, this value is an approximation of the number of decrypt RPC calls the server will make to the KMS plugin", all.seeds.clone());
        let of = registry.sub_registry_with_prefix("apiserver_encryption_config_controller");
        of.register("automatic_reloads", "Total number of reload successes and failures of encryption configuration split by apiserver identity", all.reloads.clone());
        of.register("automatic_reload_last_timestamp_seconds", "Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity", all.last_reload.clone());
        of.register("last_config_info", "Information about the last applied encryption configuration with hash as label, split by apiserver identity", all.configuration.clone());
    }

    /// A call to a plugin has ended.
    pub(crate) fn called(&self, provider: &str, method: &str, code: &'static str, took: Duration) {
        let label = CallLabel {
            provider_name: provider.to_owned(),
            method_name: method.to_owned(),
            grpc_status_code: code,
        };
        self.0.calls.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// A value was sealed or opened with a key of this hash.
    pub(crate) fn used(&self, way: Way, provider: &str, key_id_hash: &str) {
        let all = &*self.0;
        let label = UseLabel {
            transformation_type: match way {
                Way::FromStorage => "from_storage",
                Way::ToStorage => "to_storage",
            },
            provider_name: provider.to_owned(),
            key_id_hash: key_id_hash.to_owned(),
            apiserver_id_hash: all.server.clone(),
        };
        let mut recent = all.recent.lock();
        if let Some(old) = recent.0.used(&label) {
            all.uses.remove(&old);
            all.last_used.remove(&old);
        }
        all.uses.get_or_create(&label).inc();
        all.last_used.get_or_create(&label).set(now());
    }

    /// A plugin says that it has a key of this hash.
    pub(crate) fn seen(&self, provider: &str, key_id_hash: &str) {
        let all = &*self.0;
        let label = KeyLabel {
            provider_name: provider.to_owned(),
            key_id_hash: key_id_hash.to_owned(),
            apiserver_id_hash: all.server.clone(),
        };
        let mut recent = all.recent.lock();
        if let Some(old) = recent.1.used(&label) {
            all.last_seen.remove(&old);
        }
        all.last_seen.get_or_create(&label).set(now());
    }

    /// A plugin says that it has a key whose name cannot be.
    pub(crate) fn invalid(&self, provider: &str, key_id: &str) {
        let error = if key_id.is_empty() { "empty" } else { "too_long" };
        let label = InvalidLabel { provider_name: provider.to_owned(), error };
        self.0.invalid.get_or_create(&label).inc();
    }

    /// So many seeds of a plugin are known.
    pub(crate) fn seeds(&self, provider: &str, count: usize) {
        let label = ProviderLabel { provider_name: provider.to_owned() };
        self.0.seeds.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A changed configuration was taken over, or could not be.
    pub(crate) fn reloaded(&self, taken: bool) {
        let status = if taken { "success" } else { "failure" };
        let label = ReloadLabel { status, apiserver_id_hash: self.0.server.clone() };
        self.0.reloads.get_or_create(&label).inc();
        self.0.last_reload.get_or_create(&label).set(now());
    }

    /// The configuration of this text is in force.
    pub(crate) fn in_force(&self, text: &str) {
        let label = ConfigLabel { apiserver_id_hash: self.0.server.clone(), hash: hash(text.as_bytes()) };
        self.0.configuration.clear();
        self.0.configuration.get_or_create(&label).set(1);
    }
}

#[cfg(test)]
pub(crate) fn text(metrics: &Metrics) -> String {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics can be written");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_were_not_used_for_long_are_forgotten() {
        let metrics = Metrics::new("apiserver-x");
        for i in 0..MAX_KEYS + 10 {
            metrics.used(Way::FromStorage, "vault", &format!("sha256:{i}"));
            metrics.used(Way::FromStorage, "vault", "sha256:busy");
            metrics.seen("vault", &format!("sha256:{i}"));
        }
        let text = text(&metrics);
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(lines("apiserver_envelope_encryption_key_id_hash_total{"), MAX_KEYS);
        assert_eq!(lines("apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds{"), MAX_KEYS);
        assert_eq!(
            lines("apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{"),
            MAX_KEYS
        );
        let server = hash(b"apiserver-x");
        let busy = format!(
            "apiserver_envelope_encryption_key_id_hash_total{{transformation_type=\"from_storage\",provider_name=\"vault\",key_id_hash=\"sha256:busy\",apiserver_id_hash=\"{server}\"}} 110"
        );
        assert!(text.contains(&busy), "{text}");
        assert!(!text.contains("\"sha256:0\""), "{text}");
    }

    #[test]
    fn one_configuration_is_in_force() {
        let metrics = Metrics::new("");
        metrics.in_force("a");
        metrics.in_force("");
        metrics.reloaded(true);
        metrics.reloaded(false);
        let text = text(&metrics);
        let info: Vec<&str> = text.lines().filter(|line| line.contains("last_config_info{")).collect();
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let want = format!(
            "apiserver_encryption_config_controller_last_config_info{{apiserver_id_hash=\"\",hash=\"{empty}\"}} 1"
        );
        assert_eq!(info, [want]);
        for status in ["success", "failure"] {
            let line = format!(
                "apiserver_encryption_config_controller_automatic_reloads_total{{status=\"{status}\",apiserver_id_hash=\"\"}} 1"
            );
            assert!(text.contains(&line), "{text}");
        }
    }
}
