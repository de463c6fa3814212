//! Pods: what the server makes of them when they are created, and what may become of them later.

pub(crate) mod affinity;
pub(crate) mod annotations;
pub(crate) mod container;
pub(crate) mod defaults;
pub(crate) mod env;
pub(crate) mod mount;
pub(crate) mod paths;
pub(crate) mod probe;
pub(crate) mod projected;
mod qos;
pub(crate) mod resize;
pub(crate) mod resources;
pub(crate) mod scheduling;
pub(crate) mod security;
pub(crate) mod spec;
pub(crate) mod status;
pub(crate) mod update;
pub(crate) mod volume;
pub(crate) mod volume_source;
pub(crate) mod warnings;
pub(crate) mod windows;

use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::look::{Errors, Look, bump_generation, object, restore, same, set_generation, strings, top};
use crate::{KindRules, Params, PartRules};

pub use defaults::default_pod;
pub use qos::{current_qos_class, qos_class};
pub use resize::{prepare_pod_resize, validate_pod_resize};
pub use status::{prepare_pod_status, validate_pod_status_update};
pub use update::{prepare_ephemeral_containers, validate_ephemeral_containers_update, validate_pod_update};
pub use warnings::pod_warnings;

/// The rules of pods.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_pod),
    prepare_create: Some(prepare_pod_for_create),
    prepare_update: Some(prepare_pod_for_update),
    validate: Some(validate_pod),
    validate_update: Some(validate_pod_update),
    warnings: Some(pod_warnings),
    status: Some(PartRules {
        prepare_update: prepare_pod_status,
        validate_update: Some(validate_pod_status_update),
        reset_fields: &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]],
    }),
    parts: &[
        (
            "ephemeralcontainers",
            PartRules {
                prepare_update: prepare_ephemeral_containers,
                validate_update: Some(validate_ephemeral_containers_update),
                reset_fields: &[&["status"]],
            },
        ),
        (
            "resize",
            PartRules {
                prepare_update: prepare_pod_resize,
                validate_update: Some(validate_pod_resize),
                reset_fields: &[&["status"]],
            },
        ),
    ],
    reset_fields: crate::rules::STATUS,
    delete_returns_object: true,
    grace_period: Some(pod_grace_period),
    ..KindRules::PLAIN
};

/// A new pod is pending; with scheduling gates it says that it waits for them.
pub fn prepare_pod_for_create(pod: &mut Value, params: &Params<'_>) {
    set_generation(pod, 1);
    let class = qos_class(pod);
    let gated = !pod.sub("spec").list("schedulingGates").is_empty();
    let mut status = Map::new();
    status.insert("phase", "Pending");
    status.insert("qosClass", class);
    if gated {
        status.insert(
            "conditions",
            vec![object([
                ("type", "PodScheduled".into()),
                ("status", "False".into()),
                ("lastTransitionTime", sampan_model::time::format_time(params.now).into()),
                ("reason", "SchedulingGated".into()),
                ("message", "Scheduling is blocked due to non-empty scheduling gates".into()),
            ])],
        );
    }
    top(pod).insert("status", status);
    label_keys_to_selectors(pod);
}

/// `matchLabelKeys` become requirements of the selector beside them, with the pod's own values (KEP-3633, KEP-3243).
fn label_keys_to_selectors(pod: &mut Value) {
    let spec = pod.sub("spec");
    if spec.list("topologySpreadConstraints").is_empty() && !spec.has("affinity") {
        return;
    }
    let labels = pod.sub("metadata").map("labels").cloned().unwrap_or_default();
    let Some(spec) = top(pod).get_mut("spec").and_then(Value::as_object_mut) else { return };
    for constraint in crate::look::items_mut(spec, "topologySpreadConstraints") {
        add_requirements(constraint, "matchLabelKeys", "In", &labels);
    }
    let Some(affinity) = spec.get_mut("affinity").and_then(Value::as_object_mut) else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(terms) = affinity.get_mut(kind).and_then(Value::as_object_mut) else { continue };
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for term in crate::look::items_mut(terms, required) {
            add_requirements(term, "matchLabelKeys", "In", &labels);
            add_requirements(term, "mismatchLabelKeys", "NotIn", &labels);
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for weighted in crate::look::items_mut(terms, preferred) {
            if let Some(term) = weighted.get_mut("podAffinityTerm").and_then(Value::as_object_mut) {
                add_requirements(term, "matchLabelKeys", "In", &labels);
                add_requirements(term, "mismatchLabelKeys", "NotIn", &labels);
            }
        }
    }
}

