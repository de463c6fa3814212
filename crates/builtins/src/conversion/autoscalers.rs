//! Horizontal pod autoscalers: `v2` (stored) has lists of metrics; `v1` knows processor load and keeps the
//! rest in annotations, as JSON.

use sampan_model::{Map, Value};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// From `autoscaling/v1` to `autoscaling/v2`.
pub fn v1_to_v2(autoscaler: Value) -> Value {
    let Value::Object(mut root) = autoscaler else { return autoscaler };
    let mut kept = |key: &str| take_annotation(&mut root, key);
    let (metrics, current, conditions, behavior) =
        (kept(METRICS), kept(CURRENT_METRICS), kept(CONDITIONS), kept(BEHAVIOR));

    let spec = root.object_mut("spec");
    let mut list = elements(metrics, |m| metric_to_v2(m, "target"));
    if let Some(percent) = spec.remove("targetCPUUtilizationPercentage").filter(|p| !p.is_null()) {
        let target = map([("type", "Utilization".into()), ("averageUtilization", percent)]);
        list.push(cpu("target", target));
    }
    if list.is_empty() {
        // The default load of upstream, set here because annotations decide whether there is any metric.
        list.push(cpu("target", map([("type", "Utilization".into()), ("averageUtilization", 80.into())])));
    }
    spec.insert("metrics", Value::Array(list));
    if let Some(behavior) = behavior {
        spec.insert("behavior", renamed(behavior, &lower_first));
    }

    let status = root.object_mut("status");
    let mut list = elements(current, |m| metric_to_v2(m, "current"));
    if let Some(percent) = status.remove("currentCPUUtilizationPercentage").filter(|p| !p.is_null()) {
        list.push(cpu("current", map([("averageUtilization", percent)])));
    }
    status.insert("currentMetrics", if list.is_empty() { Value::Null } else { Value::Array(list) });
    if let Some(conditions) = conditions {
        status.insert("conditions", conditions);
    }
    Value::Object(root)
}

/// From `autoscaling/v2` to `autoscaling/v1`.
pub fn v2_to_v1(autoscaler: Value) -> Value {
    let Value::Object(mut root) = autoscaler else { return autoscaler };
    let spec = root.object_mut("spec");
    let (percent, metrics) = split(spec.remove("metrics"), "target");
    if let Some(percent) = percent {
        spec.insert("targetCPUUtilizationPercentage", percent);
    }
    let behavior = spec.remove("behavior").filter(|b| !b.is_null()).map(|b| renamed(b, &upper_first));

    let status = root.object_mut("status");
    let (percent, current) = split(status.remove("currentMetrics"), "current");
    if let Some(percent) = percent {
        status.insert("currentCPUUtilizationPercentage", percent);
    }
    status.get_or_insert_with("currentReplicas", || Value::Int(0));
    let conditions = status.remove("conditions").filter(|c| !c.is_empty());

    let metrics: Vec<Value> = metrics.into_iter().map(|m| metric_to_v1(m, "target")).collect();
    let current: Vec<Value> = current.into_iter().map(|m| metric_to_v1(m, "current")).collect();
    let list = |items: Vec<Value>| (!items.is_empty()).then_some(Value::Array(items));
    let texts = [
        (METRICS, list(metrics)),
        (CURRENT_METRICS, list(current)),
        (CONDITIONS, conditions),
        (BEHAVIOR, behavior),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            root.object_mut("metadata").object_mut("annotations").insert(key, value.to_json());
        }
    }
    Value::Object(root)
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().collect())
}

/// The metric of processor load, with what `field` (`target`, `current`) says of it.
fn cpu(field: &str, value: Value) -> Value {
    map([("type", "Resource".into()), ("resource", map([("name", "cpu".into()), (field, value)]))])
}

fn take_annotation(root: &mut Map, key: &str) -> Option<Value> {
    let metadata = root.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(key)?;
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}

fn elements(list: Option<Value>, convert: impl FnMut(Value) -> Value) -> Vec<Value> {
    match list {
        Some(Value::Array(items)) => items.into_iter().map(convert).collect(),
        _ => Vec::new(),
    }
}

/// The processor load in percent, and the other metrics. `v1` shows the last such load.
fn split(list: Option<Value>, field: &str) -> (Option<Value>, Vec<Value>) {
    let mut percent = None;
    let mut others = Vec::new();
    for metric in elements(list, |m| m) {
        let load = metric.at(&["resource", field, "averageUtilization"]).filter(|p| !p.is_null());
        match load {
            Some(load) if metric.str_at(&["resource", "name"]) == "cpu" => percent = Some(load.clone()),
            _ => others.push(metric),
        }
    }
    (percent, others)
}

