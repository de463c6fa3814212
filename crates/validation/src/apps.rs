//! Workloads that keep pods running: deployments, replica sets, daemon sets, stateful sets.

pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod revision;
pub mod stateful_set;

use sampan_model::name::is_dns1123_label;
use sampan_model::{FieldError, FieldPath, Value};

use crate::core::pod::spec::pod_template;
use crate::core::pod::warnings::template_warnings;
use crate::look::{
    Errors, Look, bump_generation, non_negative, not_supported, restore, same, set_generation, top,
};
use crate::{Params, selector};

pub(crate) const MISMATCH: &str = "`selector` does not match template `labels`";

/// A new workload has no status yet, and its first generation.
pub(crate) fn prepare_create(workload: &mut Value, _: &Params<'_>) {
    top(workload).insert("status", sampan_model::Map::new());
    set_generation(workload, 1);
}

/// A client that writes a workload does not touch its status.
pub(crate) fn prepare_update(workload: &mut Value, old: &Value, _: &Params<'_>) {
    restore(workload, old, "status");
    let changed = !same(workload.sub("spec"), old.sub("spec"));
    bump_generation(workload, old, changed);
}

/// Through `status` only the status changes.
pub(crate) fn prepare_status(workload: &mut Value, old: &Value, _: &Params<'_>) {
    restore(workload, old, "spec");
}

/// `spec.selector`: there, sound, and not everything.
pub(crate) fn required_selector(e: &mut Errors, p: FieldPath<'_>, selector: &Value, empty: &str) {
    if selector.is_null() {
        e.push(FieldError::required(p, ""));
        return;
    }
    selector::label_selector(e, p, selector);
    if selector::is_empty(selector) {
        e.push(FieldError::invalid(p, selector.clone(), empty));
    }
}

/// The template's labels must be selected.
pub(crate) fn template_selected(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let labels = spec.sub("template").sub("metadata").sub("labels");
    let selected = selector::read(spec.sub("selector"));
    if selected.is_some_and(|s| !s.is_everything() && !s.matches_map(labels.as_object())) {
        let p = p.child("metadata");
        e.push(FieldError::invalid(p.child("labels"), labels.clone(), MISMATCH));
    }
}

/// The template of pods that always run.
pub(crate) fn lasting_template(e: &mut Errors, p: FieldPath<'_>, template: &Value, owner: &str) {
    pod_template(e, p, template);
    lasting_pods(e, p, template, owner);
}

/// Pods of a workload restart for ever, and have no deadline.
pub(crate) fn lasting_pods(e: &mut Errors, p: FieldPath<'_>, template: &Value, owner: &str) {
    let p = p.child("spec");
    let spec = template.sub("spec");
    let policy = spec.s("restartPolicy");
    if policy != "Always" {
        e.push(not_supported(p.child("restartPolicy"), policy, &["Always"]));
    }
    if spec.has("activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {owner} is not Supported");
        e.push(FieldError::forbidden(p.child("activeDeadlineSeconds"), detail));
    }
}

/// Counts of a status may not be negative.
pub(crate) fn counts(e: &mut Errors, status: &Value, fields: &[&str]) {
    let p = FieldPath::field("status");
    for field in fields {
        non_negative(e, p.child(field), status.num(field));
    }
}

/// Counts of a status that cannot be more than its replicas.
pub(crate) fn at_most_replicas(e: &mut Errors, status: &Value, fields: &[&str]) {
    let p = FieldPath::field("status");
    for field in fields {
        if status.num(field) > status.num("replicas") {
            let detail = "cannot be greater than status.replicas";
            e.push(FieldError::invalid(p.child(field), status.num(field), detail));
        }
    }
}

/// What is available is ready.
pub(crate) fn available_is_ready(e: &mut Errors, status: &Value) {
    let available = status.num("availableReplicas");
    if available > status.num("readyReplicas") {
        let detail = "cannot be greater than readyReplicas";
        e.push(FieldError::invalid("status.availableReplicas", available, detail));
    }
}

/// The status of replica sets and replication controllers.
pub(crate) fn scaled_status(e: &mut Errors, status: &Value) {
    let fields =
        ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    counts(e, status, &fields);
    at_most_replicas(e, status, &fields[1..4]);
    available_is_ready(e, status);
}

/// Names collide more often, never less.
pub(crate) fn collisions(e: &mut Errors, status: &Value, old: &Value) {
    let (new, old) = (status.opt_num("collisionCount"), old.opt_num("collisionCount"));
    if old.is_some_and(|old| new.is_none_or(|new| new < old)) {
        e.push(FieldError::invalid("status.collisionCount", new.unwrap_or(0), "cannot be decremented"));
    }
}

/// Warnings about a workload: its name as a part of its pods' host names, and its template.
pub(crate) fn workload_warnings(workload: &Value, old: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    if old.is_none() {
        let complaints = is_dns1123_label(workload.sub("metadata").s("name"));
        if !complaints.is_empty() {
            w.push(format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]", complaints.join(" ")));
        }
    }
    changed_template_warnings(&mut w, workload, old);
    w
}

/// Warnings about a template that is new or changed.
pub(crate) fn changed_template_warnings(w: &mut Vec<String>, workload: &Value, old: Option<&Value>) {
    let spec = workload.sub("spec");
    if old.is_none_or(|old| !same(old.sub("spec"), spec)) {
        let p = FieldPath::field("spec");
        template_warnings(w, p.child("template"), spec.sub("template"));
    }
}

/// What is wrong with a `Scale` that a client writes.
pub fn validate_scale(scale: &Value) -> Vec<FieldError> {
    let replicas = scale.sub("spec").num("replicas");
    if replicas < 0 {
        return vec![FieldError::invalid("spec.replicas", replicas, crate::look::NEGATIVE)];
    }
    Vec::new()
}
