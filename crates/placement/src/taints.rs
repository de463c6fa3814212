//! Taints and tolerations.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether any of the tolerations tolerates the taint.
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| matches(toleration, taint))
}

/// An empty key or effect is any. `Lt` and `Gt` compare whole numbers (KEP-5471).
fn matches(toleration: &Toleration, taint: &Taint) -> bool {
    let is = |own: Option<&str>, other: &str| own.is_none_or(|own| own.is_empty() || own == other);
    if !is(toleration.effect.as_deref(), &taint.effect) || !is(toleration.key.as_deref(), &taint.key) {
        return false;
    }
    let tolerated = toleration.value.as_deref().unwrap_or_default();
    let value = taint.value.as_deref().unwrap_or_default();
    let numbers = || Some((value.parse::<i64>().ok()?, tolerated.parse::<i64>().ok()?));
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => tolerated == value,
        "Exists" => true,
        "Lt" => numbers().is_some_and(|(value, bound)| value < bound),
        "Gt" => numbers().is_some_and(|(value, bound)| value > bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_toleration_tolerates_by_key_value_and_effect() {
        let taint: Taint = serde_json::from_value(json!({"key": "k", "value": "5", "effect": "NoSchedule"}))
            .expect("a taint");
        let rows = [
            ("equal", json!({"key": "k", "value": "5", "effect": "NoSchedule"}), true),
            ("another value", json!({"key": "k", "operator": "Equal", "value": "6"}), false),
            ("any effect", json!({"key": "k", "value": "5"}), true),
            ("another effect", json!({"key": "k", "value": "5", "effect": "NoExecute"}), false),
            ("any value", json!({"key": "k", "operator": "Exists"}), true),
            ("everything", json!({"operator": "Exists"}), true),
            ("another key", json!({"key": "l", "operator": "Exists"}), false),
            ("less than", json!({"key": "k", "operator": "Lt", "value": "6"}), true),
            ("not less than itself", json!({"key": "k", "operator": "Lt", "value": "5"}), false),
            ("greater than", json!({"key": "k", "operator": "Gt", "value": "4"}), true),
            ("no number", json!({"key": "k", "operator": "Gt", "value": "x"}), false),
        ];
        for (name, toleration, tolerated) in rows {
            let toleration = serde_json::from_value(toleration).expect(name);
            assert_eq!(tolerates(&[toleration], &taint), tolerated, "{name}");
        }
    }
}
