//! Jobs: defaults, the selector that the server makes, and what is wrong with a spec.

use sampan_model::name::{is_dns1123_label, is_domain_prefixed_path};
use sampan_model::{FieldError, FieldPath, Value};

use super::failure_policy::{pod_failure_policy, success_policy};
use super::job_update::{prepare_job_for_update, validate_job_status_update, validate_job_update};
use crate::apps::{MISMATCH, prepare_status, workload_warnings};
use crate::core::pod::defaults::default_template;
use crate::core::pod::spec::pod_template;
use crate::look::{Errors, Look, Put, items_mut, non_negative, not_supported, set_generation, spec_mut, top};
use crate::{KindRules, Params, PartRules, selector};

const LEGACY_UID: &str = "controller-uid";
const LEGACY_NAME: &str = "job-name";
const UID: &str = "batch.kubernetes.io/controller-uid";
const NAME: &str = "batch.kubernetes.io/job-name";

/// The rules of jobs.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_job),
    prepare_create: Some(prepare_job_for_create),
    prepare_update: Some(prepare_job_for_update),
    validate: Some(validate_job),
    validate_update: Some(validate_job_update),
    warnings: Some(job_warnings),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: Some(validate_job_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    orphan_dependents: true,
    ..KindRules::PLAIN
};

/// Sets a job's defaults.
pub fn default_job(job: &mut Value) {
    let spec = spec_mut(job);
    if !spec.has("completions") && !spec.has("parallelism") {
        spec.insert("completions", 1);
    }
    spec.default_ptr("parallelism", 1);
    if !spec.has("backoffLimit") {
        let limit = if spec.has("backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
        spec.insert("backoffLimit", limit);
    }
    spec.default_ptr("completionMode", "NonIndexed");
    spec.default_ptr("suspend", false);
    let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    spec.default_ptr("podReplacementPolicy", replacement);
    spec.default_ptr("manualSelector", false);
    default_job_spec(spec);
    labels_from_template(job);
}

fn labels_from_template(job: &mut Value) {
    let labels = job.sub("spec").sub("template").sub("metadata").map("labels").cloned();
    if let Some(labels) = labels.filter(|l| !l.is_empty()) {
        top(job).object_mut("metadata").default_to("labels", labels);
    }
}

/// Defaults of a job's spec wherever it stands.
pub(crate) fn default_job_spec(spec: &mut sampan_model::Map) {
    if let Some(policy) = spec.get_mut("podFailurePolicy").and_then(Value::as_object_mut) {
        for rule in items_mut(policy, "rules") {
            for pattern in items_mut(rule, "onPodConditions") {
                pattern.default_to("status", "True");
            }
        }
    }
    default_template(spec);
}

/// A new job selects its own pods, unless its author takes care of that: by the job's uid.
pub fn prepare_job_for_create(job: &mut Value, _: &Params<'_>) {
    top(job).insert("status", sampan_model::Map::new());
    set_generation(job, 1);
    let uid = job.sub("metadata").s("uid").to_owned();
    let name = job.sub("metadata").s("name").to_owned();
    let spec = spec_mut(job);
    if !spec.flag("manualSelector") {
        let labels = spec.object_mut("template").object_mut("metadata").object_mut("labels");
        for (key, value) in [(LEGACY_UID, &uid), (LEGACY_NAME, &name), (UID, &uid), (NAME, &name)] {
            if !labels.contains_key(key) {
                labels.insert(key, value.as_str());
            }
        }
        let wanted = spec.object_mut("selector").object_mut("matchLabels");
        if !wanted.contains_key(UID) {
            wanted.insert(UID, uid);
        }
    }
    labels_from_template(job);
}

/// What is wrong with a job.
pub fn validate_job(job: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    generated_selector(&mut e, job);
    validate_full_spec(&mut e, job.sub("spec"));
    let (meta, spec) = (job.sub("metadata"), job.sub("spec"));
    let completions = spec.num("completions");
    if spec.s("completionMode") == "Indexed" && completions > 0 {
        let name = meta.s("name");
        let last = format!("{name}-{}", completions - 1);
        if !is_dns1123_label(&last).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            e.push(FieldError::invalid("metadata.name", name, detail));
        }
    }
    e
}

fn generated_selector(e: &mut Errors, job: &Value) {
    let (meta, spec) = (job.sub("metadata"), job.sub("spec"));
    if spec.flag("manualSelector") || !spec.has("selector") {
        return;
    }
    let (uid, name) = (meta.s("uid"), meta.s("name"));
    if uid.is_empty() {
        e.push(FieldError::required("metadata.uid", ""));
    }
    let labels = spec.sub("template").sub("metadata").sub("labels");
    let p = FieldPath::field("spec");
    let at = p.child("template");
    let at = at.child("metadata");
    let at = at.child("labels");
    let expected = [(LEGACY_UID, uid), (LEGACY_NAME, name), (UID, uid), (NAME, name)];
    for (key, value) in expected {
        let detail = format!("must be '{value}'");
        match labels.opt_s(key) {
            None => e.push(FieldError::required(at.key(key), detail)),
            Some(found) if found != value => {
                e.push(FieldError::invalid(at.key(key), labels.clone(), detail));
            }
            Some(_) => {}
        }
    }
    let expected = crate::look::object(expected.map(|(key, value)| (key, value.into())));
    let chosen = spec.sub("selector");
    if selector::read(chosen).is_some() && !selector::matches(chosen, &expected) {
        e.push(FieldError::invalid(p.child("selector"), chosen.clone(), "`selector` not auto-generated"));
    }
}

