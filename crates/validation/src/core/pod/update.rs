//! What may change of a pod that exists: images, tolerations that are added, gates that are lifted.

use sampan_model::name::inclusive_range_error;
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::annotations::{APP_ARMOR, MIRROR, annotations};
use super::spec::MAX_INT32;
use super::{meta_and_spec, raise_generation, scheduling};
use crate::Params;
use crate::diff::diff;
use crate::look::{Errors, Look, restore, same, top};
use crate::seen::Seen;

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with a change of a pod.
pub fn validate_pod_update(pod: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    meta_and_spec(&mut e, pod);
    annotation_updates(&mut e, pod, old);
    let p = FieldPath::field("spec");
    let (spec, old_spec) = (pod.sub("spec"), old.sub("spec"));
    for field in ["containers", "initContainers"] {
        if !container_updates(&mut e, p.child(field), spec.list(field), old_spec.list(field)) {
            return e;
        }
    }
    if !deadline_update(&mut e, p.child("activeDeadlineSeconds"), spec, old_spec) {
        return e;
    }
    added_tolerations(&mut e, p.child("tolerations"), spec.list("tolerations"), old_spec.list("tolerations"));
    lifted_gates(
        &mut e,
        p.child("schedulingGates"),
        spec.list("schedulingGates"),
        old_spec.list("schedulingGates"),
    );
    if same(spec, old_spec) {
        return e;
    }
    let mut munged = spec.clone();
    munge(&mut e, p, &mut munged, old_spec);
    if !same(&munged, old_spec) {
        let detail = format!("{UPDATABLE}\n{}", diff("core.PodSpec", old_spec, &munged));
        e.push(FieldError::forbidden(p, detail));
    }
    e
}

/// Sets all that may change back to what it was.
fn munge(e: &mut Errors, p: FieldPath<'_>, munged: &mut Value, old: &Value) {
    for field in ["containers", "initContainers"] {
        for (container, old) in crate::look::items_mut(top(munged), field).zip(old.list(field)) {
            container.insert("image", old.s("image"));
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        restore(munged, old, field);
    }
    let grace = "terminationGracePeriodSeconds";
    if old.opt_num(grace).is_some_and(|s| s < 0) && munged.opt_num(grace) == Some(1) {
        restore(munged, old, grace);
    }
    if old.list("schedulingGates").is_empty() {
        return;
    }
    // While gates hold a pod back, where it may run can still be narrowed (KEP-3838).
    if !same(munged.sub("nodeSelector"), old.sub("nodeSelector")) {
        let kept = old
            .entries("nodeSelector")
            .all(|(key, value)| munged.sub("nodeSelector").opt(key) == Some(value));
        if !kept {
            let shown = munged.sub("nodeSelector").clone();
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            e.push(FieldError::invalid(p.child("nodeSelector"), shown, detail));
        }
        restore(munged, old, "nodeSelector");
    }
    let (new_affinity, old_affinity) =
        (munged.sub("affinity").sub("nodeAffinity").clone(), old.sub("affinity").sub("nodeAffinity"));
    if !same(&new_affinity, old_affinity) {
        let p = p.child("affinity");
        affinity_mutation(e, p.child("nodeAffinity"), &new_affinity, old_affinity);
        let affinity = top(munged).object_mut("affinity");
        match old_affinity {
            Value::Null => affinity.remove("nodeAffinity"),
            old => affinity.insert("nodeAffinity", old.clone()),
        };
        if affinity.is_empty() && !old.has("affinity") {
            top(munged).remove("affinity");
        }
    }
}

fn affinity_mutation(e: &mut Errors, p: FieldPath<'_>, new: &Value, old: &Value) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let (new_terms, old_terms) =
        (new.sub(REQUIRED).list("nodeSelectorTerms"), old.sub(REQUIRED).list("nodeSelectorTerms"));
    let p = p.child(REQUIRED);
    let p = p.child("nodeSelectorTerms");
    if old_terms.is_empty() {
        return;
    }
    if old_terms.len() != new_terms.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        e.push(FieldError::invalid(p, new_terms.to_vec(), detail));
        return;
    }
    for (i, (new, old)) in new_terms.iter().zip(old_terms).enumerate() {
        let parts = ["matchExpressions", "matchFields"];
        let was_empty = parts.iter().all(|part| old.list(part).is_empty());
        let grown = parts.iter().all(|part| {
            let (new, old) = (new.list(part), old.list(part));
            if was_empty { new.is_empty() } else { new.len() >= old.len() && new[..old.len()] == *old }
        });
        if !grown {
            let detail = "only additions are allowed (no mutations or deletions)";
            e.push(FieldError::invalid(p.index(i), new.clone(), detail));
        }
    }
}

