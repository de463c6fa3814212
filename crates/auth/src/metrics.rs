//! What authentication and authorization count, under upstream's names, so that existing dashboards work.

use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sha2::{Digest as _, Sha256};

/// The client library's default buckets, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Those of match conditions.
const CONDITION_BUCKETS: [f64; 7] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];

/// A webhook and how asking it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoundTrip {
    name: String,
    result: &'static str,
}

/// An authorizer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAuthorizer {
    r#type: &'static str,
    name: String,
}

/// An authorizer and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    r#type: &'static str,
    name: String,
    decision: &'static str,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    status: &'static str,
}

/// How a reload ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    status: &'static str,
    apiserver_id_hash: String,
}

/// Which configuration is in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InForce {
    apiserver_id_hash: String,
    hash: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

fn seconds<L: Clone + std::hash::Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(|| Histogram::new(BUCKETS))
}

/// Everything that is counted.
#[derive(Debug, Clone)]
pub struct Metrics {
    round_trips: Family<RoundTrip, Counter>,
    round_trip_seconds: Histograms<RoundTrip>,
    failed_open: Family<RoundTrip, Counter>,
    condition_errors: Family<OfAuthorizer, Counter>,
    condition_exclusions: Family<OfAuthorizer, Counter>,
    condition_seconds: Histograms<OfAuthorizer>,
    decisions: Family<Decided, Counter>,
    cache_requests: Family<Ended, Counter>,
    cache_seconds: Histograms<Ended>,
    cache_fetches: Family<Ended, Counter>,
    cache_active: Family<Ended, Gauge>,
    /// Reloads of `--authentication-config`.
    pub authentication_config: ConfigMetrics,
    /// Reloads of `--authorization-config`.
    pub authorization_config: ConfigMetrics,
}

impl Default for Metrics {
    /// Such that nobody reads.
    fn default() -> Self {
        Self {
            round_trips: Family::default(),
            round_trip_seconds: seconds(),
            failed_open: Family::default(),
            condition_errors: Family::default(),
            condition_exclusions: Family::default(),
            condition_seconds: Family::new_with_constructor(|| Histogram::new(CONDITION_BUCKETS)),
            decisions: Family::default(),
            cache_requests: Family::default(),
            cache_seconds: seconds(),
            cache_fetches: Family::default(),
            cache_active: Family::default(),
            authentication_config: ConfigMetrics::default(),
            authorization_config: ConfigMetrics::default(),
        }
    }
}

impl Metrics {
    /// All metrics, in a registry. `server` tells this API server from others.
    pub fn register(registry: &mut Registry, server: &str) -> Self {
        let mut metrics = Self::default();
        let hash = hash(server.as_bytes());
        metrics.authentication_config.server.clone_from(&hash);
        metrics.authorization_config.server = hash;
        let m = &metrics;
        let name = |suffix: &str| format!("apiserver_authorization_{suffix}");
        registry.register(
            name("webhook_evaluations"),
            "Round-trips to authorization webhooks",
            m.round_trips.clone(),
        );
        registry.register(
            name("webhook_duration_seconds"),
            "Request latency in seconds",
            m.round_trip_seconds.clone(),
        );
        registry.register(
            name("webhook_evaluations_fail_open"),
            "NoOpinion results due to webhook timeout or error",
            m.failed_open.clone(),
        );
        registry.register(
            name("match_condition_evaluation_errors"),
            "Total number of errors when an authorization webhook encounters a match condition error split by authorizer type and name",
            m.condition_errors.clone(),
        );
        registry.register(
            name("match_condition_exclusions"),
            "Total number of exclusions when an authorization webhook is skipped because match conditions exclude it",
            m.condition_exclusions.clone(),
        );
        registry.register(
            name("match_condition_evaluation_seconds"),
            "Authorization match condition evaluation time in seconds, split by authorizer type and name",
            m.condition_seconds.clone(),
        );
        registry.register(
            name("decisions"),
            "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision",
            m.decisions.clone(),
        );
        let name = |suffix: &str| format!("authentication_token_cache_{suffix}");
        registry.register(name("request"), "Requests to the token cache", m.cache_requests.clone());
        registry.register(name("request_duration_seconds"), "How long they took", m.cache_seconds.clone());
        registry.register(name("fetch"), "Tokens that had to be asked for", m.cache_fetches.clone());
        registry.register(name("active_fetch_count"), "Those under way", m.cache_active.clone());
        m.authentication_config.register(registry, "authentication");
        m.authorization_config.register(registry, "authorization");
        metrics
    }

