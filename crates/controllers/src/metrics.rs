//! What the controllers count: their queues by upstream's names, and their reconciles.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A queue: that of a controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Name {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    controller: &'static str,
    result: &'static str,
}

/// See the module. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    adds: Family<Name, Counter>,
    retries: Family<Name, Counter>,
    depth: Family<Name, Gauge>,
    reconciles: Family<Outcome, Counter>,
    pub(crate) dropped_events: Counter,
}

/// The metrics of one queue.
#[derive(Clone, Debug)]
pub(crate) struct QueueMetrics {
    pub(crate) adds: Counter,
    pub(crate) retries: Counter,
    pub(crate) depth: Gauge,
}

impl Metrics {
    /// Puts them into a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("workqueue_adds", "Total number of adds handled by workqueue", self.adds.clone());
        let help = "Total number of retries handled by workqueue";
        registry.register("workqueue_retries", help, self.retries.clone());
        registry.register("workqueue_depth", "Current depth of workqueue", self.depth.clone());
        let help = "Reconciles, by controller and result";
        registry.register("sampan_controllers_reconciles", help, self.reconciles.clone());
        let help = "Events that were dropped since too many waited";
        registry.register("sampan_controllers_events_dropped", help, self.dropped_events.clone());
    }

    pub(crate) fn queue(&self, name: &'static str) -> QueueMetrics {
        let name = Name { name };
        QueueMetrics {
            adds: self.adds.get_or_create_owned(&name),
            retries: self.retries.get_or_create_owned(&name),
            depth: self.depth.get_or_create_owned(&name),
        }
    }

    pub(crate) fn reconciled(&self, controller: &'static str, ok: bool) {
        let result = if ok { "success" } else { "error" };
        self.reconciles.get_or_create(&Outcome { controller, result }).inc();
    }

    /// How often a controller was asked to reconcile.
    #[cfg(test)]
    pub(crate) fn reconciles(&self, controller: &'static str) -> u64 {
        let of = |result| self.reconciles.get_or_create(&Outcome { controller, result }).get();
        of("success") + of("error")
    }
}
