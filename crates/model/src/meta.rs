//! A typed view of an object's `metadata`: the fields that the engine itself reads and writes.

use crate::{Map, Str, Value};

/// Reading and changing `metadata` of an object tree.
pub trait ObjectMeta {
    /// The `metadata` map, if there is one.
    fn meta(&self) -> Option<&Map>;
    /// The `metadata` map, made if there was none.
    fn meta_mut(&mut self) -> &mut Map;

    /// A string of `metadata`; empty when there is none.
    fn meta_str(&self, field: &str) -> &str {
        self.meta().map_or("", |m| m.str(field))
    }
    /// `metadata.name`
    fn name(&self) -> &str {
        self.meta_str("name")
    }
    /// `metadata.namespace`
    fn namespace(&self) -> &str {
        self.meta_str("namespace")
    }
    /// `metadata.uid`
    fn uid(&self) -> &str {
        self.meta_str("uid")
    }
    /// `metadata.resourceVersion`
    fn resource_version(&self) -> &str {
        self.meta_str("resourceVersion")
    }
    /// `metadata.generation`; 0 when there is none.
    fn generation(&self) -> i64 {
        self.meta().and_then(|m| m.get("generation")).and_then(Value::as_i64).unwrap_or(0)
    }
    /// `metadata.labels`
    fn labels(&self) -> Option<&Map> {
        self.meta().and_then(|m| m.get("labels")).and_then(Value::as_object)
    }
    /// `metadata.annotations`
    fn annotations(&self) -> Option<&Map> {
        self.meta().and_then(|m| m.get("annotations")).and_then(Value::as_object)
    }
    /// `metadata.finalizers`
    fn finalizers(&self) -> &[Value] {
        self.meta().and_then(|m| m.get("finalizers")).and_then(Value::as_array).unwrap_or(&[])
    }
    /// Whether a deletion has been asked for.
    fn is_deleting(&self) -> bool {
        self.meta().is_some_and(|m| m.get("deletionTimestamp").is_some_and(|t| !t.is_null()))
    }
    /// Sets a field of `metadata`; null and "" take it away.
    fn set_meta(&mut self, field: &str, value: impl Into<Value>) {
        let value = value.into();
        if value.is_null() || value.as_str() == Some("") {
            self.meta_mut().remove(field);
        } else {
            self.meta_mut().insert(Str::from(field), value);
        }
    }
}

impl ObjectMeta for Value {
    fn meta(&self) -> Option<&Map> {
        self.get("metadata").and_then(Value::as_object)
    }
    fn meta_mut(&mut self) -> &mut Map {
        if !matches!(self, Value::Object(_)) {
            *self = Value::Object(Map::new());
        }
        match self {
            Value::Object(map) => map.object_mut("metadata"),
            _ => unreachable!("it was made a map just above"),
        }
    }
}