fn add_requirements(holder: &mut Map, field: &str, operator: &str, labels: &Map) {
    let keys: Vec<String> = strings(holder.list(field)).map(str::to_owned).collect();
    if keys.is_empty() {
        return;
    }
    let Some(selector) = holder.get_mut("labelSelector").and_then(Value::as_object_mut) else { return };
    for key in keys {
        let Some(value) = labels.get(&key).cloned() else { continue };
        let requirement = object([
            ("key", key.into()),
            ("operator", operator.into()),
            ("values", Value::Array(vec![value])),
        ]);
        let list = selector.get_or_insert_with("matchExpressions", || Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(requirement);
        }
    }
}

/// A client that writes a pod does not touch its status.
pub fn prepare_pod_for_update(pod: &mut Value, old: &Value, _: &Params<'_>) {
    restore(pod, old, "status");
    raise_generation(pod, old);
}

/// Raises the generation when the spec changed.
pub(crate) fn raise_generation(pod: &mut Value, old: &Value) {
    let changed = !same(pod.sub("spec"), old.sub("spec"));
    bump_generation(pod, old, changed);
}

/// What is wrong with a new pod.
pub fn validate_pod(pod: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (meta, spec) = (pod.sub("metadata"), pod.sub("spec"));
    meta_and_spec(&mut e, pod);
    let p = FieldPath::field("spec");
    if !spec.list("ephemeralContainers").is_empty() {
        e.push(FieldError::forbidden(p.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !spec.s("nodeName").is_empty() && !spec.list("schedulingGates").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        e.push(FieldError::forbidden(p.child("nodeName"), detail));
    }
    annotations::match_fields(&mut e, p, meta, spec);
    e
}

/// What holds for a pod at any time.
pub(crate) fn meta_and_spec(e: &mut Errors, pod: &Value) {
    let (meta, spec) = (pod.sub("metadata"), pod.sub("spec"));
    let p = FieldPath::field("spec");
    let meta_at = FieldPath::field("metadata");
    annotations::annotations(e, meta_at.child("annotations"), meta, spec);
    spec::pod_spec(e, p, spec, volume::VolumeContext { pod_name: meta.s("name"), is_pod: true });
    if spec.s("serviceAccountName").is_empty() {
        for (i, volume) in spec.list("volumes").iter().enumerate() {
            for (j, source) in volume.sub("projected").list("sources").iter().enumerate() {
                if source.has("serviceAccountToken") {
                    let p = p.child("volumes");
                    let p = p.index(i);
                    let p = p.child("projected");
                    let p = p.child("sources");
                    let p = p.index(j);
                    let detail = "must not be specified when serviceAccountName is not set";
                    e.push(FieldError::forbidden(p.child("serviceAccountToken"), detail));
                }
            }
        }
    }
    for field in ["containers", "initContainers"] {
        for (i, container) in spec.list(field).iter().enumerate() {
            container::image_whitespace(e, p.child(field).index(i), container);
        }
    }
}

/// Shows each container of a pod spec with its place.
pub(crate) fn visit_containers<'a>(
    spec: &'a Value,
    p: FieldPath<'_>,
    visit: &mut dyn FnMut(&'a Value, FieldPath<'_>),
) {
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in spec.list(field).iter().enumerate() {
            visit(container, p.child(field).index(i));
        }
    }
}

/// Seconds of grace that a deletion gives a pod: none while it is nowhere, or when it has ended.
pub fn pod_grace_period(pod: &Value, requested: Option<i64>) -> i64 {
    let (spec, status) = (pod.sub("spec"), pod.sub("status"));
    if spec.s("nodeName").is_empty() || matches!(status.s("phase"), "Failed" | "Succeeded") {
        return 0;
    }
    let period = requested.or_else(|| spec.opt_num("terminationGracePeriodSeconds")).unwrap_or(0);
    if period < 0 { 1 } else { period }
}
