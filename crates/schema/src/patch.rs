//! The three ways to patch an object: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes'
//! strategic merge patch. What comes out is a tree that still has to be decoded again by its schema.

mod directive;
mod go_print;
mod index;
mod json;
mod list;
mod strategic;

use sampan_model::{Map, Value};

pub(crate) use go_print::GoPrint;
pub use json::{json, json_complaints};
pub use strategic::strategic;

/// Why a patch could not be applied; the variant decides the status code.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The patch itself is no patch (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch asks for too much (413).
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not fit the object (422).
    #[error("{0}")]
    Unprocessable(String),
    /// What upstream answers with an internal error (500).
    #[error("{0}")]
    Internal(String),
}

/// Applies a merge patch (RFC 7386): maps are merged, null removes, anything else replaces.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !matches!(target, Value::Object(_)) {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else if matches!(value, Value::Object(_)) {
            merge(target.get_or_insert_with(&key, || Value::Null), value);
        } else {
            target.insert(key, value);
        }
    }
}

/// Whether a body may be a merge patch or a strategic one: only an object is.
pub fn check_object(patch: &Value) -> Result<(), Error> {
    let found = match patch {
        Value::Object(_) | Value::Null => return Ok(()),
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
    };
    Err(Error::Malformed(format!(
        "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
    )))
}

#[cfg(test)]
mod tests;
