//! PodSecurity: namespaces say by labels which Pod Security Standards their pods must keep (`enforce`), and of which
//! violations the audit log (`audit`) and the client (`warn`) are told.
//!
//! The standards themselves are [`sampan_validation::pod_security`]. What embeds a pod is only audited and warned about,
//! so that it is its pods that are refused.

mod config;
mod existing;
mod metrics;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, Map, Status, Value};
use sampan_validation::pod_security::{Level, LevelVersion, Policy, Violation, details, evaluate, labels};

pub use config::{Configuration, Exemptions};

use self::metrics::{Metrics, Mode};
use super::{core, forbidden, is};

/// The plug-in.
#[derive(Debug, Default)]
pub struct PodSecurity {
    config: Configuration,
    metrics: Metrics,
}

/// Subresources of pods through which no spec is written.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/// What embeds a pod, and where.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
];
/// How the plug-in's audit annotations begin.
const PREFIX: &str = "pod-security.kubernetes.io/";
/// The annotations of containers by which seccomp profiles were set before there were fields.
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

impl PodSecurity {
    /// One with a cluster's configuration.
    pub fn new(config: Configuration) -> Self {
        Self { config, metrics: Metrics::default() }
    }

    fn audit(cx: &Context<'_>, key: &str, value: impl Into<String>) {
        cx.audit(&format!("{PREFIX}{key}"), value);
    }

    /// Whether the namespace or the user is exempt.
    fn is_exempt(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let exemptions = &self.config.exemptions;
        let why = if exemptions.namespace(cx.namespace) {
            "namespace"
        } else if exemptions.username(&cx.user.name) {
            "user"
        } else {
            return false;
        };
        self.metrics.exemption(cx, verb);
        Self::audit(cx, "exempt", why);
        true
    }

    fn policy(&self, namespace: &Value) -> (Policy, Vec<FieldError>) {
        Policy::of(namespace.labels(), &self.config.defaults)
    }

    async fn namespace(&self, cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Result<(), Status> {
        let name = new.name();
        let (policy, errors) = self.policy(new);
        let invalid = || Err(Status::invalid(&cx.resource.group_kind(), name, &errors));
        let Some(old) = old else {
            if !errors.is_empty() {
                return invalid();
            }
            self.warn_of_exemption(cx, new, &policy);
            return Ok(());
        };
        let (old_policy, old_errors) = self.policy(old);
        if !errors.is_empty() && errors != old_errors {
            return invalid();
        }
        let (now, before) = (policy.enforce, old_policy.enforce);
        let relaxed = now.version == before.version && now.level <= before.level;
        if now == before || now.level == Level::Privileged || relaxed {
            return Ok(());
        }
        if self.config.exemptions.namespace(name) {
            self.warn_of_exemption(cx, new, &policy);
            return Ok(());
        }
        for warning in existing::warnings(cx.lookup, name, now, &self.config.exemptions).await {
            cx.warn(warning);
        }
        Ok(())
    }

    /// Says that the labels of an exempt namespace do nothing.
    fn warn_of_exemption(&self, cx: &Context<'_>, namespace: &Value, policy: &Policy) {
        let name = namespace.name();
        if !self.config.exemptions.namespace(name)
            || policy.is_privileged()
            || policy.is_equivalent(&self.config.defaults)
        {
            return;
        }
        let given = |label: &str| namespace.labels().is_some_and(|l| l.contains_key(label));
        let modes = [
            ("enforce", policy.enforce, labels::ENFORCE, labels::ENFORCE_VERSION),
            ("audit", policy.audit, labels::AUDIT, labels::AUDIT_VERSION),
            ("warn", policy.warn, labels::WARN, labels::WARN_VERSION),
        ];
        let list: Vec<String> = modes
            .into_iter()
            .filter(|(_, at, level, version)| {
                at.level != Level::Privileged && (given(level) || given(version))
            })
            .map(|(mode, at, ..)| format!("{mode}={at}"))
            .collect();
        cx.warn(format!(
            "namespace \"{name}\" is exempt from Pod Security, and the policy ({}) will be ignored",
            list.join(", ")
        ));
    }

    fn pod(&self, cx: &Context<'_>, verb: Verb, pod: &Value, old: Option<&Value>) -> Result<(), Status> {
        if self.is_exempt(cx, verb) {
            return Ok(());
        }
        let Some(namespace) = cx.lookup.get(&core("namespaces"), "", cx.namespace) else {
            self.metrics.error(cx, verb, true);
            Self::audit(cx, "error", format!("failed to lookup namespace \"{}\"", cx.namespace));
            return Err(Status::internal(format!("failed to lookup namespace \"{}\"", cx.namespace)));
        };
        let (policy, errors) = self.policy(&namespace);
        if errors.is_empty() && policy.is_privileged() {
            self.metrics.evaluation(cx, verb, Mode::Enforce, policy.enforce, true);
            Self::audit(cx, "enforce-policy", LevelVersion::PRIVILEGED.to_string());
            return Ok(());
        }
        if old.is_some_and(|old| !is_significant(pod, old)) {
            return Ok(());
        }
        self.evaluate(cx, verb, (&policy, &errors), pod, Some(pod.name()))
    }

    fn controller(&self, cx: &Context<'_>, verb: Verb, object: &Value) -> Result<(), Status> {
        let gvr = &cx.resource.gvr;
        let found =
            TEMPLATES.iter().find(|(group, plural, _)| gvr.group == *group && gvr.resource == *plural);
        let Some((_, _, path)) = found else { return Ok(()) };
        if self.is_exempt(cx, verb) {
            return Ok(());
        }
        let Some(namespace) = cx.lookup.get(&core("namespaces"), "", cx.namespace) else {
            self.metrics.error(cx, verb, true);
            let why =
                format!("failed to lookup namespace \"{0}\": namespace \"{0}\" not found", cx.namespace);
            Self::audit(cx, "error", why);
            return Ok(());
        };
        let (policy, errors) = self.policy(&namespace);
        if errors.is_empty() && [policy.audit, policy.warn].iter().all(|at| at.level == Level::Privileged) {
            return Ok(());
        }
        match object.at(path) {
            Some(template) => self.evaluate(cx, verb, (&policy, &errors), template, None),
            None => Ok(()),
        }
    }

    /// Holds a pod, or what a controller makes pods of, against the policy. Only a pod, which has a name, is refused.
    fn evaluate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        (policy, errors): (&Policy, &[FieldError]),
        pod: &Value,
        enforced_on: Option<&str>,
    ) -> Result<(), Status> {
        if self.config.exemptions.runtime_class(pod) {
            self.metrics.exemption(cx, verb);
            Self::audit(cx, "exempt", "runtimeClass");
            return Ok(());
        }
        if !errors.is_empty() {
            Self::audit(cx, "error", format!("Failed to parse policy: {}", aggregate(errors)));
            self.metrics.error(cx, verb, false);
        }
        let enforced = enforced_on.map(|_| (policy.enforce, violations(policy.enforce, pod)));
        let of = |at: LevelVersion| match &enforced {
            Some((enforce, found)) if *enforce == at => found.clone(),
            _ => violations(at, pod),
        };
        if enforced.is_some() {
            Self::audit(cx, "enforce-policy", policy.enforce.to_string());
        }
        let audited = of(policy.audit);
        if !audited.is_empty() {
            self.metrics.evaluation(cx, verb, Mode::Audit, policy.audit, false);
            let text = format!("would violate PodSecurity \"{}\": {}", policy.audit, details(&audited));
            Self::audit(cx, "audit-violations", text);
        }
        if let (Some((at, found)), Some(name)) = (&enforced, enforced_on) {
            self.metrics.evaluation(cx, verb, Mode::Enforce, *at, found.is_empty());
            if !found.is_empty() {
                let why = format!("violates PodSecurity \"{at}\": {}", details(found));
                return Err(forbidden(cx, name, why));
            }
        }
        let warned = if policy.warn == policy.audit { audited } else { of(policy.warn) };
        if !warned.is_empty() {
            self.metrics.evaluation(cx, verb, Mode::Warn, policy.warn, false);
            cx.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, details(&warned)));
        }
        Ok(())
    }
}

