//! Storage classes and volume attributes classes.

use sampan_model::name::{is_qualified_name, is_valid_label_value};
use sampan_model::{FieldError, FieldPath, Value};

use crate::KindRules;
use crate::look::{Errors, Look, Put, complain, immutable, not_supported, one_of, strings, top};
use crate::seen::Seen;
use crate::selector::label_name;

/// The rules of storage classes.
pub(crate) const STORAGE: KindRules = KindRules {
    default: Some(default_storage_class),
    validate: Some(validate_storage_class),
    validate_update: Some(validate_storage_class_update),
    warnings: Some(storage_class_warnings),
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// The rules of volume attributes classes.
pub(crate) const ATTRIBUTES: KindRules = KindRules {
    validate: Some(validate_attributes_class),
    validate_update: Some(|new, old| {
        let mut e = Errors::new();
        for field in ["driverName", "parameters"] {
            immutable(&mut e, FieldPath::field(field), new.sub(field), old.sub(field));
        }
        e
    }),
    delete_returns_object: true,
    ..KindRules::PLAIN
};

const MOST_PARAMETERS: usize = 512;
const MOST_BYTES: usize = 256 * 1024;

/// Volumes of a class go with their claims, and are bound at once, unless the class says otherwise.
pub fn default_storage_class(class: &mut Value) {
    let class = top(class);
    class.default_ptr("reclaimPolicy", "Delete");
    class.default_ptr("volumeBindingMode", "Immediate");
}

/// What is wrong with a new storage class.
pub fn validate_storage_class(class: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    provisioner(e, FieldPath::field("provisioner"), class.s("provisioner"));
    parameters(e, class, false);
    let policy = class.s("reclaimPolicy");
    if !policy.is_empty() {
        one_of(e, FieldPath::field("reclaimPolicy"), Some(policy), &["Delete", "Retain"]);
    }
    let p = FieldPath::field("volumeBindingMode");
    match class.opt_s("volumeBindingMode") {
        None => e.push(FieldError::required(p, "")),
        mode => one_of(e, p, mode, &["Immediate", "WaitForFirstConsumer"]),
    }
    let p = FieldPath::field("allowedTopologies");
    let terms = class.list("allowedTopologies");
    let mut terms_seen = Seen::default();
    for (i, term) in terms.iter().enumerate() {
        let p = p.index(i);
        let p = p.child("matchLabelExpressions");
        let expressions = term.list("matchLabelExpressions");
        let mut keys = Seen::default();
        for (j, expression) in expressions.iter().enumerate() {
            let p = p.index(j);
            let key = expression.s("key");
            if expression.list("values").is_empty() {
                e.push(FieldError::required(p.child("values"), ""));
            }
            let mut values = Seen::default();
            for (k, value) in strings(expression.list("values")).enumerate() {
                let p = p.child("values");
                if values.again(value) {
                    e.push(FieldError::duplicate(p.index(k), value));
                }
                complain(e, p.index(k), value, is_valid_label_value(value));
            }
            label_name(e, p.child("key"), key);
            if keys.again(key) {
                e.push(FieldError::duplicate(p.child("key"), key));
            }
        }
        if terms_seen.again(term.to_json()) {
            e.push(FieldError::duplicate(p, ""));
        }
    }
    errors
}

/// What is wrong with a change of a storage class.
pub fn validate_storage_class_update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    if !crate::look::same(class.sub("parameters"), old.sub("parameters")) {
        e.push(FieldError::forbidden("parameters", "updates to parameters are forbidden."));
    }
    for field in ["provisioner", "reclaimPolicy", "volumeBindingMode"] {
        immutable(&mut e, FieldPath::field(field), class.sub(field), old.sub(field));
    }
    e
}

fn provisioner(e: &mut Errors, p: FieldPath<'_>, name: &str) {
    if name.is_empty() {
        e.push(FieldError::required(p, ""));
    } else {
        complain(e, p, name, is_qualified_name(&name.to_lowercase()));
    }
}

fn parameters(e: &mut Errors, class: &Value, needed: bool) {
    let p = FieldPath::field("parameters");
    let count = class.map("parameters").map_or(0, sampan_model::Map::len);
    if count == 0 && needed {
        e.push(FieldError::required(p, "must contain at least one key/value pair"));
        return;
    }
    if count > MOST_PARAMETERS {
        e.push(FieldError::too_long(p, MOST_PARAMETERS));
        return;
    }
    let mut bytes = 0;
    for (key, value) in class.entries("parameters") {
        if key.is_empty() {
            e.push(FieldError::invalid(p, key, "field can not be empty."));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > MOST_BYTES {
        e.push(FieldError::too_long(p, MOST_BYTES));
    }
}

/// What is wrong with a new volume attributes class.
pub fn validate_attributes_class(class: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    provisioner(&mut e, FieldPath::field("driverName"), class.s("driverName"));
    parameters(&mut e, class, true);
    e
}

/// Labels of nodes that are called otherwise by now.
pub fn storage_class_warnings(class: &Value, _: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    let p = FieldPath::field("allowedTopologies");
    for (i, term) in class.list("allowedTopologies").iter().enumerate() {
        for (j, expression) in term.list("matchLabelExpressions").iter().enumerate() {
            if let Some(message) = crate::core::pod::warnings::deprecated_label(expression.s("key")) {
                let p = p.index(i);
                let p = p.child("matchLabelExpressions");
                let p = p.index(j);
                w.push(format!("{}: {message}", p.child("key")));
            }
        }
    }
    w
}

/// One of `supported`, or a complaint that something is missing.
pub(super) fn chosen(e: &mut Errors, p: FieldPath<'_>, value: Option<&str>, supported: &[&str]) {
    match value {
        None => e.push(FieldError::required(p, "")),
        Some(value) if !supported.contains(&value) => e.push(not_supported(p, value, supported)),
        Some(_) => {}
    }
}
