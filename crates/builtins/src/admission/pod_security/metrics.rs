//! Counts evaluations, exemptions and errors, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sampan_apiserver::{Context, Verb};
use sampan_validation::pod_security::{LevelVersion, Version};

/// Versions beyond this server's own are counted together.
const OWN_VERSION: u64 = 36;

/// Which label of a namespace asked for an evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    Enforce,
    Audit,
    Warn,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Evaluation {
    decision: &'static str,
    policy_level: &'static str,
    policy_version: String,
    mode: &'static str,
    request_operation: &'static str,
    resource: &'static str,
    subresource: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exemption {
    request_operation: &'static str,
    resource: &'static str,
    subresource: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Error {
    fatal: &'static str,
    request_operation: &'static str,
    resource: &'static str,
    subresource: String,
}

/// The plug-in's metrics.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    evaluations: Family<Evaluation, Counter>,
    exemptions: Family<Exemption, Counter>,
    errors: Family<Error, Counter>,
}

fn operation(verb: Verb) -> &'static str {
    if verb == Verb::Create { "create" } else { "update" }
}

fn resource(cx: &Context<'_>) -> &'static str {
    if cx.resource.gvr.resource == "pods" { "pod" } else { "controller" }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "pod_security_evaluations",
            "Number of policy evaluations that occurred, not counting ignored or exempt requests",
            self.evaluations.clone(),
        );
        registry.register(
            "pod_security_exemptions",
            "Number of exempt requests, not counting ignored or out of scope requests",
            self.exemptions.clone(),
        );
        registry.register(
            "pod_security_errors",
            "Number of errors preventing normal evaluation. Non-fatal errors may result in the latest restricted profile being used for evaluation",
            self.errors.clone(),
        );
    }

    pub(super) fn evaluation(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        mode: Mode,
        at: LevelVersion,
        allowed: bool,
    ) {
        let policy_version = match at.version {
            Version::Minor(minor) if minor > OWN_VERSION => "future".to_owned(),
            version => version.to_string(),
        };
        let label = Evaluation {
            decision: if allowed { "allow" } else { "deny" },
            policy_level: at.level.as_str(),
            policy_version,
            mode: match mode {
                Mode::Enforce => "enforce",
                Mode::Audit => "audit",
                Mode::Warn => "warn",
            },
            request_operation: operation(verb),
            resource: resource(cx),
            subresource: cx.subresource.to_owned(),
        };
        self.evaluations.get_or_create(&label).inc();
    }

    pub(super) fn exemption(&self, cx: &Context<'_>, verb: Verb) {
        let label = Exemption {
            request_operation: operation(verb),
            resource: resource(cx),
            subresource: cx.subresource.to_owned(),
        };
        self.exemptions.get_or_create(&label).inc();
    }

    pub(super) fn error(&self, cx: &Context<'_>, verb: Verb, fatal: bool) {
        let label = Error {
            fatal: if fatal { "true" } else { "false" },
            request_operation: operation(verb),
            resource: resource(cx),
            subresource: cx.subresource.to_owned(),
        };
        self.errors.get_or_create(&label).inc();
    }
}