fn violations(at: LevelVersion, pod: &Value) -> Vec<Violation> {
    let part = |name: &str| pod.get(name).unwrap_or(&Value::Null);
    evaluate(at, part("metadata"), part("spec"))
}

/// Several errors as Go joins them.
fn aggregate(errors: &[FieldError]) -> String {
    match errors {
        [one] => one.to_string(),
        many => format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Whether an update changes anything that the standards look at: of what may change in a pod, images, ephemeral
/// containers, and the annotations that were seccomp's.
fn is_significant(new: &Value, old: &Value) -> bool {
    let list = |pod: &'_ Value, kind: &str| pod.array_at(&["spec", kind]).to_vec();
    let annotation = |pod: &Value, container: &Value| {
        let key = format!("{SECCOMP}{}", container.str_at(&["name"]));
        pod.annotations().map_or_else(String::new, |a: &Map| a.str(&key).to_owned())
    };
    let differ = |a: &Value, b: &Value| {
        a.str_at(&["image"]) != b.str_at(&["image"]) || annotation(new, a) != annotation(old, a)
    };
    for kind in ["containers", "initContainers"] {
        let (new, old) = (list(new, kind), list(old, kind));
        if new.len() != old.len() || new.iter().zip(&old).any(|(a, b)| differ(a, b)) {
            return true;
        }
    }
    let before = list(old, "ephemeralContainers");
    list(new, "ephemeralContainers").iter().any(|container| {
        let same = before.iter().find(|b| b.str_at(&["name"]) == container.str_at(&["name"]));
        same.is_none_or(|b| differ(container, b))
    })
}

#[async_trait]
impl Admission for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let gvr = &cx.resource.gvr;
        matches!(verb, Verb::Create | Verb::Update)
            && match (gvr.group.as_str(), gvr.resource.as_str()) {
                ("", "pods") => !IGNORED.contains(&cx.subresource),
                ("", "namespaces") => cx.subresource.is_empty(),
                (group, resource) => {
                    cx.subresource.is_empty()
                        && TEMPLATES.iter().any(|(g, r, _)| (*g, *r) == (group, resource))
                }
            }
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    async fn validate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if is(cx, "", "namespaces") {
            return self.namespace(cx, object, old).await;
        }
        if cx.resource.gvr.resource == "pods" {
            return self.pod(cx, verb, object, old);
        }
        self.controller(cx, verb, object)
    }
}
