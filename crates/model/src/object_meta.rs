//! What the engine demands of every object's `metadata`, when it is created and when it is changed
//! (apimachinery `api/validation`).
//!
//! Nothing here changes an object: what the server fills in stands there already.

mod managed_fields;

use jiff::Timestamp;

use crate::field_error::go_quote;
use crate::label_selector::validate_labels;
use crate::name::{Complaints, is_qualified_name, name_is_dns_label};
use crate::{FieldError, FieldPath, GroupVersion, GroupVersionKind, Map, Value};

pub use managed_fields::{FIELD_MANAGER_MAX, validate_field_manager, validate_managed_fields};

/// The sentence about a field that may not change.
pub const FIELD_IMMUTABLE: &str = "field is immutable";
/// How many bytes the keys and values of all annotations of an object may have together.
pub const ANNOTATIONS_MAX: usize = 256 << 10;
/// The finalizer of a deletion that leaves the dependents alone.
pub const FINALIZER_ORPHAN: &str = "orphan";
/// The finalizer of a deletion that waits for the dependents.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";

/// Checks the `metadata` of a new object, whose name has been generated already.
pub fn validate_object_meta(
    meta: &Map,
    namespaced: bool,
    name_fn: impl Fn(&str, bool) -> Complaints,
    path: &FieldPath,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let complain = |field: &'static str, complaints: Complaints| {
        let value = meta.str(field);
        complaints.into_iter().map(move |c| FieldError::invalid(path.child(field), value, c))
    };
    let (name, generate_name, namespace) =
        (meta.str("name"), meta.str("generateName"), meta.str("namespace"));
    if !generate_name.is_empty() {
        errors.extend(complain("generateName", name_fn(generate_name, true)));
    }
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "name or generateName is required"));
    } else {
        errors.extend(complain("name", name_fn(name, false)));
    }
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(path.child("namespace"), "")),
        (true, false) => errors.extend(complain("namespace", name_is_dns_label(namespace, false))),
        (false, true) => {}
        (false, false) => {
            errors.push(FieldError::forbidden(path.child("namespace"), "not allowed on this type"));
        }
    }
    let generation = generation(meta);
    if generation < 0 {
        errors.push(FieldError::invalid(
            path.child("generation"),
            generation,
            "must be greater than or equal to 0",
        ));
    }
    validate_labels_and_annotations(meta, path, &mut errors);
    errors.extend(validate_owner_references(array(meta, "ownerReferences"), &path.child("ownerReferences")));
    errors.extend(validate_finalizers(array(meta, "finalizers"), &path.child("finalizers")));
    errors.extend(validate_managed_fields(array(meta, "managedFields"), &path.child("managedFields")));
    errors
}

/// Checks the `metadata` of a changed object against what it was.
pub fn validate_object_meta_update(new: &Map, old: &Map, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old.get("deletionTimestamp").is_some_and(|t| !t.is_null()) {
        let (new, old) = (array(new, "finalizers"), array(old, "finalizers"));
        errors.extend(validate_no_new_finalizers(new, old, &path.child("finalizers")));
    }
    if new.str("resourceVersion").is_empty() {
        errors.push(FieldError::invalid(
            path.child("resourceVersion"),
            "",
            "must be specified for an update",
        ));
    }
    if generation(new) < generation(old) {
        errors.push(FieldError::invalid(
            path.child("generation"),
            generation(new),
            "must not be decremented",
        ));
    }
    for field in ["name", "namespace", "uid"] {
        if new.str(field) != old.str(field) {
            errors.push(FieldError::invalid(path.child(field), new.str(field), FIELD_IMMUTABLE));
        }
    }
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.get(field).unwrap_or(&Value::Null), old.get(field).unwrap_or(&Value::Null));
        if new != old && !is_same_time(new, old) {
            errors.push(FieldError::invalid(path.child(field), new.clone(), FIELD_IMMUTABLE));
        }
    }
    validate_labels_and_annotations(new, path, &mut errors);
    errors.extend(validate_owner_references(array(new, "ownerReferences"), &path.child("ownerReferences")));
    errors.extend(validate_managed_fields(array(new, "managedFields"), &path.child("managedFields")));
    errors
}

fn array<'a>(meta: &'a Map, field: &str) -> &'a [Value] {
    meta.get(field).and_then(Value::as_array).unwrap_or(&[])
}

fn generation(meta: &Map) -> i64 {
    meta.get("generation").and_then(Value::as_i64).unwrap_or(0)
}

