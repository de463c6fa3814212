//! The way from kubectl's client-side apply: fields in its annotation do not conflict when kubectl applies
//! on the server, and the annotation follows.

use std::collections::HashSet;

use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

use super::{Conflict, FieldSet, to_set};
use crate::types::Schema;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// An annotation longer than this is not written.
const MAX_ANNOTATIONS: usize = 256 << 10;

fn annotation(object: &Value) -> Option<&str> {
    object.annotations()?.get(ANNOTATION)?.as_str()
}

/// The conflicts over fields that were not applied by the client before. `None` without such an apply.
pub(super) fn remaining_conflicts(
    schema: &Schema,
    live: &Value,
    conflicts: &[Conflict],
) -> Option<Vec<Conflict>> {
    let config: Value = serde_json::from_str(annotation(live)?).ok()?;
    let applied = FieldSet(to_set::of(schema.set(), Some(schema.id()), &config));
    let applied: HashSet<String> = applied.paths().into_iter().collect();
    Some(conflicts.iter().filter(|conflict| !applied.contains(&conflict.path)).cloned().collect())
}

/// Writes the applied configuration into the annotation, if the live object has it.
pub(super) fn refresh(live: &Value, config: &Value, object: &mut Value) {
    if annotation(live).is_none() || annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(metadata)) = config.as_object_mut().and_then(|c| c.get_mut("metadata")) {
        metadata.remove("managedFields");
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(ANNOTATION);
        }
    }
    let text = config.to_json();
    let annotations = object.meta_mut().object_mut("annotations");
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size + text.len() > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    } else {
        annotations.insert(ANNOTATION, text);
    }
}
