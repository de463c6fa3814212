//! Taints and tolerations. Pure.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether a toleration tolerates a taint. An empty key or effect is any; `Lt` and `Gt` compare whole numbers (KEP-5471).
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
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

/// Whether two taints are the same one: by key and effect, whatever their values are.
pub(crate) fn is_same(one: &Taint, other: &Taint) -> bool {
    one.key == other.key && one.effect == other.effect
}