    /// A round trip to the authorization webhook `name`: how long it took, and whether it failed, and by its time.
    pub(crate) fn round_trip(&self, name: &str, took: Duration, result: &'static str) {
        let label = RoundTrip { name: name.to_owned(), result };
        self.round_trips.get_or_create(&label).inc();
        self.round_trip_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// The webhook `name` failed, and the next authorizer was asked.
    pub(crate) fn failed_open(&self, name: &str, result: &'static str) {
        self.failed_open.get_or_create(&RoundTrip { name: name.to_owned(), result }).inc();
    }

    /// The match conditions of the webhook `name` were looked at; the outcome is whether they hold.
    pub(crate) fn conditions(&self, name: &str, took: Duration, outcome: Result<bool, ()>) {
        let label = OfAuthorizer { r#type: "Webhook", name: name.to_owned() };
        self.condition_seconds.get_or_create(&label).observe(took.as_secs_f64());
        match outcome {
            Ok(true) => {}
            Ok(false) => {
                self.condition_exclusions.get_or_create(&label).inc();
            }
            Err(()) => {
                self.condition_errors.get_or_create(&label).inc();
            }
        }
    }

    /// The counters of what an authorizer allows and denies.
    pub(crate) fn decisions(&self, r#type: &'static str, name: &str) -> [Counter; 2] {
        ["allowed", "denied"].map(|decision| {
            self.decisions.get_or_create(&Decided { r#type, name: name.to_owned(), decision }).clone()
        })
    }

    /// A token was looked up in the cache of answers.
    pub(crate) fn cache_request(&self, took: Duration, is_hit: bool) {
        let label = Ended { status: if is_hit { "hit" } else { "miss" } };
        self.cache_requests.get_or_create(&label).inc();
        self.cache_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// A token is asked for; what comes back counts the end.
    pub(crate) fn cache_fetch(&self) -> Fetch<'_> {
        self.cache_active.get_or_create(&Ended { status: "in_flight" }).inc();
        Fetch(self)
    }
}

/// A question about a token, under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Fetch<'a>(&'a Metrics);

impl Fetch<'_> {
    /// It was answered.
    pub(crate) fn ended(self, is_ok: bool) {
        let status = if is_ok { "ok" } else { "error" };
        self.0.cache_fetches.get_or_create(&Ended { status }).inc();
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        self.0.cache_active.get_or_create(&Ended { status: "in_flight" }).dec();
    }
}

/// Reloads of one configuration file.
#[derive(Debug, Clone, Default)]
pub struct ConfigMetrics {
    server: String,
    reloads: Family<Reload, Counter>,
    last: Family<Reload, Gauge<f64, std::sync::atomic::AtomicU64>>,
    in_force: Family<InForce, Gauge>,
}

impl ConfigMetrics {
    fn register(&self, registry: &mut Registry, of: &str) {
        let name = |suffix: &str| format!("apiserver_{of}_config_controller_{suffix}");
        registry.register(
            name("automatic_reloads"),
            format!("Total number of automatic reloads of {of} configuration split by status and apiserver identity"),
            self.reloads.clone(),
        );
        registry.register(
            name("automatic_reload_last_timestamp_seconds"),
            format!("Timestamp of the last automatic reload of {of} configuration split by status and apiserver identity"),
            self.last.clone(),
        );
        registry.register(
            name("last_config_info"),
            format!("Information about the last applied {of} configuration with hash as label, split by apiserver identity"),
            self.in_force.clone(),
        );
    }

    /// This text is in force.
    pub fn in_force(&self, text: &[u8]) {
        self.in_force.clear();
        let label = InForce { apiserver_id_hash: self.server.clone(), hash: hash(text) };
        self.in_force.get_or_create(&label).set(1);
    }

    /// A change of the file was taken over, or not.
    pub fn reloaded(&self, is_good: bool) {
        let status = if is_good { "success" } else { "failure" };
        let label = Reload { status, apiserver_id_hash: self.server.clone() };
        self.reloads.get_or_create(&label).inc();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last.get_or_create(&label).set(now.as_secs_f64());
    }
}

/// As upstream writes hashes into labels.
fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    if bytes.is_empty() {
        return String::new();
    }
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
