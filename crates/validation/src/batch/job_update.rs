//! What may change of a job that exists.

use sampan_model::{FieldError, FieldPath, Value};

use super::job::validate_full_spec;
use crate::Params;
use crate::look::{
    Errors, Look, bump_generation, immutable, items_mut, non_negative, restore, same, spec_mut, top,
};

/// A client that writes a job does not touch its status.
pub fn prepare_job_for_update(job: &mut Value, old: &Value, _: &Params<'_>) {
    restore(job, old, "status");
    let changed = !same(job.sub("spec"), old.sub("spec"));
    bump_generation(job, old, changed);
}

/// What is wrong with a change of a job.
pub fn validate_job_update(job: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, old_spec, p) = (job.sub("spec"), old.sub("spec"), FieldPath::field("spec"));
    validate_full_spec(&mut e, spec);
    completions(&mut e, p, spec, old_spec);
    immutable(&mut e, p.child("selector"), spec.sub("selector"), old_spec.sub("selector"));
    template(&mut e, p.child("template"), spec, old);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        immutable(&mut e, p.child(field), spec.sub(field), old_spec.sub(field));
    }
    e
}

/// Completions of an indexed job may change together with its parallelism (KEP-3715).
fn completions(e: &mut Errors, p: FieldPath<'_>, spec: &Value, old: &Value) {
    if spec.s("completionMode") != "Indexed" {
        immutable(e, p.child("completions"), spec.sub("completions"), old.sub("completions"));
        return;
    }
    if same(spec.sub("completions"), old.sub("completions")) {
        return;
    }
    let shown = spec.sub("completions").clone();
    if spec.opt_num("completions").is_none() {
        e.push(FieldError::required(p.child("completions"), "when completion mode is Indexed"));
    } else if spec.opt_num("completions") != spec.opt_num("parallelism") {
        let detail = format!("can only be modified in tandem with {}", p.child("parallelism"));
        e.push(FieldError::invalid(p.child("completions"), shown, detail));
    }
}

/// A template stays, but while a job is suspended and was never started, where its pods may run can change
/// (KEP-2926), and what they ask for (KEP-5440).
fn template(e: &mut Errors, p: FieldPath<'_>, spec: &Value, old: &Value) {
    let (new, old_template) = (spec.sub("template"), old.sub("spec").sub("template"));
    if same(new, old_template) {
        return;
    }
    let mut munged = new.clone();
    let waiting = old.sub("spec").flag("suspend") && !old.sub("status").has("startTime");
    if waiting {
        let kept = old_template.sub("spec");
        let pod = spec_mut(&mut munged);
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            match kept.opt(field) {
                Some(value) => pod.insert(field, value.clone()),
                None => pod.remove(field),
            };
        }
        match kept.sub("affinity").opt("nodeAffinity") {
            Some(affinity) => {
                pod.object_mut("affinity").insert("nodeAffinity", affinity.clone());
            }
            None => {
                if pod.has("affinity") {
                    pod.object_mut("affinity").remove("nodeAffinity");
                }
            }
        }
        for field in ["containers", "initContainers"] {
            for (container, old) in items_mut(pod, field).zip(kept.list(field)) {
                if let Some(resources) = old.opt("resources") {
                    container.insert("resources", resources.clone());
                } else {
                    container.remove("resources");
                }
            }
        }
        let meta = top(&mut munged).object_mut("metadata");
        for field in ["labels", "annotations"] {
            match old_template.sub("metadata").opt(field) {
                Some(value) => meta.insert(field, value.clone()),
                None => meta.remove(field),
            };
        }
    }
    immutable(e, p, &munged, old_template);
}

/// What is wrong with a change of a job's status.
pub fn validate_job_status_update(job: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (status, before, p) = (job.sub("status"), old.sub("status"), FieldPath::field("status"));
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        non_negative(&mut e, p.child(field), status.num(field));
    }
    let condition = |status: &Value, kind: &str| {
        status.list("conditions").iter().any(|c| c.s("type") == kind && c.s("status") == "True")
    };
    let at = p.child("conditions");
    if condition(status, "Complete") && condition(status, "Failed") {
        let detail = "cannot set Complete=True and Failed=true conditions";
        e.push(FieldError::invalid(at, status.list("conditions").to_vec(), detail));
    }
    for kind in ["Complete", "Failed"] {
        if condition(before, kind) && !condition(status, kind) {
            let detail = format!("cannot disable the terminal {kind}=True condition");
            e.push(FieldError::invalid(at, status.list("conditions").to_vec(), detail));
        }
    }
    if condition(status, "Complete") && !status.has("completionTime") {
        let detail = "completionTime is required for Complete jobs";
        e.push(FieldError::required(p.child("completionTime"), detail));
    }
    if status.has("completionTime") && !condition(status, "Complete") {
        let detail = "cannot set completionTime when there is no Complete=True condition";
        e.push(FieldError::invalid(p.child("completionTime"), status.sub("completionTime").clone(), detail));
    }
    e
}
