//! Counts events and failures, under upstream's names. Clones count together.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::level::Level;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Plugin {
    plugin: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLevel {
    level: &'static str,
}

/// The metrics of a server's audit.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    events: Counter,
    errors: Family<Plugin, Counter>,
    levels: Family<OfLevel, Counter>,
    rejected: Counter,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_audit_event",
            "Counter of audit events generated and sent to the audit backend",
            self.events.clone(),
        );
        registry.register(
            "apiserver_audit_error",
            "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error",
            self.errors.clone(),
        );
        registry.register(
            "apiserver_audit_level",
            "Counter of policy levels for audit events (1 per request)",
            self.levels.clone(),
        );
        registry.register(
            "apiserver_audit_requests_rejected",
            "Counter of apiserver requests rejected due to an error in audit logging backend",
            self.rejected.clone(),
        );
    }

    pub(super) fn event(&self) {
        self.events.inc();
    }

    pub(super) fn errors(&self, plugin: &'static str, events: usize) {
        self.errors.get_or_create(&Plugin { plugin }).inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }

    pub(crate) fn level(&self, level: Level) {
        self.levels.get_or_create(&OfLevel { level: level.as_str() }).inc();
    }

    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }
}
