//! Namespaces: their phase, and the finalizer that empties them before they go.

use sampan_model::name::is_qualified_name;
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::look::{Errors, Look, Put, complain, restore, spec_mut, strings, top};
use crate::{KindRules, Params, PartRules};

const FINALIZER: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The rules of namespaces.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_namespace),
    prepare_create: Some(prepare_namespace_for_create),
    prepare_update: Some(prepare_namespace_for_update),
    validate: Some(validate_namespace),
    validate_name: Some(sampan_model::name::name_is_dns_label),
    status: Some(PartRules {
        prepare_update: prepare_namespace_status,
        validate_update: Some(validate_namespace_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    parts: &[(
        "finalize",
        PartRules {
            prepare_update: prepare_namespace_finalize,
            validate_update: Some(validate_namespace_finalize_update),
            reset_fields: crate::rules::STATUS,
        },
    )],
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// Every namespace carries its name as a label, so that selectors can name it.
pub fn default_namespace(namespace: &mut Value) {
    let name = namespace.sub("metadata").s("name").to_owned();
    let namespace = top(namespace);
    if !name.is_empty() {
        namespace.object_mut("metadata").object_mut("labels").insert(NAME_LABEL, name);
    }
    namespace.object_mut("status").default_to("phase", "Active");
}

/// A new namespace is active, and holds the finalizer that empties it.
pub fn prepare_namespace_for_create(namespace: &mut Value, _: &Params<'_>) {
    let mut status = Map::new();
    status.insert("phase", "Active");
    top(namespace).insert("status", status);
    let spec = spec_mut(namespace);
    let finalizers = spec.get_or_insert_with("finalizers", || Value::Array(Vec::new()));
    if !strings(finalizers.as_array().unwrap_or(&[])).any(|f| f == FINALIZER) {
        match finalizers.as_array_mut() {
            Some(list) => list.push(FINALIZER.into()),
            None => *finalizers = vec![FINALIZER].into(),
        }
    }
}

/// Finalizers and status have endpoints of their own.
pub fn prepare_namespace_for_update(new: &mut Value, old: &Value, _: &Params<'_>) {
    restore(new, old, "status");
    match old.sub("spec").opt("finalizers").cloned() {
        Some(finalizers) => spec_mut(new).insert("finalizers", finalizers),
        None => spec_mut(new).remove("finalizers"),
    };
}

/// What is wrong with a new namespace.
pub fn validate_namespace(namespace: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("spec");
    for name in strings(namespace.sub("spec").list("finalizers")) {
        finalizer_name(&mut e, p.child("finalizers"), name);
    }
    e
}

fn finalizer_name(e: &mut Errors, p: FieldPath<'_>, name: &str) {
    complain(e, p, name, is_qualified_name(name));
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        e.push(FieldError::invalid(p, name, detail));
    }
}

/// Through `status` only the status changes.
pub fn prepare_namespace_status(new: &mut Value, old: &Value, _: &Params<'_>) {
    restore(new, old, "spec");
}

/// What is wrong with a change of a namespace's status.
pub fn validate_namespace_status_update(new: &Value, _: &Value) -> Vec<FieldError> {
    let phase = new.sub("status").s("phase");
    let p = FieldPath::field("status");
    let deleting = new.sub("metadata").has("deletionTimestamp");
    let (want, detail) = if deleting {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    if phase == want { Vec::new() } else { vec![FieldError::invalid(p.child("Phase"), phase, detail)] }
}

/// Through `finalize` only the finalizers of the spec change.
pub fn prepare_namespace_finalize(new: &mut Value, old: &Value, _: &Params<'_>) {
    restore(new, old, "status");
}

/// What is wrong with a change of finalizers.
pub fn validate_namespace_finalize_update(new: &Value, _: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("spec");
    let p = p.child("finalizers");
    for (i, name) in strings(new.sub("spec").list("finalizers")).enumerate() {
        finalizer_name(&mut e, p.index(i), name);
    }
    e
}
