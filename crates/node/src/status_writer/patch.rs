//! A status as a strategic merge patch that leaves nothing of what the node said before, and all of what others said. Pure.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

use crate::status::PASSING;

/// Fields that are the node's, and go when it does not name them.
const OWN: [&str; 7] = [
    "containerStatuses",
    "ephemeralContainerStatuses",
    "initContainerStatuses",
    "message",
    "podIP",
    "podIPs",
    "reason",
];
/// Lists that are merged by a key unless told otherwise.
const WHOLE: [&str; 2] = ["hostIPs", "podIPs"];

/// The patch. The UID in it keeps it from another pod of the name.
pub(super) fn patch(uid: &str, status: &PodStatus) -> Value {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(status) else { return Value::Null };
    for name in OWN {
        fields.entry(name).or_insert(Value::Null);
    }
    for name in WHOLE {
        if let Some(Value::Array(list)) = fields.get_mut(name) {
            list.push(json!({"$patch": "replace"}));
        }
    }
    // Conditions are merged by their type: others have theirs. What one of ours does not say any more is taken back.
    for condition in fields.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(condition) = condition {
            take_back(condition, &["lastProbeTime", "message", "reason"]);
        }
    }
    if let Some(Value::Array(conditions)) = fields.get_mut("conditions") {
        for kind in PASSING {
            if !conditions.iter().any(|condition| condition["type"] == kind) {
                conditions.push(json!({"type": kind, "$patch": "delete"}));
            }
        }
    }
    json!({"metadata": {"uid": uid}, "status": fields})
}

fn take_back(fields: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        fields.entry(*name).or_insert(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_does_not_say_is_taken_back() {
        let status: PodStatus = serde_json::from_value(json!({
            "phase": "Running", "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }))
        .expect("a status");
        assert_eq!(
            patch("u", &status),
            json!({"metadata": {"uid": "u"}, "status": {
                "phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"$patch": "replace"}], "podIP": null,
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "message": null, "reason": null},
                    {"type": "PodResizePending", "$patch": "delete"}, {"type": "PodResizeInProgress", "$patch": "delete"}],
                "containerStatuses": null, "ephemeralContainerStatuses": null, "initContainerStatuses": null,
                "message": null, "reason": null,
            }})
        );
    }
}
