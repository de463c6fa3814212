//! Priority classes.

use sampan_model::{FieldError, FieldPath, Value};

use crate::KindRules;
use crate::look::{Errors, Look, Put, bump_generation, immutable, not_supported, top};
use crate::strategy::first_generation;

/// The rules of priority classes.
pub(crate) const PRIORITY_CLASS: KindRules = KindRules {
    default: Some(default_priority_class),
    prepare_create: Some(first_generation),
    prepare_update: Some(|new, old, _| bump_generation(new, old, false)),
    validate: Some(validate_priority_class),
    validate_update: Some(validate_priority_class_update),
    ..KindRules::PLAIN
};

/// Classes that only the system has: their names, values, and what is said of them.
const SYSTEM: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
const HIGHEST_OF_USERS: i64 = 1_000_000_000;

/// Pods of a class may displace others unless it says otherwise.
pub fn default_priority_class(class: &mut Value) {
    top(class).default_ptr("preemptionPolicy", "PreemptLowerPriority");
}

/// What is wrong with a new class.
pub fn validate_priority_class(class: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (name, value) = (class.sub("metadata").s("name"), class.num("value"));
    if name.starts_with("system-") {
        let complaint = match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, expected)) if *expected != value => {
                Some(format!("value of {name} PriorityClass must be {expected}"))
            }
            Some(_) if class.flag("globalDefault") => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(complaint) = complaint {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {complaint}"
            );
            e.push(FieldError::forbidden("metadata.name", detail));
        }
    } else if value > HIGHEST_OF_USERS {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}");
        e.push(FieldError::forbidden("value", detail));
    }
    if let Some(policy) = class.opt_s("preemptionPolicy") {
        let allowed = ["PreemptLowerPriority", "Never"];
        if policy.is_empty() {
            e.push(FieldError::required("preemptionPolicy", ""));
        } else if !allowed.contains(&policy) {
            e.push(not_supported(FieldPath::field("preemptionPolicy"), policy, &allowed));
        }
    }
    e
}

/// What is wrong with a change of a class.
pub fn validate_priority_class_update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    if class.num("value") != old.num("value") {
        e.push(FieldError::forbidden("value", "may not be changed in an update."));
    }
    let policy = "preemptionPolicy";
    immutable(&mut e, FieldPath::field(policy), class.sub(policy), old.sub(policy));
    e
}
