//! Preparations that several kinds share.

use sampan_model::{Map, Value};

use crate::Params;
use crate::look::{Look, Put, bump_generation, restore, same, set_generation, top};

/// A new object without status has its first generation.
pub(crate) fn first_generation(object: &mut Value, _: &Params<'_>) {
    set_generation(object, 1);
}

/// A change of the spec is a new generation.
pub(crate) fn spec_generation(object: &mut Value, old: &Value, _: &Params<'_>) {
    let changed = !same(object.sub("spec"), old.sub("spec"));
    bump_generation(object, old, changed);
}

/// A change of anything but the metadata is a new generation.
pub(crate) fn content_generation(object: &mut Value, old: &Value, _: &Params<'_>) {
    let changed = content_differs(object, old);
    bump_generation(object, old, changed);
}

/// Whether anything but the metadata differs.
pub(crate) fn content_differs(a: &Value, b: &Value) -> bool {
    let keys = |v: &Value| -> Vec<String> {
        v.as_object().into_iter().flat_map(Map::keys).map(|k| k.as_str().to_owned()).collect()
    };
    keys(a)
        .iter()
        .chain(&keys(b))
        .filter(|k| !matches!(k.as_str(), "metadata" | "apiVersion" | "kind"))
        .any(|k| !same(a.sub(k), b.sub(k)))
}

/// A new object has no status yet.
pub(crate) fn reset_status(object: &mut Value, _: &Params<'_>) {
    top(object).insert("status", Map::new());
}

/// Counts that a status always has, whether or not anything was counted yet.
pub(crate) fn zero_counts(object: &mut Value, fields: &[&str]) {
    let status = top(object).object_mut("status");
    for field in fields {
        status.default_ptr(field, 0);
    }
}

/// A client that writes an object does not touch its status.
pub(crate) fn keep_status(object: &mut Value, old: &Value, _: &Params<'_>) {
    restore(object, old, "status");
}

/// Through `status` the spec does not change.
pub(crate) fn keep_spec(object: &mut Value, old: &Value, _: &Params<'_>) {
    restore(object, old, "spec");
}
