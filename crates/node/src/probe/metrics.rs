//! What the node counts of probes and hooks, by upstream's names.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Of which container, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    probe_type: &'static str,
    result: &'static str,
    container: String,
    pod: String,
    namespace: String,
    pod_uid: String,
}

/// Results, as the metric names them.
const RESULTS: [&str; 3] = ["successful", "failed", "unknown"];

/// Counters of probes and hooks. Series of a container go with it, so there are as many as containers that run.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    probes: Family<Labels, Counter>,
    fallbacks: Counter,
}

impl Metrics {
    /// Puts them into a registry of the node.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Cumulative number of a liveness, readiness or startup probe for a container by result";
        registry.register("prober_probe", help, self.probes.clone());
        let help = "The number of times lifecycle handlers successfully fell back to http from https";
        registry.register("kubelet_lifecycle_handler_http_fallbacks", help, self.fallbacks.clone());
    }

    pub(crate) fn fell_back(&self) {
        self.fallbacks.inc();
    }
}

/// Counts the probes of one container for as long as it lives.
pub(crate) struct ContainerMetrics {
    metrics: Metrics,
    of: Arc<dyn Fn(&'static str, &'static str) -> Labels + Send + Sync>,
}

impl ContainerMetrics {
    pub(crate) fn new(metrics: &Metrics, pod: &k8s_openapi::api::core::v1::Pod, container: &str) -> Self {
        let (meta, container) = (pod.metadata.clone(), container.to_owned());
        let of = Arc::new(move |probe_type, result| Labels {
            probe_type,
            result,
            container: container.clone(),
            pod: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            pod_uid: meta.uid.clone().unwrap_or_default(),
        });
        Self { metrics: metrics.clone(), of }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, kind: super::Kind, answer: &super::Answer) {
        let result = match answer {
            super::Answer::Success | super::Answer::Warning(_) => RESULTS[0],
            super::Answer::Failure(_) => RESULTS[1],
            super::Answer::Error(_) => RESULTS[2],
        };
        self.metrics.probes.get_or_create(&(self.of)(kind.name(), result)).inc();
    }
}

impl Drop for ContainerMetrics {
    fn drop(&mut self) {
        for kind in [super::Kind::Startup, super::Kind::Liveness, super::Kind::Readiness] {
            for result in RESULTS {
                self.metrics.probes.remove(&(self.of)(kind.name(), result));
            }
        }
    }
}
