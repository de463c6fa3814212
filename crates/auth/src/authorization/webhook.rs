//! The webhook authorizer: another server decides, asked by a `SubjectAccessReview`, and its answers are remembered.
//!
//! It is asked only what its match conditions let through. What it said is remembered for a time that depends on the answer, in a cache of bounded size. A webhook that cannot be
//! asked has no opinion, or says no, as its failure policy has it; either way the request fails clearly, and the log says why.

pub mod conditions;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::Cache;
use sampan_apiserver::User;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer, Decision, Rules, Selectors, Verdict};
use sampan_model::label_selector::Operator;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use self::conditions::Conditions;
use crate::https;
use crate::metrics::Metrics;
use crate::webhook_client::{self, WebhookClient};

/// How many answers are remembered (as upstream).
const REMEMBERED: usize = 8192;
/// Questions longer than this are not remembered: they could fill the memory.
const LONGEST_REMEMBERED_BYTES: usize = 10_000;

/// What is decided when a webhook cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The next authorizer is asked.
    NoOpinion,
    /// No.
    Deny,
}

/// How a webhook is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name by which log lines call it.
    pub name: String,
    /// How long a yes is remembered; zero: not at all.
    pub authorized_ttl: Duration,
    /// How long anything else is remembered; zero: not at all.
    pub unauthorized_ttl: Duration,
    /// What is decided when it cannot be asked.
    pub on_failure: FailurePolicy,
    /// The version of `authorization.k8s.io` in which it is asked.
    pub version: Version,
    /// What it is asked about; everything when there are none.
    pub conditions: Arc<Conditions>,
}

/// The version in which a webhook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// The present one.
    #[default]
    V1,
    /// The one before, which says `group` for `groups`.
    V1Beta1,
}

impl Version {
    /// The version of this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }
}

/// The authorizer.
pub struct Webhook {
    client: WebhookClient,
    settings: Settings,
    answers: Cache<Arc<str>, (Instant, Verdict)>,
    metrics: Metrics,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Webhook {
    /// An authorizer that asks `client`.
    pub fn new(client: WebhookClient, settings: Settings, metrics: Metrics) -> Self {
        Self { client, settings, answers: Cache::new(REMEMBERED), metrics }
    }

    async fn ask(&self, mut spec: Value) -> Verdict {
        let version = match self.settings.version {
            Version::V1 => "authorization.k8s.io/v1",
            Version::V1Beta1 => {
                if let Some(groups) = spec.as_object_mut().and_then(|map| map.remove("groups")) {
                    spec["group"] = groups;
                }
                "authorization.k8s.io/v1beta1"
            }
        };
        let review = json!({
            "kind": "SubjectAccessReview",
            "apiVersion": version,
            "metadata": {},
            "spec": spec,
            "status": {"allowed": false},
        });
        let name = &self.settings.name;
        let observe = |took, error: Option<&webhook_client::Error>| {
            self.metrics.round_trip(name, took, error.map_or("success", result));
        };
        match self.client.ask_observed(&review, observe).await {
            Ok(answer) => verdict(&answer["status"]),
            Err(error) => {
                let decision = self.on_failure();
                if decision == Decision::NoOpinion {
                    self.metrics.failed_open(name, result(&error));
                }
                let error = in_full(&error);
                tracing::error!(webhook = %name, error, "Failed to make webhook authorizer request");
                Verdict { decision, reason: String::new(), error: Some(error) }
            }
        }
    }

    fn on_failure(&self) -> Decision {
        match self.settings.on_failure {
            FailurePolicy::NoOpinion => Decision::NoOpinion,
            FailurePolicy::Deny => Decision::Deny,
        }
    }

    /// The decision if the conditions do not let this question through.
    fn excluded(&self, spec: &Value) -> Option<Verdict> {
        if self.settings.conditions.is_empty() {
            return None;
        }
        let started = Instant::now();
        let outcome = self.settings.conditions.hold(spec);
        let name = &self.settings.name;
        self.metrics.conditions(
            name,
            started.elapsed(),
            outcome.as_ref().map(|holds| *holds).map_err(|_| ()),
        );
        match outcome {
            Ok(true) => None,
            Ok(false) => Some(Verdict::no_opinion()),
            Err(error) => {
                tracing::warn!(webhook = %name, error, "the match conditions of a webhook failed");
                Some(Verdict { decision: self.on_failure(), reason: String::new(), error: Some(error) })
            }
        }
    }
}

/// How a round trip that failed is counted.
fn result(error: &webhook_client::Error) -> &'static str {
    match error {
        webhook_client::Error::Https(https::Error::Timeout(_)) => "timeout",
        _ => "error",
    }
}

