//! The rows of the core's other kinds: configuration, nodes, namespaces, events, quotas.

use jiff::Timestamp;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

use super::cells::*;

/// Kinds of which only name and creation are shown.
pub(super) fn created_at(o: &Value, _now: Timestamp) -> Vec<Value> {
    row![o.name(), o.meta_str("creationTimestamp")]
}

/// Kinds of which only name and age are shown.
pub(super) fn name_and_age(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), age(o, now)]
}

fn size(o: &Value, field: &str) -> i64 {
    let len = o.get(field).and_then(Value::as_object).map_or(0, Map::len);
    i64::try_from(len).unwrap_or(i64::MAX)
}

pub(super) fn config_map(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), size(o, "data") + size(o, "binaryData"), age(o, now)]
}

pub(super) fn secret(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), o.str_at(&["type"]), size(o, "data"), age(o, now)]
}

pub(super) fn namespace(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), o.str_at(&["status", "phase"]), age(o, now)]
}

pub(super) fn component_status(o: &Value, _now: Timestamp) -> Vec<Value> {
    let healthy = o.array_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == "Healthy");
    let field = |name: &str| healthy.map_or("", |c| c.str_at(&[name]));
    let status = match field("status") {
        "True" => "Healthy",
        "False" => "Unhealthy",
        _ => "Unknown",
    };
    row![o.name(), status, field("message"), field("error")]
}

pub(super) fn quota(o: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = o.at(&["status", "hard"]).and_then(Value::as_object);
    for (name, hard) in hard.into_iter().flat_map(Map::iter) {
        let used = scalar(o, &["status", "used", name]).unwrap_or_else(|| "0".into());
        let text = format!("{name}: {used}/{}", hard.as_str().unwrap_or("0"));
        if name.starts_with("limits.") { limits.push(text) } else { requests.push(text) }
    }
    row![o.name(), requests.join(", "), limits.join(", "), age(o, now)]
}

pub(super) fn node(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut status = match condition(o, "Ready") {
        "True" => "Ready",
        "" => "Unknown",
        _ => "NotReady",
    }
    .to_owned();
    if flag(o, &["spec", "unschedulable"]) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    let address = |address_type: &str| {
        let list = o.array_at(&["status", "addresses"]);
        let found = list.iter().find(|a| a.str_at(&["type"]) == address_type);
        found.map_or_else(|| NONE.to_owned(), |a| a.str_at(&["address"]).to_owned())
    };
    let info = |field: &str| text_or(o, &["status", "nodeInfo", field], "<unknown>");
    row![
        o.name(),
        status,
        roles(o),
        age(o, now),
        o.str_at(&["status", "nodeInfo", "kubeletVersion"]),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in node.labels().into_iter().flat_map(Map::iter) {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => roles.push(role),
            None if key == "kubernetes.io/role" => roles.extend(value.as_str().filter(|r| !r.is_empty())),
            _ => {}
        }
    }
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { NONE.into() } else { roles.join(",") }
}

/// Events of either group: a new one is turned into the core's form first.
pub(super) fn event(o: &Value, now: Timestamp) -> Vec<Value> {
    let converted;
    let o = if o.str_at(&["apiVersion"]).starts_with("events.k8s.io/") {
        converted = crate::conversion::events::to_core(o.clone());
        &converted
    } else {
        o
    };
    let first = match o.str_at(&["firstTimestamp"]) {
        "" => since(o.str_at(&["eventTime"]), now),
        time => since(time, now),
    };
    let mut last = match o.str_at(&["lastTimestamp"]) {
        "" => first.clone(),
        time => since(time, now),
    };
    let mut count = int(o, &["count"]);
    if o.get("series").is_some_and(|s| !s.is_null()) {
        last = since(o.str_at(&["series", "lastObservedTime"]), now);
        count = int(o, &["series", "count"]);
    } else if count == 0 {
        count = 1;
    }
    let kind = o.str_at(&["involvedObject", "kind"]).to_lowercase();
    let object = match o.str_at(&["involvedObject", "name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let or = |path: &[&str], other: &str| text_or(o, path, o.str_at(&[other]));
    let mut source = or(&["source", "component"], "reportingComponent");
    let instance = or(&["source", "host"], "reportingInstance");
    if !instance.is_empty() {
        source = format!("{source}, {instance}");
    }
    row![
        last,
        o.str_at(&["type"]),
        o.str_at(&["reason"]),
        object,
        o.str_at(&["involvedObject", "fieldPath"]),
        source,
        o.str_at(&["message"]).trim(),
        first,
        count,
        o.name(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_either_group_shows_the_same_row() {
        let core = r#"{"apiVersion":"v1","metadata":{"name":"e"},"type":"Warning","reason":"R","message":" x ","count":3,
            "involvedObject":{"kind":"Pod","name":"p","fieldPath":"spec"},"source":{"component":"c","host":"h"},
            "firstTimestamp":"2026-01-01T00:00:00Z","lastTimestamp":"2026-01-01T00:01:00Z"}"#;
        let core: Value = serde_json::from_str(core).unwrap();
        let mut new = crate::conversion::events::from_core(core.clone());
        if let Value::Object(map) = &mut new {
            map.insert("apiVersion", "events.k8s.io/v1");
        }
        let now = "2026-01-01T00:02:00Z".parse().unwrap();
        let want = r#"["60s","Warning","R","pod/p","spec","c, h","x","2m",3,"e"]"#;
        for object in [core, new] {
            assert_eq!(Value::Array(event(&object, now)).to_json(), want);
        }
    }
}
