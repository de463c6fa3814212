//! What the scheduler counts, by upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::queue::Lengths;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    profile: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    queue: &'static str,
}

/// See the module. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: Family<Attempt, Counter>,
    durations: Histogram,
    pending: Family<Place, Gauge>,
    pub(crate) dropped_events: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            durations: Histogram::new(exponential_buckets(0.000_1, 2.0, 15)),
            pending: Family::default(),
            dropped_events: Counter::default(),
        }
    }
}

impl Metrics {
    /// Puts them into a registry.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem";
        registry.register("scheduler_schedule_attempts", help, self.attempts.clone());
        let help = "Scheduling algorithm latency in seconds";
        registry.register("scheduler_scheduling_algorithm_duration_seconds", help, self.durations.clone());
        let help = "Number of pending pods, by the queue type";
        registry.register("scheduler_pending_pods", help, self.pending.clone());
        let help = "Events that were dropped since too many waited";
        registry.register("sampan_scheduler_events_dropped", help, self.dropped_events.clone());
    }

    pub(crate) fn attempt(&self, profile: &str, result: &'static str) {
        self.attempts.get_or_create(&Attempt { profile: profile.into(), result }).inc();
    }

    pub(crate) fn decided(&self, seconds: f64) {
        self.durations.observe(seconds);
    }

    pub(crate) fn waiting(&self, lengths: Lengths) {
        let rows = [
            ("active", lengths.active),
            ("backoff", lengths.backing_off),
            ("unschedulable", lengths.unschedulable),
            ("gated", lengths.gated),
        ];
        for (queue, length) in rows {
            self.pending.get_or_create(&Place { queue }).set(i64::try_from(length).unwrap_or(i64::MAX));
        }
    }
}
