//! Deployments.

use sampan_model::int_or_string::{
    number_or_percent, validate_non_negative_int_or_percent, validate_not_more_than_100_percent,
};
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::*;
use crate::core::pod::defaults::default_template;
use crate::look::{Put, immutable, spec_mut};
use crate::{KindRules, PartRules};

/// The rules of deployments.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_deployment),
    prepare_create: Some(prepare_create),
    prepare_update: Some(prepare_deployment_for_update),
    validate: Some(validate_deployment),
    validate_update: Some(validate_deployment_update),
    warnings: Some(workload_warnings),
    status: Some(PartRules {
        prepare_update: prepare_deployment_status,
        validate_update: Some(validate_deployment_status_update),
        reset_fields: &[&["spec"], &["metadata", "labels"]],
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// Sets a deployment's defaults.
pub fn default_deployment(deployment: &mut Value) {
    let spec = spec_mut(deployment);
    spec.default_ptr("replicas", 1);
    spec.default_ptr("revisionHistoryLimit", 10);
    spec.default_ptr("progressDeadlineSeconds", 600);
    let strategy = spec.object_mut("strategy");
    strategy.default_to("type", "RollingUpdate");
    if strategy.s("type") == "RollingUpdate" {
        strategy.default_ptr("rollingUpdate", Map::new());
        let rolling = strategy.object_mut("rollingUpdate");
        rolling.default_ptr("maxUnavailable", "25%");
        rolling.default_ptr("maxSurge", "25%");
    }
    default_template(spec);
}

/// The generation also counts changes of annotations, which some controllers read.
pub fn prepare_deployment_for_update(deployment: &mut Value, old: &Value, _: &Params<'_>) {
    restore(deployment, old, "status");
    let annotations = |d: &Value| d.sub("metadata").sub("annotations").clone();
    let changed =
        !same(deployment.sub("spec"), old.sub("spec")) || !same(&annotations(deployment), &annotations(old));
    bump_generation(deployment, old, changed);
}

/// Through `status` neither the spec nor the labels change.
pub fn prepare_deployment_status(deployment: &mut Value, old: &Value, _: &Params<'_>) {
    restore(deployment, old, "spec");
    let meta = top(deployment).object_mut("metadata");
    match old.sub("metadata").opt("labels") {
        Some(labels) => meta.insert("labels", labels.clone()),
        None => meta.remove("labels"),
    };
}

/// What is wrong with a deployment.
pub fn validate_deployment(deployment: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (deployment.sub("spec"), FieldPath::field("spec"));
    non_negative(e, p.child("replicas"), spec.num("replicas"));
    let chosen = spec.sub("selector");
    required_selector(e, p.child("selector"), chosen, "empty selector is invalid for deployment");
    if selector::read(chosen).is_none() {
        e.push(FieldError::invalid(p.child("selector"), chosen.clone(), "invalid label selector"));
    } else {
        template_selected(e, p.child("template"), spec);
        lasting_template(e, p.child("template"), spec.sub("template"), "ReplicaSet");
    }
    strategy(e, p.child("strategy"), spec.sub("strategy"));
    let ready = spec.num("minReadySeconds");
    non_negative(e, p.child("minReadySeconds"), ready);
    non_negative(e, p.child("revisionHistoryLimit"), spec.num("revisionHistoryLimit"));
    if let Some(deadline) = spec.opt_num("progressDeadlineSeconds") {
        let p = p.child("progressDeadlineSeconds");
        non_negative(e, p, deadline);
        if deadline <= ready {
            e.push(FieldError::invalid(p, deadline, "must be greater than minReadySeconds"));
        }
    }
    errors
}

fn strategy(e: &mut Errors, p: FieldPath<'_>, strategy: &Value) {
    let at = p.child("rollingUpdate");
    let rolling = strategy.sub("rollingUpdate");
    match strategy.s("type") {
        "Recreate" => {
            if !rolling.is_null() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                e.push(FieldError::forbidden(at, detail));
            }
        }
        "RollingUpdate" if rolling.is_null() => {
            e.push(FieldError::required(at, "this should be defaulted and never be nil"));
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.sub("maxUnavailable"), rolling.sub("maxSurge"));
            let at_unavailable = at.child("maxUnavailable");
            e.append(&mut validate_non_negative_int_or_percent(unavailable, &at_unavailable));
            e.append(&mut validate_non_negative_int_or_percent(surge, &at.child("maxSurge")));
            if is_zero(unavailable) && is_zero(surge) {
                let detail = "may not be 0 when `maxSurge` is 0";
                e.push(FieldError::invalid(at_unavailable, unavailable.clone(), detail));
            }
            e.append(&mut validate_not_more_than_100_percent(unavailable, &at_unavailable));
        }
        other => e.push(not_supported(p.child("type"), other, &["Recreate", "RollingUpdate"])),
    }
}

/// Whether a number or percentage is 0; what is neither counts as 0.
pub(crate) fn is_zero(value: &Value) -> bool {
    number_or_percent(value).map_or(true, |(number, _)| number == 0)
}

/// What is wrong with a change of a deployment.
pub fn validate_deployment_update(deployment: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_deployment(deployment);
    let p = FieldPath::field("spec");
    let selector = |d: &Value| d.sub("spec").sub("selector").clone();
    immutable(&mut e, p.child("selector"), &selector(deployment), &selector(old));
    e
}

/// What is wrong with a change of a deployment's status.
pub fn validate_deployment_status_update(deployment: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let status = deployment.sub("status");
    counts(
        &mut e,
        status,
        &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "terminatingReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "collisionCount",
        ],
    );
    at_most_replicas(&mut e, status, &["updatedReplicas", "readyReplicas", "availableReplicas"]);
    available_is_ready(&mut e, status);
    collisions(&mut e, status, old.sub("status"));
    e
}
