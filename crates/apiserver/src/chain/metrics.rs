//! Counts requests: upstream's metric names, so that existing dashboards work.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::request_info::RequestInfo;

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Label {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    code: u16,
}

impl Label {
    /// The label of a request. Paths that are no resources are counted together, so that clients cannot make
    /// labels without bound.
    pub fn of(info: &RequestInfo, head: bool) -> Self {
        let known = info.is_resource && info.resource.len() <= 63 && info.group.len() <= 253;
        let scope = match (known, info.name.is_empty(), info.namespace.is_empty()) {
            (false, ..) => "",
            (true, false, _) => "resource",
            (true, true, false) => "namespace",
            (true, true, true) => "cluster",
        };
        let text = |s: &str| if known { s.to_owned() } else { String::new() };
        Self {
            verb: if head { "HEAD".into() } else { info.verb.to_ascii_uppercase() },
            group: text(&info.group),
            version: text(&info.version),
            resource: text(&info.resource),
            subresource: text(&info.subresource),
            scope,
        }
    }
}

/// The request metrics.
#[derive(Debug)]
pub struct Metrics {
    total: Family<CodeLabel, Counter>,
    duration: Family<Label, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Makes and registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            total: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 4.0, 10))),
        };
        registry.register(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, group, version, resource, scope and HTTP response code",
            metrics.total.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, group, version, resource, subresource and scope",
            metrics.duration.clone(),
        );
        metrics
    }

    /// Counts an answer.
    pub fn observe(&self, label: &Label, code: u16, took: Duration) {
        self.duration.get_or_create(label).observe(took.as_secs_f64());
        let label = label.clone();
        self.total
            .get_or_create(&CodeLabel {
                verb: label.verb,
                group: label.group,
                version: label.version,
                resource: label.resource,
                subresource: label.subresource,
                scope: label.scope,
                code,
            })
            .inc();
    }
}
