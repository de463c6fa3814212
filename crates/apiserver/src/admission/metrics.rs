//! How long admission takes, under upstream's names, so that existing dashboards work.
//!
//! The histograms of writes that are let through are found once, when the server starts; only a refusal looks
//! its own up by label.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Verb;

/// Upstream's buckets, in seconds.
const BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "CONNECT"];
const PHASES: [&str; 2] = ["admit", "validate"];

/// The two halves of admission.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Admit,
    Validate,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabel {
    name: &'static str,
    operation: &'static str,
    rejected: &'static str,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    operation: &'static str,
    rejected: &'static str,
    r#type: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

type PluginFamily = Family<PluginLabel, Histogram, fn() -> Histogram>;
type StepFamily = Family<StepLabel, Histogram, fn() -> Histogram>;

/// The histograms.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    names: Vec<&'static str>,
    plugins: PluginFamily,
    steps: StepFamily,
    /// By plug-in, phase and operation, of what was not refused.
    accepted: Vec<[[Histogram; 4]; 2]>,
    accepted_steps: [[Histogram; 4]; 2],
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(std::iter::empty())
    }
}

impl Metrics {
    pub(super) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        let plugins: PluginFamily = Family::new_with_constructor(histogram);
        let steps: StepFamily = Family::new_with_constructor(histogram);
        let names: Vec<_> = names.collect();
        let of_plugin = |name: &'static str| {
            PHASES.map(|r#type| {
                OPERATIONS.map(|operation| {
                    let label = PluginLabel { name, operation, rejected: "false", r#type };
                    plugins.get_or_create(&label).clone()
                })
            })
        };
        let accepted = names.iter().copied().map(of_plugin).collect();
        let accepted_steps = PHASES.map(|r#type| {
            OPERATIONS.map(|operation| {
                steps.get_or_create(&StepLabel { operation, rejected: "false", r#type }).clone()
            })
        });
        Self { names, plugins, steps, accepted, accepted_steps }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_admission_controller_admission_duration_seconds",
            "Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit)",
            self.plugins.clone(),
        );
        registry.register(
            "apiserver_admission_step_admission_duration_seconds",
            "Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit)",
            self.steps.clone(),
        );
    }

    /// Begins a half of admission; it is counted when dropped.
    pub(super) fn step(&self, phase: Phase, verb: Verb) -> Step<'_> {
        let operation = match verb {
            Verb::Create => 0,
            Verb::Delete | Verb::DeleteCollection => 2,
            Verb::Connect => 3,
            _ => 1,
        };
        let now = Instant::now();
        Step { metrics: self, phase: phase as usize, operation, started: now, last: now, rejected: false }
    }
}

/// A half of admission that is under way.
pub(super) struct Step<'a> {
    metrics: &'a Metrics,
    phase: usize,
    operation: usize,
    started: Instant,
    last: Instant,
    rejected: bool,
}

impl Step<'_> {
    /// The plug-in at that place is done.
    pub(super) fn plugin(&mut self, index: usize, rejected: bool) {
        let now = Instant::now();
        let took = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        self.rejected = rejected;
        if rejected {
            let label = PluginLabel {
                name: self.metrics.names[index],
                operation: OPERATIONS[self.operation],
                rejected: "true",
                r#type: PHASES[self.phase],
            };
            self.metrics.plugins.get_or_create(&label).observe(took);
        } else {
            self.metrics.accepted[index][self.phase][self.operation].observe(took);
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let took = self.last.duration_since(self.started).as_secs_f64();
        if self.rejected {
            let label = StepLabel {
                operation: OPERATIONS[self.operation],
                rejected: "true",
                r#type: PHASES[self.phase],
            };
            self.metrics.steps.get_or_create(&label).observe(took);
        } else {
            self.metrics.accepted_steps[self.phase][self.operation].observe(took);
        }
    }
}
