//! What the server counts about itself.

use std::sync::atomic::AtomicI64;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::answer::{self, Answer};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Label {
    method: String,
    path: String,
    long_running: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

pub(super) struct Metrics {
    requests: Family<Label, Counter>,
    in_flight: Family<Label, Gauge>,
    answers: Family<Code, Counter>,
    streams: Gauge<i64, AtomicI64>,
    refused: Counter,
}

impl Metrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            in_flight: Family::default(),
            answers: Family::default(),
            streams: Gauge::default(),
            refused: Counter::default(),
        };
        let help = "Number of the http requests received since the server started";
        registry.register("kubelet_http_requests", help, metrics.requests.clone());
        let help = "Number of the inflight http requests";
        registry.register("kubelet_http_inflight_requests", help, metrics.in_flight.clone());
        registry.register("sampan_node_http_answers", "Answers by code", metrics.answers.clone());
        let help = "Remote commands and port-forwards that are open";
        registry.register("sampan_node_streams", help, metrics.streams.clone());
        let help = "Remote commands and port-forwards that were refused because too many were open";
        registry.register("sampan_node_streams_refused", help, metrics.refused.clone());
        metrics
    }

    /// A request begins. Names in its path are left out, so that there are few labels.
    pub(super) fn begin(&self, method: &Method, path: &str) -> Label {
        const KNOWN: [&str; 11] = [
            "attach",
            "configz",
            "containerLogs",
            "exec",
            "healthz",
            "logs",
            "metrics",
            "pods",
            "portForward",
            "run",
            "stats",
        ];
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let path = KNOWN.iter().find(|known| **known == first).copied().unwrap_or("other");
        let long = matches!(path, "attach" | "containerLogs" | "exec" | "portForward");
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST => method.as_str(),
            _ => "other",
        };
        let label = Label { method: method.into(), path: path.into(), long_running: long.to_string() };
        self.requests.get_or_create(&label).inc();
        self.in_flight.get_or_create(&label).inc();
        label
    }

    /// It was answered.
    pub(super) fn end(&self, label: Label, code: StatusCode) {
        self.in_flight.get_or_create(&label).dec();
        drop(label);
        self.answers.get_or_create(&Code { code: code.as_u16() }).inc();
    }

    /// A stream was opened; it counts until this is dropped.
    pub(super) fn stream(&self) -> Open {
        self.streams.inc();
        Open(self.streams.clone())
    }

    /// A stream was refused.
    pub(super) fn stream_refused(&self) {
        self.refused.inc();
    }
}

/// A stream that counts.
pub(super) struct Open(Gauge<i64, AtomicI64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// All of a registry.
pub(super) fn answer(registry: &Registry) -> Answer {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => answer::open_metrics(text),
        Err(error) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
