//! Replica sets.

use sampan_model::{FieldError, FieldPath, Value};

use super::*;
use crate::core::pod::defaults::default_template;
use crate::look::{Put, immutable, spec_mut};
use crate::strategy::zero_counts;
use crate::{KindRules, PartRules};

/// The rules of replica sets.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_replica_set),
    prepare_create: Some(|set, params| {
        prepare_create(set, params);
        zero_counts(set, &["replicas"]);
    }),
    prepare_update: Some(prepare_update),
    validate: Some(validate_replica_set),
    validate_update: Some(validate_replica_set_update),
    warnings: Some(workload_warnings),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: Some(validate_replica_set_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// Sets a replica set's defaults.
pub fn default_replica_set(set: &mut Value) {
    let spec = spec_mut(set);
    spec.default_ptr("replicas", 1);
    default_template(spec);
    if set.has("status") {
        zero_counts(set, &["replicas"]);
    }
}

/// What is wrong with a replica set.
pub fn validate_replica_set(set: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (set.sub("spec"), FieldPath::field("spec"));
    non_negative(e, p.child("replicas"), spec.num("replicas"));
    non_negative(e, p.child("minReadySeconds"), spec.num("minReadySeconds"));
    let chosen = spec.sub("selector");
    required_selector(e, p.child("selector"), chosen, "empty selector is invalid for deployment");
    if selector::read(chosen).is_none() {
        e.push(FieldError::invalid(p.child("selector"), chosen.clone(), "invalid label selector"));
    } else {
        template_selected(e, p.child("template"), spec);
        lasting_template(e, p.child("template"), spec.sub("template"), "ReplicaSet");
    }
    errors
}

/// What is wrong with a change of a replica set.
pub fn validate_replica_set_update(set: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_replica_set(set);
    let p = FieldPath::field("spec");
    immutable(&mut e, p.child("selector"), set.sub("spec").sub("selector"), old.sub("spec").sub("selector"));
    e
}

/// What is wrong with a change of a replica set's status.
pub fn validate_replica_set_status_update(set: &Value, _: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    scaled_status(&mut e, set.sub("status"));
    e
}
