//! Controller revisions: what a workload was, kept unchanged.

use sampan_model::{FieldError, FieldPath, Value};

use crate::KindRules;
use crate::look::{Errors, Look, immutable, non_negative};

/// The rules of controller revisions.
pub(crate) const RULES: KindRules = KindRules {
    validate: Some(validate_revision),
    validate_update: Some(validate_revision_update),
    ..KindRules::PLAIN
};

/// What is wrong with a revision.
pub fn validate_revision(revision: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    if !revision.has("data") {
        e.push(FieldError::required("data", "data is mandatory"));
    }
    non_negative(&mut e, FieldPath::field("revision"), revision.num("revision"));
    e
}

/// What is wrong with a change of a revision: its data stays.
pub fn validate_revision_update(revision: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_revision(revision);
    immutable(&mut e, FieldPath::field("data"), revision.sub("data"), old.sub("data"));
    e
}
