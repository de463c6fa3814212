//! Events: `v1` (stored) and `events.k8s.io/v1` name the same fields differently.

use sampan_model::{Map, Value};

/// The names of a field in the core and in `events.k8s.io`.
const NAMES: &[(&str, &str)] = &[
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("involvedObject", "regarding"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

/// From `events.k8s.io/v1` to `v1`.
pub fn to_core(event: Value) -> Value {
    let mut event = renamed(event, |name| NAMES.iter().find(|(_, new)| *new == name).map(|(core, _)| *core));
    if let Value::Object(map) = &mut event {
        for field in ["involvedObject", "source"] {
            map.get_or_insert_with(field, || Map::new().into());
        }
        for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
            map.get_or_insert_with(field, || Value::Null);
        }
        for field in ["reportingComponent", "reportingInstance"] {
            map.get_or_insert_with(field, || "".into());
        }
    }
    event
}

/// From `v1` to `events.k8s.io/v1`.
pub fn from_core(event: Value) -> Value {
    let mut event = renamed(event, |name| NAMES.iter().find(|(core, _)| *core == name).map(|(_, new)| *new));
    if let Value::Object(map) = &mut event {
        map.retain(|name, value| {
            !(matches!(name.as_str(), "reportingController" | "reportingInstance") && value.is_empty())
        });
    }
    event
}

fn renamed(event: Value, name: impl Fn(&str) -> Option<&'static str>) -> Value {
    match event {
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(k, v)| (name(&k).map_or(k, Into::into), v)).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_event_of_either_group_reads_in_the_other() {
        let new = tree(
            r#"{"metadata":{"name":"e"},"eventTime":"2024-01-02T03:04:05.000001Z","reportingController":"c",
                "reason":"R","note":"text","regarding":{"kind":"Pod"},"deprecatedSource":{},
                "deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null}"#,
        );
        let core = tree(
            r#"{"metadata":{"name":"e"},"eventTime":"2024-01-02T03:04:05.000001Z","reportingComponent":"c",
                "reportingInstance":"","reason":"R","message":"text","involvedObject":{"kind":"Pod"},"source":{},
                "firstTimestamp":null,"lastTimestamp":null}"#,
        );
        assert_eq!(to_core(new.clone()), core);
        assert_eq!(from_core(core), new);
    }
}
