//! Runtime classes.

use sampan_model::name::is_dns1123_label;
use sampan_model::{FieldError, FieldPath, Value};

use crate::KindRules;
use crate::core::pod::resources;
use crate::core::pod::scheduling::tolerations;
use crate::look::{Errors, Look, complain, immutable};
use crate::seen::Seen;
use crate::selector::labels;

/// The rules of runtime classes.
pub(crate) const RUNTIME_CLASS: KindRules = KindRules {
    validate: Some(validate_runtime_class),
    validate_update: Some(validate_runtime_class_update),
    unconditional_update: false,
    ..KindRules::PLAIN
};

/// What is wrong with a new runtime class.
pub fn validate_runtime_class(class: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let handler = class.s("handler");
    complain(&mut e, FieldPath::field("handler"), handler, is_dns1123_label(handler));
    if let Some(overhead) = class.opt("overhead") {
        resources::overhead(&mut e, FieldPath::field("overhead"), overhead.sub("podFixed"));
    }
    if let Some(scheduling) = class.opt("scheduling") {
        let p = FieldPath::field("scheduling");
        labels(&mut e, p.child("nodeSelector"), scheduling.sub("nodeSelector"));
        let list = scheduling.list("tolerations");
        tolerations(&mut e, p.child("tolerations"), list);
        let mut seen = Seen::default();
        for (i, toleration) in list.iter().enumerate() {
            if seen.again(toleration.to_json()) {
                e.push(FieldError::duplicate(p.child("tolerations").index(i), toleration.clone()));
            }
        }
    }
    e
}

/// What is wrong with a change of a runtime class.
pub fn validate_runtime_class_update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    immutable(&mut e, FieldPath::field("handler"), class.sub("handler"), old.sub("handler"));
    e
}
