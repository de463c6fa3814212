//! The store's metrics. Those of single resources are the API server's: the store knows no resources.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) commits: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) failures: Counter,
    pub(crate) unsealed: Counter,
    pub(crate) group_size: Histogram,
    pub(crate) commit_seconds: Histogram,
    pub(crate) queue: Gauge,
    pub(crate) watchers: Gauge,
    pub(crate) slow_watchers: Counter,
    pub(crate) heavy_watchers: Counter,
    pub(crate) history_events: Gauge,
    pub(crate) history_bytes: Gauge,
    pub(crate) objects: Gauge,
    pub(crate) revision: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            commits: Counter::default(),
            conflicts: Counter::default(),
            failures: Counter::default(),
            unsealed: Counter::default(),
            group_size: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 17)),
            queue: Gauge::default(),
            watchers: Gauge::default(),
            slow_watchers: Counter::default(),
            heavy_watchers: Counter::default(),
            history_events: Gauge::default(),
            history_bytes: Gauge::default(),
            objects: Gauge::default(),
            revision: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("sampan_store");
        r.register("commits", "Transactions that were committed", self.commits.clone());
        r.register("conflicts", "Transactions whose expectations did not hold", self.conflicts.clone());
        r.register("failures", "Transactions that the engine could not write", self.failures.clone());
        r.register(
            "seal_failures",
            "Transactions with a value that could not be made ready for the disk",
            self.unsealed.clone(),
        );
        r.register("group_size", "Transactions that became durable together", self.group_size.clone());
        r.register_with_unit(
            "commit_duration",
            "Time to make one group of transactions durable",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        r.register("queue_length", "Transactions that wait to be written", self.queue.clone());
        r.register("watchers", "Open watches", self.watchers.clone());
        r.register(
            "slow_watchers",
            "Watches that were ended because too much waited",
            self.slow_watchers.clone(),
        );
        r.register(
            "slow_watchers_by_bytes",
            "Those of them for which too many bytes waited, not too many events",
            self.heavy_watchers.clone(),
        );
        r.register("history_events", "Events in the history", self.history_events.clone());
        r.register_with_unit(
            "history",
            "Size of the values that only the history still holds",
            Unit::Bytes,
            self.history_bytes.clone(),
        );
        r.register("objects", "Entries in the live state", self.objects.clone());
        r.register("revision", "The newest revision", self.revision.clone());
    }
}
