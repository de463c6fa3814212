//! Stateful sets.

use sampan_model::int_or_string::{validate_non_negative_int_or_percent, validate_not_more_than_100_percent};
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::deployment::is_zero;
use super::*;
use crate::core::claim::{default_claim_spec, storage_warnings};
use crate::core::pod::defaults::default_template;
use crate::look::{Put, complain, items_mut, spec_mut};
use crate::strategy::zero_counts;
use crate::{KindRules, PartRules};

const MUTABLE: [&str; 7] = [
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "revisionHistoryLimit",
];

/// The counts that a status always has.
const COUNTS: [&str; 2] = ["replicas", "availableReplicas"];

/// The rules of stateful sets.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_stateful_set),
    prepare_create: Some(|set, params| {
        prepare_create(set, params);
        zero_counts(set, &COUNTS);
    }),
    prepare_update: Some(prepare_update),
    validate: Some(validate_stateful_set),
    validate_update: Some(validate_stateful_set_update),
    warnings: Some(stateful_set_warnings),
    validate_name: Some(sampan_model::name::name_is_dns_label),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: Some(validate_stateful_set_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// Sets a stateful set's defaults.
pub fn default_stateful_set(set: &mut Value) {
    if set.has("status") {
        zero_counts(set, &COUNTS);
    }
    let spec = spec_mut(set);
    spec.default_to("podManagementPolicy", "OrderedReady");
    let strategy = spec.object_mut("updateStrategy");
    strategy.default_to("type", "RollingUpdate");
    if strategy.s("type") == "RollingUpdate" {
        strategy.default_ptr("rollingUpdate", Map::new());
        strategy.object_mut("rollingUpdate").default_ptr("partition", 0);
    }
    let retention = spec.object_mut("persistentVolumeClaimRetentionPolicy");
    retention.default_to("whenDeleted", "Retain");
    retention.default_to("whenScaled", "Retain");
    spec.default_ptr("replicas", 1);
    spec.default_ptr("revisionHistoryLimit", 10);
    default_template(spec);
    for claim in items_mut(spec, "volumeClaimTemplates") {
        claim.insert("apiVersion", "v1");
        claim.insert("kind", "PersistentVolumeClaim");
        claim.object_mut("status").default_to("phase", "Pending");
        default_claim_spec(claim.object_mut("spec"));
    }
}

/// What is wrong with a stateful set.
pub fn validate_stateful_set(set: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (set.sub("spec"), FieldPath::field("spec"));
    match spec.s("podManagementPolicy") {
        "" => e.push(FieldError::required(p.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            e.push(FieldError::invalid(p.child("podManagementPolicy"), other, detail));
        }
    }
    strategy(e, p.child("updateStrategy"), spec.sub("updateStrategy"));
    if let Some(policy) = spec.opt("persistentVolumeClaimRetentionPolicy") {
        let p = p.child("persistentVolumeClaimRetentionPolicy");
        for field in ["whenDeleted", "whenScaled"] {
            crate::look::one_of(e, p.child(field), Some(policy.s(field)), &["Retain", "Delete"]);
        }
    }
    non_negative(e, p.child("replicas"), spec.num("replicas"));
    non_negative(e, p.child("minReadySeconds"), spec.num("minReadySeconds"));
    let at = p.child("ordinals");
    non_negative(e, at.child("start"), spec.sub("ordinals").num("start"));
    let chosen = spec.sub("selector");
    required_selector(e, p.child("selector"), chosen, "empty selector is invalid for statefulset");
    let service = spec.s("serviceName");
    if !service.is_empty() {
        complain(e, p.child("serviceName"), service, is_dns1123_label(service));
    }
    if selector::read(chosen).is_none() {
        e.push(FieldError::invalid(p.child("selector"), chosen.clone(), ""));
    } else {
        template_selected(e, p.child("template"), spec);
        pod_template(e, p.child("template"), &template_with_claims(spec));
    }
    lasting_pods(e, p.child("template"), spec.sub("template"), "StatefulSet");
    errors
}

/// The template as its pods will be: with a volume for each claim that the set makes.
fn template_with_claims(spec: &Value) -> Value {
    let mut template = spec.sub("template").clone();
    let claims = spec.list("volumeClaimTemplates");
    if claims.is_empty() {
        return template;
    }
    let pod = spec_mut(&mut template);
    let volumes = pod.get_or_insert_with("volumes", || Value::Array(Vec::new()));
    if let Some(volumes) = volumes.as_array_mut() {
        for claim in claims {
            let name = claim.sub("metadata").s("name");
            volumes.retain(|volume| volume.s("name") != name);
            let mut source = Map::new();
            source.insert("claimName", name);
            let mut volume = Map::new();
            volume.insert("name", name);
            volume.insert("persistentVolumeClaim", source);
            volumes.push(volume.into());
        }
    }
    template
}

fn strategy(e: &mut Errors, p: FieldPath<'_>, strategy: &Value) {
    let at = p.child("rollingUpdate");
    match strategy.s("type") {
        "" => e.push(FieldError::required(p, "")),
        "OnDelete" => {
            if let Some(rolling) = strategy.opt("rollingUpdate") {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                e.push(FieldError::invalid(at, rolling.clone(), detail));
            }
        }
        "RollingUpdate" => {
            let Some(rolling) = strategy.opt("rollingUpdate") else { return };
            non_negative(e, at.child("partition"), rolling.num("partition"));
            if let Some(unavailable) = rolling.opt("maxUnavailable") {
                let at = at.child("maxUnavailable");
                e.append(&mut validate_non_negative_int_or_percent(unavailable, &at));
                if is_zero(unavailable) {
                    e.push(FieldError::invalid(at, unavailable.clone(), "cannot be 0"));
                }
                e.append(&mut validate_not_more_than_100_percent(unavailable, &at));
            }
        }
        _ => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            e.push(FieldError::invalid(p, strategy.clone(), detail));
        }
    }
}

/// What is wrong with a change of a stateful set: most of its spec stays.
pub fn validate_stateful_set_update(set: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_stateful_set(set);
    let (mut new, old) = (set.sub("spec").clone(), old.sub("spec"));
    for field in MUTABLE {
        restore(&mut new, old, field);
    }
    if !same(&new, old) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        e.push(FieldError::forbidden("spec", detail));
    }
    e
}

/// What is wrong with a change of a stateful set's status.
pub fn validate_stateful_set_status_update(set: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let status = set.sub("status");
    let fields = ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    counts(&mut e, status, &fields);
    counts(&mut e, status, &["observedGeneration", "collisionCount"]);
    at_most_replicas(&mut e, status, &fields[1..]);
    let available = status.num("availableReplicas");
    if available > status.num("readyReplicas") {
        let detail = "cannot be greater than status.readyReplicas";
        e.push(FieldError::invalid("status.availableReplicas", available, detail));
    }
    collisions(&mut e, status, old.sub("status"));
    e
}

/// Warnings about a stateful set.
pub fn stateful_set_warnings(set: &Value, old: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    changed_template_warnings(&mut w, set, old);
    let (spec, p) = (set.sub("spec"), FieldPath::field("spec"));
    if old.is_none_or(|old| !same(old.sub("spec"), spec)) {
        for (i, claim) in spec.list("volumeClaimTemplates").iter().enumerate() {
            let p = p.child("volumeClaimTemplates");
            storage_warnings(&mut w, p.index(i).child("spec"), claim.sub("spec"));
        }
        if spec.num("revisionHistoryLimit") < 0 {
            w.push("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".to_owned());
        }
    }
    w
}
