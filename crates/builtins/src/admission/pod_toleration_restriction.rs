//! PodTolerationRestriction: what the pods of a namespace tolerate by default, and what they may tolerate at all.

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Status, Value};

use super::configuration::{is_of_kind, only_fields};
use super::rule::{Rule, Write};
use super::{core, is};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

/// With what holds for namespaces that say nothing.
#[derive(Debug, Default)]
pub(super) struct PodTolerationRestriction {
    defaults: Vec<Value>,
    allowed: Vec<Value>,
}

impl PodTolerationRestriction {
    /// From the plug-in's configuration; or what is wrong with it.
    pub(super) fn new(configuration: Option<&Value>) -> Result<Self, String> {
        let Some(configuration) = configuration else { return Ok(Self::default()) };
        is_of_kind(
            configuration,
            &[("podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration")],
        )?;
        only_fields(configuration, "", &["apiVersion", "kind", "default", "whitelist"])?;
        let list = |field| configuration.array_at(&[field]).to_vec();
        let all = Self { defaults: list("default"), allowed: list("whitelist") };
        for (field, tolerations) in [("default", &all.defaults), ("whitelist", &all.allowed)] {
            for (i, toleration) in tolerations.iter().enumerate() {
                let known = ["key", "operator", "value", "effect", "tolerationSeconds"];
                only_fields(toleration, &format!("{field}[{i}]"), &known)?;
            }
        }
        Ok(all)
    }
}

/// The tolerations that a namespace names in an annotation; `None` when it has no such annotation.
fn of_namespace(w: Write<'_>, annotation: &str) -> Result<Option<Vec<Value>>, Status> {
    let namespace = w.cx.lookup.get(&core("namespaces"), "", w.cx.namespace);
    let namespace = namespace.ok_or_else(|| Status::not_found(&core("namespaces"), w.cx.namespace))?;
    match namespace.annotations().and_then(|a| a.get(annotation)).and_then(Value::as_str) {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => {
            let list: Result<Vec<Value>, _> = serde_json::from_str(text);
            list.map(Some).map_err(|error| Status::unknown(error.to_string()))
        }
    }
}

impl Rule for PodTolerationRestriction {
    const NAME: &'static str = "PodTolerationRestriction";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        matches!(verb, Verb::Create | Verb::Update) && is(cx, "", "pods")
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let mut all = Vec::new();
        if w.verb == Verb::Create {
            all = of_namespace(w, DEFAULTS)?.unwrap_or_else(|| self.defaults.clone());
        }
        all.extend_from_slice(object.array_at(&["spec", "tolerations"]));
        if sampan_validation::core::pod::qos_class(object) != "BestEffort" {
            let pressure: Map = [
                ("key", "node.kubernetes.io/memory-pressure"),
                ("operator", "Exists"),
                ("effect", "NoSchedule"),
            ]
            .into_iter()
            .collect();
            all.push(pressure.into());
        }
        let merged = merged(&all);
        if let Value::Object(pod) = &mut *object
            && !merged.is_empty()
        {
            pod.object_mut("spec").insert("tolerations", merged);
        }
        self.validate(w, object)
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        let tolerations = object.array_at(&["spec", "tolerations"]);
        if tolerations.is_empty() {
            return Ok(());
        }
        let allowed = of_namespace(w, ALLOWED)?.unwrap_or_else(|| self.allowed.clone());
        let within = |t: &Value| allowed.iter().any(|a| covers(a, t));
        if allowed.is_empty() || tolerations.iter().all(within) {
            return Ok(());
        }
        // Upstream does not say that it is a 403.
        Err(Status::unknown(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist",
        ))
    }
}

/// Without those that another covers. Of equal ones the first stays.
fn merged(all: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for (i, toleration) in all.iter().enumerate() {
        let later = all[i + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !later && !merged.iter().any(|other| covers(other, toleration)) {
            merged.push(toleration.clone());
        }
    }
    merged
}

/// Whether `wide` tolerates all that `narrow` does.
fn covers(wide: &Value, narrow: &Value) -> bool {
    let (w, n) = (|field| wide.str_at(&[field]), |field| narrow.str_at(&[field]));
    let seconds = |t: &Value| t.get("tolerationSeconds").and_then(Value::as_i64);
    if wide == narrow {
        return true;
    }
    if w("key") != n("key") && !(w("key").is_empty() && w("operator") == "Exists") {
        return false;
    }
    if w("effect") != n("effect") && !w("effect").is_empty() {
        return false;
    }
    if w("effect") == "NoExecute"
        && seconds(wide).is_some_and(|limit| seconds(narrow).is_none_or(|s| s > limit))
    {
        return false;
    }
    match w("operator") {
        "" | "Equal" => n("operator") == "Equal" && n("value") == w("value"),
        "Exists" => true,
        _ => false,
    }
}
