//! Horizontal pod autoscalers.

use sampan_model::name::is_path_segment_name;
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::amount::quantity;
use crate::look::{Errors, Look, Put, complain, non_negative, not_supported, object, restore, spec_mut, top};
use crate::{KindRules, Params, PartRules};

/// The rules of autoscalers, in the form of `autoscaling/v2`.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_autoscaler),
    prepare_create: Some(prepare_autoscaler_for_create),
    prepare_update: Some(prepare_autoscaler_for_update),
    validate: Some(|hpa| autoscaler_spec(hpa, 1)),
    validate_update: Some(|hpa, old| {
        let least = i64::from(old.sub("spec").opt_num("minReplicas") != Some(0));
        autoscaler_spec(hpa, least)
    }),
    status: Some(PartRules {
        prepare_update: |new, old, _: &Params<'_>| restore(new, old, "spec"),
        validate_update: Some(validate_autoscaler_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// Without metrics an autoscaler holds the CPU at 80% of what is asked for.
pub fn default_autoscaler(hpa: &mut Value) {
    let old_form = hpa.s("apiVersion") == "autoscaling/v1";
    let spec = spec_mut(hpa);
    spec.default_ptr("minReplicas", 1);
    if old_form || spec.has("targetCPUUtilizationPercentage") {
        return;
    }
    if spec.list("metrics").is_empty() {
        let target = object([("type", "Utilization".into()), ("averageUtilization", 80.into())]);
        let resource = object([("name", "cpu".into()), ("target", target)]);
        spec.insert("metrics", vec![object([("type", "Resource".into()), ("resource", resource)])]);
    }
    let Some(behavior) = spec.get_mut("behavior").and_then(Value::as_object_mut) else { return };
    let policy = |kind: &str, value: i64| {
        object([("type", kind.into()), ("value", value.into()), ("periodSeconds", 15.into())])
    };
    for (direction, policies) in [
        ("scaleUp", vec![policy("Pods", 4), policy("Percent", 100)]),
        ("scaleDown", vec![policy("Percent", 100)]),
    ] {
        behavior.default_ptr(direction, Map::new());
        let rules = behavior.object_mut(direction);
        if direction == "scaleUp" {
            rules.default_ptr("stabilizationWindowSeconds", 0);
        }
        rules.default_ptr("selectPolicy", "Max");
        rules.default_ptr("policies", policies);
    }
}

/// A new autoscaler has no status yet.
pub fn prepare_autoscaler_for_create(hpa: &mut Value, _: &Params<'_>) {
    top(hpa).insert("status", Map::new());
}

/// A client that writes an autoscaler does not touch its status.
pub fn prepare_autoscaler_for_update(hpa: &mut Value, old: &Value, _: &Params<'_>) {
    restore(hpa, old, "status");
}

fn autoscaler_spec(hpa: &Value, least: i64) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (hpa.sub("spec"), FieldPath::field("spec"));
    let (min, max) = (spec.opt_num("minReplicas"), spec.num("maxReplicas"));
    if let Some(min) = min
        && min < least
    {
        let detail = format!("must be greater than or equal to {least}");
        e.push(FieldError::invalid(p.child("minReplicas"), min, detail));
    }
    let at = p.child("maxReplicas");
    if max == 0 {
        e.push(FieldError::required(at, "must be set and greater than 0"));
    } else if max < 0 {
        e.push(FieldError::invalid(at, max, "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        e.push(FieldError::invalid(at, max, "must be greater than or equal to `minReplicas`"));
    }
    let target = spec.sub("scaleTargetRef");
    let at = p.child("scaleTargetRef");
    reference(e, at, target);
    api_version(e, at.child("apiVersion"), target);
    let metrics = spec.list("metrics");
    for (i, metric) in metrics.iter().enumerate() {
        metric_spec(e, p.child("metrics").index(i), metric);
    }
    if min == Some(0) && !metrics.iter().any(|m| matches!(m.s("type"), "Object" | "External")) {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        e.push(FieldError::forbidden(p.child("metrics"), detail));
    }
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec.sub("behavior").opt(direction) {
            scaling_rules(e, p.child("behavior").child(direction), rules);
        }
    }
    errors
}

fn reference(e: &mut Errors, p: FieldPath<'_>, reference: &Value) {
    for field in ["kind", "name"] {
        let value = reference.s(field);
        if value.is_empty() {
            e.push(FieldError::required(p.child(field), ""));
        } else {
            complain(e, p.child(field), value, is_path_segment_name(value));
        }
    }
}

/// What is scaled is named with its group; only the core group has none to name.
fn api_version(e: &mut Errors, p: FieldPath<'_>, reference: &Value) {
    let version = reference.s("apiVersion");
    if version.matches('/').count() > 1 {
        let detail = format!("unexpected GroupVersion string: {version}");
        e.push(FieldError::invalid(p, version, detail));
    } else if !(version.contains('/') || version == "v1" && reference.s("kind") == "ReplicationController") {
        e.push(FieldError::invalid(p, version, "apiVersion must specify API group"));
    }
}

const KINDS: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

fn metric_spec(e: &mut Errors, p: FieldPath<'_>, metric: &Value) {
    const NAMES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let kind = metric.s("type");
    if kind.is_empty() {
        e.push(FieldError::required(p.child("type"), "must specify a metric source type"));
    }
    if !NAMES.contains(&kind) {
        e.push(not_supported(p.child("type"), kind, &NAMES));
    }
    let mut present = 0;
    for (_, field) in KINDS {
        let Some(source) = metric.opt(field) else { continue };
        present += 1;
        if present == 1 {
            metric_source(e, p.child(field), field, source);
        }
    }
    let expected = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    match expected {
        Some(field) if !metric.has(field) => {
            let detail = "must populate information for the given metric source";
            e.push(FieldError::required(p.child(field), detail));
        }
        Some(_) => {}
        None => e.push(not_supported(p.child("type"), kind, &NAMES)),
    }
    if present > 1 {
        for (_, field) in KINDS.iter().filter(|(_, f)| metric.has(f) && Some(*f) != expected) {
            e.push(FieldError::forbidden(p.child(field), "must populate the given metric source only"));
        }
    }
}

fn metric_source(e: &mut Errors, p: FieldPath<'_>, field: &str, source: &Value) {
    let target = source.sub("target");
    let at = p.child("target");
    match field {
        "object" => reference(e, p.child("describedObject"), source.sub("describedObject")),
        "resource" | "containerResource" => {
            if source.s("name").is_empty() {
                e.push(FieldError::required(p.child("name"), "must specify a resource name"));
            }
            if field == "containerResource" && source.s("container").is_empty() {
                e.push(FieldError::required(p.child("container"), "must specify a container name"));
            }
        }
        _ => {}
    }
    if matches!(field, "object" | "external" | "pods") {
        let name = source.sub("metric").s("name");
        let p = p.child("metric");
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), "must specify a metric name"));
        } else {
            complain(e, p.child("name"), name, is_path_segment_name(name));
        }
    }
    metric_target(e, at, target);
    let (value, average, utilization) =
        (target.has("value"), target.has("averageValue"), target.has("averageUtilization"));
    match field {
        "object" if !value && !average => {
            let detail = "must set either a target value or averageValue";
            e.push(FieldError::required(at.child("averageValue"), detail));
        }
        "external" if !value && !average => {
            let detail = "must set either a target value for metric or a per-pod target";
            e.push(FieldError::required(at.child("averageValue"), detail));
        }
        "external" if value && average => {
            let detail = "may not set both a target value for metric and a per-pod target";
            e.push(FieldError::forbidden(at.child("value"), detail));
        }
        "pods" if !average || quantity(target.sub("averageValue")).sign() <= 0 => {
            let detail = "must specify a positive target averageValue";
            e.push(FieldError::required(at.child("averageValue"), detail));
        }
        "resource" | "containerResource" if !utilization && !average => {
            let detail = "must set either a target raw value or a target utilization";
            e.push(FieldError::required(at.child("averageUtilization"), detail));
        }
        "resource" | "containerResource" if utilization && average => {
            let detail = "may not set both a target raw value and a target utilization";
            e.push(FieldError::forbidden(at.child("averageValue"), detail));
        }
        _ => {}
    }
}