/// The field of a metric that holds what it measures.
fn source_of(metric: &Value) -> &'static str {
    match metric.str_at(&["type"]) {
        "Object" => "object",
        "Pods" => "pods",
        "External" => "external",
        "ContainerResource" => "containerResource",
        _ => "resource",
    }
}

/// The names of values in `v1`: under `target` and under `current`.
fn flat_name(source: &str, field: &str, value: &str) -> &'static str {
    match (source, field, value) {
        ("object", _, "averageValue") => "averageValue",
        (_, "target", "value") => "targetValue",
        (_, "target", "averageValue") => "targetAverageValue",
        (_, "target", _) => "targetAverageUtilization",
        (_, _, "value") => "currentValue",
        (_, _, "averageValue") => "currentAverageValue",
        _ => "currentAverageUtilization",
    }
}

const VALUES: [(&str, &str); 3] =
    [("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value")];

fn selector_name(source: &str) -> &'static str {
    if source == "external" { "metricSelector" } else { "selector" }
}

fn metric_to_v1(metric: Value, field: &str) -> Value {
    let source = source_of(&metric);
    let Value::Object(mut metric) = metric else { return metric };
    let from = metric.remove(source).unwrap_or_default();
    let mut flat = Map::new();
    for name in ["name", "container"] {
        if let Some(value) = from.get(name) {
            flat.insert(name, value.clone());
        }
    }
    if let Some(object) = from.get("describedObject") {
        flat.insert("target", object.clone());
    }
    if let Some(metric) = from.get("metric") {
        flat.insert("metricName", metric.str_at(&["name"]));
        if let Some(selector) = metric.get("selector") {
            flat.insert(selector_name(source), selector.clone());
        }
    }
    for (value, _) in VALUES {
        if let Some(found) = from.at(&[field, value]).filter(|v| !v.is_null()) {
            flat.insert(flat_name(source, field, value), found.clone());
        }
    }
    metric.insert(source, flat);
    Value::Object(metric)
}

fn metric_to_v2(metric: Value, field: &str) -> Value {
    let source = source_of(&metric);
    let Value::Object(mut metric) = metric else { return metric };
    let flat = metric.remove(source).unwrap_or_default();
    let mut to = Map::new();
    for name in ["name", "container"] {
        if let Some(value) = flat.get(name) {
            to.insert(name, value.clone());
        }
    }
    if let Some(object) = flat.get("target") {
        to.insert("describedObject", object.clone());
    }
    if let Some(name) = flat.get("metricName") {
        let metric = to.object_mut("metric");
        metric.insert("name", name.clone());
        if let Some(selector) = flat.get(selector_name(source)).filter(|s| !s.is_null()) {
            metric.insert("selector", selector.clone());
        }
    }
    let mut values = Map::new();
    for (value, target_type) in VALUES {
        if let Some(found) = flat.get(flat_name(source, field, value)).filter(|v| !v.is_null()) {
            // An object's average goes before its zero value.
            if values.is_empty() {
                if field == "target" {
                    values.insert("type", target_type);
                }
                values.insert(value, found.clone());
            } else if field == "current" {
                values.insert(value, found.clone());
            }
        }
    }
    to.insert(field, values);
    metric.insert(source, to);
    Value::Object(metric)
}

/// The same tree with other field names, without nulls.
fn renamed(value: Value, name: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (name(&k), renamed(v, name)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(|i| renamed(i, name)).collect()),
        other => other,
    }
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn upper_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_v1_does_not_know_survives_in_annotations() {
        let v2: Value = serde_json::from_str(
            r#"{"metadata":{"name":"h"},
            "spec":{"maxReplicas":3,"metrics":[
                {"type":"Pods","pods":{"metric":{"name":"m"},"target":{"type":"AverageValue","averageValue":"10"}}},
                {"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}],
                "behavior":{"scaleUp":{"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":60}]}}},
            "status":{"currentReplicas":1,"desiredReplicas":2,"currentMetrics":null,
                "conditions":[{"type":"AbleToScale","status":"True"}]}}"#,
        )
        .unwrap();
        let v1 = v2_to_v1(v2.clone());
        assert_eq!(v1.at(&["spec", "targetCPUUtilizationPercentage"]), Some(&Value::Int(50)));
        assert_eq!(
            v1.str_at(&["metadata", "annotations", METRICS]),
            r#"[{"pods":{"metricName":"m","targetAverageValue":"10"},"type":"Pods"}]"#
        );
        assert_eq!(v1_to_v2(v1), v2);
    }
}