/// An error with all its sources, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |e| e.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// What an answer says.
fn verdict(status: &Value) -> Verdict {
    let (allowed, denied) = (status["allowed"] == true, status["denied"] == true);
    let reason = status["reason"].as_str().unwrap_or_default().to_owned();
    let both = "webhook subject access review returned both allow and deny response";
    match (allowed, denied) {
        (true, true) => Verdict { decision: Decision::Deny, reason, error: Some(both.into()) },
        (false, true) => Verdict::new(Decision::Deny, reason),
        (true, false) => Verdict::new(Decision::Allow, reason),
        (false, false) => Verdict::new(Decision::NoOpinion, reason),
    }
}

/// The question: who wants to do what.
fn spec(a: &Attributes<'_>) -> Value {
    let mut spec = Map::new();
    let mut add = |field: &str, value: Value| {
        let empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
        if !empty && value != json!({}) {
            spec.insert(field.to_owned(), value);
        }
    };
    let User { name, uid, groups, extra } = a.user;
    add("user", json!(name));
    add("uid", json!(uid));
    add("groups", json!(groups));
    add("extra", json!(extra));
    let info = a.info;
    if info.is_resource {
        let mut attributes = Map::new();
        let words = [
            ("namespace", &info.namespace),
            ("verb", &info.verb),
            ("group", &info.group),
            ("version", &info.version),
            ("resource", &info.resource),
            ("subresource", &info.subresource),
            ("name", &info.name),
        ];
        for (field, word) in words.into_iter().filter(|(_, word)| !word.is_empty()) {
            attributes.insert(field.to_owned(), json!(word));
        }
        if let Some(selectors) = a.selectors {
            attributes.extend(selector_attributes(selectors));
        }
        spec.insert("resourceAttributes".to_owned(), attributes.into());
    } else {
        spec.insert("nonResourceAttributes".to_owned(), json!({"path": info.path, "verb": info.verb}));
    }
    spec.into()
}

fn selector_attributes(selectors: &Selectors) -> Map<String, Value> {
    let fields = selectors.fields.requirements().iter().map(|r| {
        let operator = if r.negated { "NotIn" } else { "In" };
        json!({"key": r.field, "operator": operator, "values": [r.value]})
    });
    // Numbers are compared by no operator of a review, so such requirements are left out, as upstream does.
    let labels = selectors.labels.requirements().iter().filter_map(|r| {
        let operator = match r.operator() {
            Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        let mut requirement = json!({"key": r.key(), "operator": operator});
        if !r.values().is_empty() {
            requirement["values"] = json!(r.values());
        }
        Some(requirement)
    });
    let mut found = Map::new();
    let lists = [("fieldSelector", fields.collect::<Vec<_>>()), ("labelSelector", labels.collect())];
    for (field, requirements) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        found.insert(field.to_owned(), json!({"requirements": requirements}));
    }
    found
}

#[async_trait]
impl Authorizer for Webhook {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let spec = spec(a);
        if let Some(verdict) = self.excluded(&spec) {
            return verdict;
        }
        let question: Arc<str> = spec.to_string().into();
        if let Some((until, verdict)) = self.answers.get(&question)
            && Instant::now() < until
        {
            return verdict;
        }
        let verdict = self.ask(spec).await;
        let lasts = match verdict.decision {
            Decision::Allow => self.settings.authorized_ttl,
            _ => self.settings.unauthorized_ttl,
        };
        if verdict.error.is_none() && !lasts.is_zero() && question.len() <= LONGEST_REMEMBERED_BYTES {
            self.answers.insert(question, (Instant::now() + lasts, verdict.clone()));
        }
        verdict
    }

    fn rules(&self, _user: &User, _namespace: &str) -> Rules {
        let error = "webhook authorizer does not support user rule resolution".to_owned();
        Rules { incomplete: true, errors: vec![error], ..Rules::default() }
    }
}

#[cfg(test)]
mod tests;
