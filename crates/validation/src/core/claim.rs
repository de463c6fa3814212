//! Persistent volume claims: what is asked for, and what may change of it later.

use sampan_model::name::{is_dns1123_subdomain, is_qualified_name, name_is_dns_label, name_is_dns_subdomain};
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::pod::volume_source::access_modes;
use super::resource_name::is_native;
use crate::amount::{basic_resource, is_fractional, positive_quantity, quantity, resource_quantity};
use crate::diff::diff;
use crate::look::{
    Errors, Look, Put, annotation, complain, immutable, not_supported, one_of, restore, same, spec_mut, top,
};
use crate::selector::{self, label_selector};
use crate::{KindRules, Params, PartRules};

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The rules of claims.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_claim),
    prepare_create: Some(prepare_claim_for_create),
    prepare_update: Some(prepare_claim_for_update),
    validate: Some(validate_claim),
    validate_update: Some(validate_claim_update),
    warnings: Some(claim_warnings),
    status: Some(PartRules {
        prepare_update: prepare_claim_status,
        validate_update: Some(validate_claim_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// Sets a claim's defaults.
pub fn default_claim(claim: &mut Value) {
    top(claim).object_mut("status").default_to("phase", "Pending");
    default_claim_spec(spec_mut(claim));
}

/// Defaults of a claim's spec wherever it stands.
pub(crate) fn default_claim_spec(spec: &mut Map) {
    spec.default_ptr("volumeMode", "Filesystem");
}

/// A source of data may be named by either of two fields, which then agree (KEP-1495).
fn normalize_data_sources(spec: &mut Map) {
    if let (Some(reference), false) = (spec.opt("dataSourceRef").cloned(), spec.has("dataSource")) {
        let local = reference.s("namespace").is_empty();
        if local {
            spec.insert("dataSource", reference);
        }
    } else if let (Some(source), false) = (spec.opt("dataSource").cloned(), spec.has("dataSourceRef")) {
        spec.insert("dataSourceRef", source);
    }
}

/// A new claim is pending.
pub fn prepare_claim_for_create(claim: &mut Value, _: &Params<'_>) {
    let mut status = Map::new();
    status.insert("phase", "Pending");
    top(claim).insert("status", status);
    let spec = spec_mut(claim);
    // Of a source that no provisioner can know nothing is kept.
    if spec.opt("dataSource").is_some_and(|s| !data_source_known(s)) {
        spec.remove("dataSource");
    }
    normalize_data_sources(spec);
}

fn data_source_known(source: &Value) -> bool {
    let (group, kind) = (source.s("apiGroup"), source.s("kind"));
    kind.is_empty()
        || (group.is_empty() && kind == "PersistentVolumeClaim")
        || (group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot")
}

/// A client that writes a claim does not touch its status.
pub fn prepare_claim_for_update(claim: &mut Value, old: &Value, _: &Params<'_>) {
    restore(claim, old, "status");
    normalize_data_sources(spec_mut(claim));
}

/// Through `status` only the status changes.
pub fn prepare_claim_status(claim: &mut Value, old: &Value, _: &Params<'_>) {
    restore(claim, old, "spec");
}

/// What is wrong with a claim.
pub fn validate_claim(claim: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    claim_spec(&mut e, FieldPath::field("spec"), claim.sub("spec"));
    e
}

/// Checks a claim's spec.
pub(crate) fn claim_spec(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let modes = spec.list("accessModes");
    if modes.is_empty() {
        e.push(FieldError::required(p.child("accessModes"), "at least 1 access mode is required"));
    }
    label_selector(e, p.child("selector"), spec.sub("selector"));
    access_modes(e, p.child("accessModes"), modes);
    let at = p.child("resources");
    match spec.sub("resources").sub("requests").opt("storage") {
        None => e.push(FieldError::required(at.key("storage"), "")),
        Some(storage) => positive_quantity(e, at.key("storage"), storage),
    }
    let class = |e: &mut Errors, field: &str| {
        let name = spec.s(field);
        if !name.is_empty() {
            complain(e, p.child(field), name, name_is_dns_subdomain(name, false));
        }
    };
    class(e, "storageClassName");
    one_of(e, p.child("volumeMode"), spec.opt_s("volumeMode"), &["Block", "Filesystem"]);
    data_source(e, p, spec);
    class(e, "volumeAttributesClassName");
}

fn data_source(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let (source, reference) = (spec.opt("dataSource"), spec.opt("dataSourceRef"));
    for (field, source) in [("dataSource", source), ("dataSourceRef", reference)] {
        let Some(source) = source else { continue };
        let p = p.child(field);
        for field in ["name", "kind"] {
            if source.s(field).is_empty() {
                e.push(FieldError::required(p.child(field), ""));
            }
        }
        let group = source.s("apiGroup");
        if group.is_empty() {
            if source.s("kind") != "PersistentVolumeClaim" {
                let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
                e.push(FieldError::invalid(p, source.s("kind"), detail));
            }
        } else {
            complain(e, p.child("apiGroup"), group, is_dns1123_subdomain(group));
        }
        let namespace = source.s("namespace");
        if field == "dataSourceRef" && !namespace.is_empty() {
            complain(e, p.child("namespace"), namespace, name_is_dns_label(namespace, false));
        }
    }
    let (Some(source), Some(reference)) = (source, reference) else { return };
    let shown = p.child("dataSource").to_string();
    if !reference.s("namespace").is_empty() {
        let detail = "may not be specified when dataSourceRef.namespace is specified";
        e.push(FieldError::invalid(p, shown, detail));
    } else if ["apiGroup", "kind", "name"].iter().any(|f| source.s(f) != reference.s(f)) {
        e.push(FieldError::invalid(p, shown, "must match dataSourceRef"));
    }
}

/// The template of a claim that a pod's ephemeral volume makes.
pub(crate) fn template(e: &mut Errors, p: FieldPath<'_>, template: &Value) {
    let meta = template.sub("metadata");
    let at = p.child("metadata");
    selector::annotations(e, at.child("annotations"), meta.sub("annotations"));
    selector::labels(e, at.child("labels"), meta.sub("labels"));
    for (field, value) in meta.as_object().into_iter().flat_map(Map::iter) {
        if !matches!(field.as_str(), "annotations" | "labels") && !value.is_empty() {
            e.push(FieldError::forbidden(at.child(field), "cannot be set"));
        }
    }
    claim_spec(e, p.child("spec"), template.sub("spec"));
}

/// What is wrong with a change of a claim.
pub fn validate_claim_update(claim: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_claim(claim);
    let (spec, old_spec) = (claim.sub("spec"), old.sub("spec"));
    let (mut munged, mut before) = (spec.clone(), old_spec.clone());
    if old_spec.s("volumeName").is_empty() {
        restore(&mut before, spec, "volumeName");
    }
    let (class, old_class) = (spec.opt_s("storageClassName"), old_spec.opt_s("storageClassName"));
    let beta = annotation(claim.sub("metadata"), BETA_CLASS);
    let old_beta = annotation(old.sub("metadata"), BETA_CLASS);
    let upgraded = old_beta.is_some()
        && old_class.is_none()
        && class == old_beta
        && (beta.is_none() || beta == old_beta);
    if upgraded {
        top(&mut munged).remove("storageClassName");
    } else {
        if beta.unwrap_or("") != old_beta.unwrap_or("") {
            let p = FieldPath::field("metadata");
            let p = p.child("annotations");
            let detail = crate::look::IMMUTABLE;
            e.push(FieldError::invalid(p.child(BETA_CLASS), beta.unwrap_or(""), detail));
        }
        if class.is_some() && old_class.is_none() && (old_beta.is_none() || class == old_beta) {
            restore(&mut munged, old_spec, "storageClassName");
        }
    }
    let storage = |spec: &Value| spec.sub("resources").sub("requests").sub("storage").clone();
    if claim.sub("status").s("phase") == "Bound" {
        if let Some(requests) = top(&mut munged).object_mut("resources").get_mut("requests") {
            restore(requests, old_spec.sub("resources").sub("requests"), "storage");
        }
        if spec.has("volumeAttributesClassName") {
            restore(&mut munged, old_spec, "volumeAttributesClassName");
        }
    }
    if !same(&munged, &before) {
        let shown = diff("core.PersistentVolumeClaimSpec", &before, &munged);
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{shown}"
        );
        e.push(FieldError::forbidden("spec", detail));
    }
    let new_size = quantity(&storage(spec));
    if new_size < quantity(&storage(old_spec))
        && new_size <= quantity(old.sub("status").sub("capacity").sub("storage"))
    {
        let detail = "field can not be less than status.capacity";
        e.push(FieldError::forbidden("spec.resources.requests.storage", detail));
    }
    immutable(&mut e, FieldPath::field("volumeMode"), spec.sub("volumeMode"), old_spec.sub("volumeMode"));
    if old_spec.has("volumeAttributesClassName") {
        let p = "spec.volumeAttributesClassName";
        match spec.opt_s("volumeAttributesClassName") {
            None => e.push(FieldError::forbidden(p, "update from non-nil value to nil is forbidden")),
            Some("") if !old_spec.s("volumeAttributesClassName").is_empty() => {
                let detail = "update from non-nil value to an empty string is forbidden";
                e.push(FieldError::forbidden(p, detail));
            }
            Some(_) => {}
        }
    }
    e
}

/// What is wrong with a change of a claim's status.
pub fn validate_claim_status_update(claim: &Value, _: &Value) -> Vec<FieldError> {
    const STATES: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let mut e = Errors::new();
    if claim.sub("spec").list("accessModes").is_empty() {
        e.push(FieldError::required("Spec.accessModes", ""));
    }
    let (status, p) = (claim.sub("status"), FieldPath::field("status"));
    for (name, amount) in status.entries("capacity") {
        basic_resource(&mut e, p.child("capacity").key(name), amount);
    }
    for (name, state) in status.entries("allocatedResourceStatuses") {
        let p = p.child("allocatedResourceStatus");
        resource_key(&mut e, p, name);
        if !STATES.contains(&state.as_str().unwrap_or("")) {
            e.push(not_supported(p, name, &STATES));
        }
    }
    for (name, amount) in status.entries("allocatedResources") {
        let p = p.child("allocatedResources");
        let before = e.len();
        resource_key(&mut e, p, name);
        if e.len() > before {
            continue;
        }
        basic_resource(&mut e, p.key(name), amount);
        if e.len() == before {
            resource_quantity(&mut e, p.key(name), "storage", amount);
        }
    }
    e
}

fn resource_key(e: &mut Errors, p: FieldPath<'_>, name: &str) {
    let complaints = is_qualified_name(name);
    if complaints.is_empty() && is_native(name) && name != "storage" {
        e.push(not_supported(p, name, &["storage"]));
    }
    complain(e, p, name, complaints);
}

/// Warnings about a claim.
pub fn claim_warnings(claim: &Value, _: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    storage_warnings(&mut w, FieldPath::field("spec"), claim.sub("spec"));
    w
}

/// Warnings about what a claim asks for.
pub(crate) fn storage_warnings(w: &mut Vec<String>, p: FieldPath<'_>, spec: &Value) {
    for part in ["requests", "limits"] {
        let amount = spec.sub("resources").sub(part).sub("storage");
        if !amount.is_null() && is_fractional(quantity(amount)) {
            let at = p.child("resources");
            let at = at.child(part);
            let shown = amount.as_str().unwrap_or("");
            w.push(format!(
                "{}: fractional byte value {shown:?} is invalid, must be an integer",
                at.key("storage")
            ));
        }
    }
}