/// Annotations that may not change, and what holds for annotations at any time.
pub(crate) fn annotation_updates(e: &mut Errors, pod: &Value, old: &Value) {
    let p = FieldPath::field("metadata");
    let p = p.child("annotations");
    let of = |pod: &Value| pod.sub("metadata").map("annotations").cloned().unwrap_or_default();
    if pod.sub("metadata").sub("annotations") != old.sub("metadata").sub("annotations") {
        let (new, old): (Map, Map) = (of(pod), of(old));
        for (key, value) in old.iter().filter(|(key, value)| new.get(key) != Some(value)) {
            let _ = value;
            if key.starts_with(APP_ARMOR) {
                e.push(FieldError::forbidden(p.key(key), "may not remove or update AppArmor annotations"));
            }
            if key == MIRROR {
                let detail = "may not remove or update mirror pod annotation";
                e.push(FieldError::forbidden(p.key(key), detail));
            }
        }
        for key in new.keys().filter(|key| !old.contains_key(key)) {
            if key.starts_with(APP_ARMOR) {
                e.push(FieldError::forbidden(p.key(key), "may not add AppArmor annotations"));
            }
            if key == MIRROR {
                e.push(FieldError::forbidden(p.key(key), "may not add mirror pod annotation"));
            }
        }
    }
    annotations(e, p, pod.sub("metadata"), pod.sub("spec"));
}

/// Whether the containers can be compared one by one.
fn container_updates(e: &mut Errors, p: FieldPath<'_>, new: &[Value], old: &[Value]) -> bool {
    if new.len() != old.len() {
        e.push(FieldError::forbidden(p, "pod updates may not add or remove containers"));
        return false;
    }
    for (i, container) in new.iter().enumerate() {
        if container.s("image").is_empty() {
            e.push(FieldError::required(p.index(i).child("image"), ""));
        }
        super::container::image_whitespace(e, p.index(i), container);
    }
    true
}

/// A deadline may be set, and then only come nearer.
fn deadline_update(e: &mut Errors, p: FieldPath<'_>, spec: &Value, old: &Value) -> bool {
    match (spec.opt_num("activeDeadlineSeconds"), old.opt_num("activeDeadlineSeconds")) {
        (Some(new), _) if !(0..=MAX_INT32).contains(&new) => {
            e.push(FieldError::invalid(p, new, inclusive_range_error(0, MAX_INT32)));
            return false;
        }
        (Some(new), Some(old)) if old < new => {
            e.push(FieldError::invalid(p, new, "must be less than or equal to previous value"));
            return false;
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            e.push(FieldError::invalid(p, Value::Null, detail));
        }
        _ => {}
    }
    true
}

fn added_tolerations(e: &mut Errors, p: FieldPath<'_>, new: &[Value], old: &[Value]) {
    let without_seconds = |t: &Value| {
        let mut t = t.clone();
        top(&mut t).remove("tolerationSeconds");
        t.to_json()
    };
    let kept: Seen<String> = new.iter().map(without_seconds).collect();
    for toleration in old {
        if !kept.has(&without_seconds(toleration)) {
            let detail = "existing toleration can not be modified except its tolerationSeconds";
            e.push(FieldError::forbidden(p, detail));
            return;
        }
    }
    scheduling::tolerations(e, p, new);
}

fn lifted_gates(e: &mut Errors, p: FieldPath<'_>, new: &[Value], old: &[Value]) {
    let old: Seen<_> = old.iter().map(|g| g.s("name")).collect();
    for (i, gate) in new.iter().enumerate() {
        let name = gate.s("name");
        if !old.has(&name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            e.push(FieldError::forbidden(p.index(i).child("name"), detail));
        }
    }
}

/// Through `ephemeralcontainers` nothing else of a pod can be changed.
pub fn prepare_ephemeral_containers(pod: &mut Value, old: &Value, _: &Params<'_>) {
    let added = pod.sub("spec").opt("ephemeralContainers").cloned();
    restore(pod, old, "spec");
    restore(pod, old, "status");
    restore_metadata(pod, old);
    let spec = crate::look::spec_mut(pod);
    match added {
        Some(added) => spec.insert("ephemeralContainers", added),
        None => spec.remove("ephemeralContainers"),
    };
    raise_generation(pod, old);
}

/// The metadata that endpoints of parts leave alone.
pub(crate) fn restore_metadata(new: &mut Value, old: &Value) {
    let old_meta = old.sub("metadata");
    let meta = top(new).object_mut("metadata");
    for field in [
        "deletionTimestamp",
        "generation",
        "selfLink",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
    ] {
        match old_meta.opt(field) {
            Some(value) => meta.insert(field, value.clone()),
            None => meta.remove(field),
        };
    }
}

/// What is wrong with a change of ephemeral containers: they can be added only.
pub fn validate_ephemeral_containers_update(pod: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    meta_and_spec(&mut e, pod);
    annotation_updates(&mut e, pod, old);
    if crate::look::annotation(old.sub("metadata"), MIRROR).is_some() {
        return vec![FieldError::forbidden("", "static pods do not support ephemeral containers")];
    }
    let p = FieldPath::field("spec");
    let p = p.child("ephemeralContainers");
    let new = pod.sub("spec").list("ephemeralContainers");
    for container in old.sub("spec").list("ephemeralContainers") {
        let name = container.s("name");
        match new.iter().find(|c| c.s("name") == name) {
            None => {
                let detail = format!("existing ephemeral containers {name:?} may not be removed\n");
                e.push(FieldError::forbidden(p, detail));
            }
            Some(changed) if !same(changed, container) => {
                let shown = diff("core.EphemeralContainer", container, changed);
                let detail = format!("existing ephemeral containers {name:?} may not be changed\n{shown}");
                e.push(FieldError::forbidden(p, detail));
            }
            Some(_) => {}
        }
    }
    e
}