fn metric_target(e: &mut Errors, p: FieldPath<'_>, target: &Value) {
    let kind = target.s("type");
    if kind.is_empty() {
        e.push(FieldError::required(p.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        e.push(FieldError::invalid(p.child("type"), kind, detail));
    }
    if let Some(percent) = target.opt_num("averageUtilization")
        && percent < 1
    {
        e.push(FieldError::invalid(p.child("averageUtilization"), percent, "must be greater than 0"));
    }
    for field in ["value", "averageValue"] {
        let amount = target.sub(field);
        if !amount.is_null() && quantity(amount).sign() <= 0 {
            e.push(FieldError::invalid(p.child(field), amount.clone(), "must be positive"));
        }
    }
}

fn scaling_rules(e: &mut Errors, p: FieldPath<'_>, rules: &Value) {
    const LONGEST_WINDOW: i64 = 3600;
    const LONGEST_PERIOD: i64 = 1800;
    if let Some(window) = rules.opt_num("stabilizationWindowSeconds") {
        let p = p.child("stabilizationWindowSeconds");
        if window < 0 {
            e.push(FieldError::invalid(p, window, "must be greater than or equal to zero"));
        } else if window > LONGEST_WINDOW {
            let detail = format!("must be less than or equal to {LONGEST_WINDOW}");
            e.push(FieldError::invalid(p, window, detail));
        }
    }
    let policies = ["Disabled", "Max", "Min"];
    crate::look::one_of(e, p.child("selectPolicy"), rules.opt_s("selectPolicy"), &policies);
    let p = p.child("policies");
    let list = rules.list("policies");
    if list.is_empty() {
        e.push(FieldError::required(p, "must specify at least one Policy"));
    }
    for (i, policy) in list.iter().enumerate() {
        let p = p.index(i);
        crate::look::one_of(e, p.child("type"), Some(policy.s("type")), &["Percent", "Pods"]);
        for field in ["value", "periodSeconds"] {
            if policy.num(field) <= 0 {
                e.push(FieldError::invalid(p.child(field), policy.num(field), "must be greater than zero"));
            }
        }
        let period = policy.num("periodSeconds");
        if period > LONGEST_PERIOD {
            let detail = format!("must be less than or equal to {LONGEST_PERIOD}");
            e.push(FieldError::invalid(p.child("periodSeconds"), period, detail));
        }
    }
}

/// What is wrong with a change of an autoscaler's status.
pub fn validate_autoscaler_status_update(hpa: &Value, _: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (status, p) = (hpa.sub("status"), FieldPath::field("status"));
    for field in ["currentReplicas", "desiredReplicas"] {
        non_negative(&mut e, p.child(field), status.num(field));
    }
    e
}
