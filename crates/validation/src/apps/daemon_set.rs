//! Daemon sets.

use sampan_model::int_or_string::{validate_non_negative_int_or_percent, validate_not_more_than_100_percent};
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::deployment::is_zero;
use super::*;
use crate::core::pod::defaults::default_template;
use crate::look::{Put, annotation, immutable, spec_mut};
use crate::strategy::zero_counts;
use crate::{KindRules, PartRules};

/// Counts the changes of the template; older clients read it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// The counts that a status always has.
const COUNTS: [&str; 4] =
    ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"];

/// The rules of daemon sets.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_daemon_set),
    prepare_create: Some(prepare_daemon_set_for_create),
    prepare_update: Some(prepare_daemon_set_for_update),
    validate: Some(validate_daemon_set),
    validate_update: Some(validate_daemon_set_update),
    warnings: Some(|set, old| {
        let mut w = Vec::new();
        changed_template_warnings(&mut w, set, old);
        w
    }),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: Some(validate_daemon_set_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// Sets a daemon set's defaults.
pub fn default_daemon_set(set: &mut Value) {
    if set.has("status") {
        zero_counts(set, &COUNTS);
    }
    let spec = spec_mut(set);
    let strategy = spec.object_mut("updateStrategy");
    strategy.default_to("type", "RollingUpdate");
    if strategy.s("type") == "RollingUpdate" {
        strategy.default_ptr("rollingUpdate", Map::new());
        let rolling = strategy.object_mut("rollingUpdate");
        rolling.default_ptr("maxUnavailable", 1);
        rolling.default_ptr("maxSurge", 0);
    }
    spec.default_ptr("revisionHistoryLimit", 10);
    default_template(spec);
}

fn template_generation(set: &Value) -> i64 {
    annotation(set.sub("metadata"), TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(set: &mut Value, generation: i64) {
    let annotations = top(set).object_mut("metadata").object_mut("annotations");
    annotations.insert(TEMPLATE_GENERATION, generation.to_string());
}

/// A new daemon set has no status yet.
pub fn prepare_daemon_set_for_create(set: &mut Value, params: &Params<'_>) {
    prepare_create(set, params);
    zero_counts(set, &COUNTS);
    let generation = template_generation(set).max(1);
    set_template_generation(set, generation);
}

/// A client that writes a daemon set does not touch its status.
pub fn prepare_daemon_set_for_update(set: &mut Value, old: &Value, params: &Params<'_>) {
    prepare_update(set, old, params);
    let changed = !same(set.sub("spec").sub("template"), old.sub("spec").sub("template"));
    let before = template_generation(old);
    set_template_generation(set, if changed { before + 1 } else { before });
}

/// What is wrong with a daemon set.
pub fn validate_daemon_set(set: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (set.sub("spec"), FieldPath::field("spec"));
    let chosen = spec.sub("selector");
    let labels = spec.sub("template").sub("metadata").sub("labels");
    selector::label_selector(e, p.child("selector"), chosen);
    if selector::read(chosen).is_some() && !selector::matches(chosen, labels) {
        let p = p.child("template");
        let p = p.child("metadata");
        e.push(FieldError::invalid(p.child("labels"), labels.clone(), MISMATCH));
    }
    if !chosen.is_null() && selector::is_empty(chosen) {
        let detail = "empty selector is invalid for daemonset";
        e.push(FieldError::invalid(p.child("selector"), chosen.clone(), detail));
    }
    lasting_template(e, p.child("template"), spec.sub("template"), "DaemonSet");
    non_negative(e, p.child("minReadySeconds"), spec.num("minReadySeconds"));
    strategy(e, p.child("updateStrategy"), spec.sub("updateStrategy"));
    non_negative(e, p.child("revisionHistoryLimit"), spec.num("revisionHistoryLimit"));
    errors
}

fn strategy(e: &mut Errors, p: FieldPath<'_>, strategy: &Value) {
    let at = p.child("rollingUpdate");
    match strategy.s("type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let Some(rolling) = strategy.opt("rollingUpdate") else {
                e.push(FieldError::required(at, ""));
                return;
            };
            let fields = ["maxUnavailable", "maxSurge"];
            for field in fields {
                e.append(&mut validate_non_negative_int_or_percent(rolling.sub(field), &at.child(field)));
            }
            for field in fields {
                e.append(&mut validate_not_more_than_100_percent(rolling.sub(field), &at.child(field)));
            }
            let [unavailable, surge] = fields.map(|field| !is_zero(rolling.sub(field)));
            if unavailable && surge {
                let detail = "may not be set when maxUnavailable is non-zero";
                e.push(FieldError::invalid(at.child("maxSurge"), rolling.sub("maxSurge").clone(), detail));
            } else if !unavailable && !surge {
                let detail = "cannot be 0 when maxSurge is 0";
                e.push(FieldError::required(at.child("maxUnavailable"), detail));
            }
        }
        other => e.push(not_supported(p.child("type"), other, &["RollingUpdate", "OnDelete"])),
    }
}

/// What is wrong with a change of a daemon set.
pub fn validate_daemon_set_update(set: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_daemon_set(set);
    let p = FieldPath::field("spec");
    immutable(&mut e, p.child("selector"), set.sub("spec").sub("selector"), old.sub("spec").sub("selector"));
    e
}

/// What is wrong with a change of a daemon set's status.
pub fn validate_daemon_set_status_update(set: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let status = set.sub("status");
    counts(
        &mut e,
        status,
        &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
    );
    collisions(&mut e, status, old.sub("status"));
    e
}