fn is_same_time(a: &Value, b: &Value) -> bool {
    let time = |v: &Value| v.as_str().and_then(|s| s.parse::<Timestamp>().ok());
    matches!((time(a), time(b)), (Some(a), Some(b)) if a == b)
}

fn validate_labels_and_annotations(meta: &Map, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if let Some(labels) = meta.get("labels").and_then(Value::as_object) {
        errors.extend(validate_labels(labels, &path.child("labels")));
    }
    if let Some(annotations) = meta.get("annotations").and_then(Value::as_object) {
        errors.extend(validate_annotations(annotations, &path.child("annotations")));
    }
}

/// Checks annotations: their keys are label keys in upper or lower case, and their size has a limit.
pub fn validate_annotations(annotations: &Map, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.iter() {
        size += key.len() + value.as_str().map_or(0, str::len);
        let complaints = is_qualified_name(&key.to_lowercase()).into_iter();
        errors.extend(complaints.map(|c| FieldError::invalid(path, key.clone(), c)));
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_MAX));
    }
    errors
}

/// Checks the name of a finalizer.
pub fn validate_finalizer_name(name: &str, path: &FieldPath) -> Vec<FieldError> {
    is_qualified_name(name).into_iter().map(|c| FieldError::invalid(path, name, c)).collect()
}

/// Checks finalizers.
pub fn validate_finalizers(finalizers: &[Value], path: &FieldPath) -> Vec<FieldError> {
    let names = || finalizers.iter().map(|f| f.as_str().unwrap_or(""));
    let mut errors: Vec<_> = names().flat_map(|name| validate_finalizer_name(name, path)).collect();
    if names().any(|name| name == FINALIZER_ORPHAN) && names().any(|name| name == FINALIZER_FOREGROUND) {
        let detail = format!("finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, finalizers.to_vec(), detail));
    }
    errors
}

/// Checks that an object that is being deleted gets no further finalizers.
pub fn validate_no_new_finalizers(new: &[Value], old: &[Value], path: &FieldPath) -> Vec<FieldError> {
    let mut added: Vec<&str> =
        new.iter().filter(|f| !old.contains(f)).map(|f| f.as_str().unwrap_or("")).collect();
    added.sort_unstable();
    added.dedup();
    if added.is_empty() {
        return Vec::new();
    }
    let list: Vec<String> = added.into_iter().map(go_quote).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        list.join(", ")
    );
    vec![FieldError::forbidden(path, detail)]
}

fn owner_kind(reference: &Value) -> GroupVersionKind {
    let version = GroupVersion::parse(reference.str_at(&["apiVersion"])).unwrap_or_default();
    GroupVersionKind::new(version.group, version.version, reference.str_at(&["kind"]))
}

/// Checks references to owners. (Kinds that may own nothing: [`validate_owners_allowed`].)
pub fn validate_owner_references(references: &[Value], path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut first_controller: Option<String> = None;
    for reference in references {
        if owner_kind(reference).version.is_empty() {
            let version = reference.str_at(&["apiVersion"]);
            errors.push(FieldError::invalid(path.child("apiVersion"), version, "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if reference.str_at(&[field]).is_empty() {
                errors.push(FieldError::invalid(path.child(field), "", "must not be empty"));
            }
        }
        if reference.get("controller").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        let controller = format!("{}/{}", reference.str_at(&["kind"]), reference.str_at(&["name"]));
        match &first_controller {
            None => first_controller = Some(controller),
            Some(first) => errors.push(FieldError::invalid(
                path,
                references.to_vec(),
                format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for \
                     {first} and {controller}"
                ),
            )),
        }
    }
    errors
}

/// Checks that no owner is of a kind that may own nothing. Which these are, is not known here.
pub fn validate_owners_allowed(
    references: &[Value],
    banned: &[GroupVersionKind],
    path: &FieldPath,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for reference in references {
        let kind = owner_kind(reference);
        if banned.contains(&kind) {
            let detail = format!("{kind} is disallowed from being an owner");
            errors.push(FieldError::invalid(path, reference.clone(), detail));
        }
    }
    errors
}

/// Checks that a value did not change.
pub fn validate_immutable(new: &Value, old: &Value, path: &FieldPath) -> Vec<FieldError> {
    if new == old {
        return Vec::new();
    }
    vec![FieldError::invalid(path, new.clone(), FIELD_IMMUTABLE)]
}

#[cfg(test)]
mod tests;