/// A job's spec with its selector.
pub(crate) fn validate_full_spec(e: &mut Errors, spec: &Value) {
    let p = FieldPath::field("spec");
    job_spec(e, p, spec);
    let chosen = spec.sub("selector");
    if chosen.is_null() {
        e.push(FieldError::required(p.child("selector"), ""));
    } else {
        selector::label_selector(e, p.child("selector"), chosen);
    }
    let labels = spec.sub("template").sub("metadata").sub("labels");
    if selector::read(chosen).is_some() && !selector::matches(chosen, labels) {
        let p = p.child("template");
        let p = p.child("metadata");
        e.push(FieldError::invalid(p.child("labels"), labels.clone(), MISMATCH));
    }
}

/// A job's spec without its selector.
pub(crate) fn job_spec(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        non_negative(e, p.child(field), spec.num(field));
    }
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        let detail = "when maxFailedIndexes is specified";
        e.push(FieldError::required(p.child("backoffLimitPerIndex"), detail));
    }
    if let Some(manager) = spec.opt_s("managedBy") {
        e.append(&mut is_domain_prefixed_path(&p.child("managedBy"), manager));
        if manager.len() > 63 {
            e.push(FieldError::too_long(p.child("managedBy"), 63));
        }
    }
    completion_mode(e, p, spec);
    let indexed = spec.s("completionMode") == "Indexed";
    if let Some(policy) = spec.opt("podFailurePolicy") {
        pod_failure_policy(e, p.child("podFailurePolicy"), policy, spec);
    }
    if let Some(policy) = spec.opt("successPolicy") {
        let p = p.child("successPolicy");
        if indexed {
            success_policy(e, p, policy, spec);
        } else {
            e.push(FieldError::invalid(p, policy.clone(), "requires indexed completion mode"));
        }
    }
    replacement_policy(e, p.child("podReplacementPolicy"), spec);
    let p = p.child("template");
    pod_template(e, p, spec.sub("template"));
    let policy = spec.sub("template").sub("spec").s("restartPolicy");
    let p = p.child("spec");
    let p = p.child("restartPolicy");
    if policy == "Always" {
        e.push(FieldError::required(p, "valid values: \"OnFailure\", \"Never\""));
    } else if !matches!(policy, "OnFailure" | "Never") {
        e.push(not_supported(p, policy, &["OnFailure", "Never"]));
    } else if spec.has("podFailurePolicy") && policy != "Never" {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        e.push(FieldError::invalid(p, policy, detail));
    }
}

fn completion_mode(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    const MOST_PARALLEL: i64 = 100_000;
    const MANY: i64 = 100_000;
    const FEW: i64 = 10_000;
    let mode = spec.opt_s("completionMode");
    let (parallelism, completions) = (spec.num("parallelism"), spec.opt_num("completions"));
    match mode {
        None | Some("NonIndexed" | "Indexed") => {}
        Some(other) => {
            e.push(not_supported(p.child("completionMode"), other, &["NonIndexed", "Indexed"]));
        }
    }
    if mode == Some("Indexed") {
        if completions.is_none() {
            let detail = "when completion mode is Indexed";
            e.push(FieldError::required(p.child("completions"), detail));
        }
        if parallelism > MOST_PARALLEL {
            let detail =
                format!("must be less than or equal to {MOST_PARALLEL} when completion mode is Indexed");
            e.push(FieldError::invalid(p.child("parallelism"), parallelism, detail));
        }
        if completions.is_some_and(|c| c > MANY) && spec.has("backoffLimitPerIndex") {
            let tail = format!(
                "must be less than or equal to {FEW} when completions are above {MANY} and used with backoff limit per index"
            );
            match spec.opt_num("maxFailedIndexes") {
                None => {
                    let detail = format!("must be specified when completions is above {MANY}");
                    e.push(FieldError::required(p.child("maxFailedIndexes"), detail));
                }
                Some(failed) if failed > FEW => {
                    e.push(FieldError::invalid(p.child("maxFailedIndexes"), failed, tail.clone()));
                }
                Some(_) => {}
            }
            if parallelism > FEW {
                e.push(FieldError::invalid(p.child("parallelism"), parallelism, tail));
            }
        }
    } else {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(value) = spec.opt_num(field) {
                e.push(FieldError::invalid(p.child(field), value, "requires indexed completion mode"));
            }
        }
    }
}

fn replacement_policy(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let Some(policy) = spec.opt_s("podReplacementPolicy") else { return };
    if spec.has("podFailurePolicy") {
        if policy != "Failed" {
            e.push(not_supported(p, policy, &["Failed"]));
        }
    } else if !["Failed", "TerminatingOrFailed"].contains(&policy) {
        e.push(not_supported(p, policy, &["Failed", "TerminatingOrFailed"]));
    }
}

/// Warnings about a job.
pub fn job_warnings(job: &Value, old: Option<&Value>) -> Vec<String> {
    const MANY: i64 = 100_000;
    const FEW: i64 = 10_000;
    let mut w = workload_warnings(job, old);
    let spec = job.sub("spec");
    if old.is_none()
        && spec.s("completionMode") == "Indexed"
        && spec.num("completions") > MANY
        && spec.num("parallelism") > FEW
    {
        w.push("In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail".to_owned());
    }
    w
}
