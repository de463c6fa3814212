//! Changing what running containers may use (KEP-1287).

use sampan_model::{FieldError, FieldPath, Map, Value};

use super::annotations::MIRROR;
use super::resources::is_sidecar;
use super::update::restore_metadata;
use super::{current_qos_class, meta_and_spec, qos_class, raise_generation};
use crate::Params;
use crate::look::{Errors, Look, items_mut, restore, same, spec_mut, top};

/// Through `resize` only resources and resize policies can be changed. Containers that do not pair with the old
/// ones are left for validation to refuse.
pub fn prepare_pod_resize(pod: &mut Value, old: &Value, _: &Params<'_>) {
    let old_spec = old.sub("spec");
    let paired = ["containers", "initContainers"].iter().all(|field| {
        let (new, old) = (pod.sub("spec").list(field), old_spec.list(field));
        new.len() == old.len() && new.iter().zip(old).all(|(n, o)| n.s("name") == o.s("name"))
    });
    if paired {
        let wanted = pod.sub("spec").clone();
        restore(pod, old, "spec");
        restore(pod, old, "status");
        restore_metadata(pod, old);
        let spec = spec_mut(pod);
        for field in ["containers", "initContainers"] {
            for (container, wanted) in items_mut(spec, field).zip(wanted.list(field)) {
                for part in ["resources", "resizePolicy"] {
                    match wanted.opt(part) {
                        Some(value) => container.insert(part, value.clone()),
                        None => container.remove(part),
                    };
                }
            }
        }
    }
    raise_generation(pod, old);
}

/// What is wrong with a resize.
pub fn validate_pod_resize(pod: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    meta_and_spec(&mut e, pod);
    let whole = |pod: &Value| {
        let resources = pod.sub("spec").sub("resources");
        !resources.sub("requests").is_empty() || !resources.sub("limits").is_empty()
    };
    let refused = |detail: &str| vec![FieldError::forbidden("", detail)];
    if whole(old) || whole(pod) {
        return refused("pods with pod-level resources cannot be resized");
    }
    if crate::look::annotation(old.sub("metadata"), MIRROR).is_some() {
        return refused("static pods cannot be resized");
    }
    if old.sub("spec").sub("os").s("name") == "windows" {
        return refused("windows pods cannot be resized");
    }
    let p = FieldPath::field("spec");
    if current_qos_class(old) != qos_class(pod) {
        let shown = pod.sub("status").s("qosClass");
        e.push(FieldError::invalid(p, shown, "Pod QOS Class may not change as a result of resizing"));
    }
    let statuses = old.sub("status").list("containerStatuses");
    if let Some(running) = statuses.iter().find(|s| s.sub("state").has("running"))
        && !running.has("resources")
    {
        e.push(FieldError::forbidden(p, "Pod running on node without support for resize"));
    }
    let (spec, old_spec) = (pod.sub("spec"), old.sub("spec"));
    for field in ["initContainers", "containers"] {
        let pairs = spec.list(field).iter().zip(old_spec.list(field)).enumerate();
        for (i, (new, old)) in pairs {
            if field == "initContainers" && !is_sidecar(old) {
                continue;
            }
            let p = p.child(field);
            let p = p.index(i);
            removed(&mut e, p.child("resources"), new.sub("resources"), old.sub("resources"));
        }
    }
    let before = e.len();
    let mut munged = spec.clone();
    for field in ["containers", "initContainers"] {
        for (container, old) in items_mut(top(&mut munged), field).zip(old_spec.list(field)) {
            let sidecar = container.s("restartPolicy") == "Always";
            if field == "containers" || sidecar {
                keep_cpu_and_memory(container, old);
            }
            if !same(&Value::Object(container.clone()), old) {
                let detail = match (field, sidecar) {
                    ("containers", _) => "only cpu and memory resources are mutable",
                    (_, true) => "only cpu and memory resources for sidecar containers are mutable",
                    _ => "resources for non-sidecar init containers are immutable",
                };
                e.push(FieldError::forbidden(p, detail));
            }
        }
    }
    if e.len() == before && e.is_empty() && !same(&munged, old_spec) {
        e.push(FieldError::forbidden(p, "only cpu and memory resources are mutable"));
    }
    e
}

fn removed(e: &mut Errors, p: FieldPath<'_>, new: &Value, old: &Value) {
    for (part, one) in [("requests", "resource requests"), ("limits", "resource limits")] {
        let gone = old.entries(part).any(|(name, _)| !new.sub(part).has(name));
        if gone {
            e.push(FieldError::forbidden(p.child(part), format!("{one} cannot be removed")));
        }
    }
}

/// Sets what may be resized back, so that all else can be compared.
fn keep_cpu_and_memory(container: &mut Map, old: &Value) {
    let old = old.sub("resources");
    let resources = container.object_mut("resources");
    for part in ["limits", "requests"] {
        let Some(old) = old.map(part) else {
            resources.remove(part);
            continue;
        };
        let amounts = resources.object_mut(part);
        for name in ["cpu", "memory"] {
            match old.get(name) {
                Some(amount) => amounts.insert(name, amount.clone()),
                None => amounts.remove(name),
            };
        }
    }
    if let Some(policy) = old.opt("resizePolicy") {
        container.insert("resizePolicy", policy.clone());
    }
}
