//! Counts requests: upstream's metric names, so that existing dashboards work.

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::catalog::Catalog;
use crate::request_info::RequestInfo;

/// What a request is counted under.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
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
    /// The label of a request. All its words are the server's own: those of a resource that it serves, and of verbs that it
    /// knows. Whatever else clients send is counted together, so that they cannot make labels without bound.
    pub fn of(catalog: &Catalog, info: &RequestInfo, parts: &Parts) -> Self {
        let resource = catalog
            .resource(&info.group, &info.version, &info.resource)
            .filter(|r| info.subresource.is_empty() || r.subresource(&info.subresource).is_some());
        let verb = verb(resource.is_some(), info, parts).to_owned();
        let empty = Self { verb, ..Self::default() };
        if resource.is_none() {
            return empty;
        }
        let scope = match (info.name.is_empty(), info.namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        Self {
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            scope,
            ..empty
        }
    }
}

/// The verb as upstream counts it: the method, but for what lists, watches, applies and deletes collections.
fn verb(is_resource: bool, info: &RequestInfo, parts: &Parts) -> &'static str {
    let of_method = match parts.method {
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    if !is_resource {
        return of_method;
    }
    let is_apply = || {
        let value = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        value.starts_with("application/apply-patch+")
    };
    match info.verb.as_str() {
        "list" => "LIST",
        "watch" => "WATCH",
        "deletecollection" => "DELETECOLLECTION",
        "patch" if is_apply() => "APPLY",
        _ => of_method,
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
