//! The three ways to patch an object: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes'
//! strategic merge patch.

use sampan_model::{Map, Value};

use crate::types::Schema;

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

/// Applies a list of operations (RFC 6902).
pub fn json(_target: Value, _patch: &Value) -> Result<Value, Error> {
    Err(Error::Internal("JSON patch is not built yet".into()))
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

/// Applies a strategic merge patch.
pub fn strategic(_schema: &Schema, _target: &mut Value, _patch: Value) -> Result<(), Error> {
    Err(Error::Internal("strategic merge patch is not built yet".into()))
}
