//! Nodes: their taints, the ranges of their pods, and what they have.

use std::net::IpAddr;

use sampan_model::name::{is_cidr_for_legacy_field, is_valid_label_value, parse_cidr_sloppy};
use sampan_model::{FieldError, FieldPath, Value};

use super::pod::scheduling::EFFECTS;
use crate::amount::resource_quantity;
use crate::look::{Errors, Look, Put, not_supported, restore, spec_mut, strings, top};
use crate::seen::Seen;
use crate::selector::label_name;
use crate::{KindRules, Params, PartRules};

/// What a status always says of its node, if only that it is not known.
const INFO: [&str; 10] = [
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
];

/// The rules of nodes.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_node),
    prepare_update: Some(prepare_node_for_update),
    validate: Some(validate_node),
    validate_update: Some(validate_node_update),
    warnings: Some(node_warnings),
    status: Some(PartRules {
        prepare_update: prepare_node_status,
        validate_update: Some(validate_node_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// What a node can give is what it has, unless it says otherwise; the one range of pods and the list agree.
pub fn default_node(node: &mut Value) {
    let status = top(node).object_mut("status");
    let endpoints = status.object_mut("daemonEndpoints");
    endpoints.object_mut("kubeletEndpoint").default_ptr("Port", 0);
    let info = status.object_mut("nodeInfo");
    for field in INFO {
        info.default_ptr(field, "");
    }
    if !status.has("allocatable")
        && let Some(capacity) = status.opt("capacity").cloned()
    {
        status.insert("allocatable", capacity);
    }
    let spec = spec_mut(node);
    let (one, list) = (spec.s("podCIDR").to_owned(), spec.list("podCIDRs").to_vec());
    match list.first().and_then(Value::as_str) {
        None if !one.is_empty() => {
            spec.insert("podCIDRs", vec![one]);
        }
        Some(first) => {
            // The list is the field that counts.
            if one.is_empty() {
                spec.insert("podCIDR", first);
            } else if one != first {
                spec.insert("podCIDRs", vec![one]);
            }
        }
        None => {}
    }
}

/// Status has an endpoint of its own. A new node keeps the status that it comes with.
pub fn prepare_node_for_update(new: &mut Value, old: &Value, _: &Params<'_>) {
    restore(new, old, "status");
}

/// Through `status` only the status changes.
pub fn prepare_node_status(new: &mut Value, old: &Value, _: &Params<'_>) {
    restore(new, old, "spec");
}

/// What is wrong with a new node.
pub fn validate_node(node: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let meta_at = FieldPath::field("metadata");
    let spec = node.sub("spec");
    taints(&mut e, meta_at.child("taints"), spec.list("taints"));
    resources(&mut e, node);
    let spec_at = FieldPath::field("spec");
    let p = spec_at.child("podCIDRs");
    let ranges = spec.list("podCIDRs");
    for (i, range) in strings(ranges).enumerate() {
        e.append(&mut is_cidr_for_legacy_field(&p.index(i), range, false, &[]));
    }
    if ranges.len() > 1 {
        let families: Vec<bool> = strings(ranges)
            .filter_map(parse_cidr_sloppy)
            .map(|(ip, _)| matches!(ip, IpAddr::V4(_)))
            .collect();
        if families.len() < ranges.len() {
            let detail = "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDRs";
            e.push(FieldError::internal(p, detail));
        }
        if !(families.contains(&true) && families.contains(&false)) || ranges.len() > 2 {
            let detail = "may specify no more than one CIDR for each IP family";
            e.push(FieldError::invalid(p, ranges.to_vec(), detail));
        }
        let mut seen = Seen::default();
        for (i, range) in ranges.iter().enumerate() {
            if seen.again(range.to_json()) {
                e.push(FieldError::duplicate(p.index(i), range.clone()));
            }
        }
    }
    e
}

fn resources(e: &mut Errors, node: &Value) {
    let p = FieldPath::field("status");
    for part in ["capacity", "allocatable"] {
        for (name, amount) in node.sub("status").entries(part) {
            resource_quantity(e, p.child(part).child(name), name, amount);
        }
    }
}

fn taints(e: &mut Errors, p: FieldPath<'_>, taints: &[Value]) {
    let mut seen = Seen::default();
    for (i, taint) in taints.iter().enumerate() {
        let p = p.index(i);
        let (key, effect) = (taint.s("key"), taint.s("effect"));
        label_name(e, p.child("key"), key);
        let complaints = is_valid_label_value(taint.s("value"));
        if !complaints.is_empty() {
            e.push(FieldError::invalid(p.child("value"), taint.s("value"), complaints.join(";")));
        }
        if effect.is_empty() {
            e.push(FieldError::required(p.child("effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            e.push(not_supported(p.child("effect"), effect, &EFFECTS));
        }
        if seen.again((key, effect)) {
            let shown = crate::look::go_struct_text([
                ("Key", key.into()),
                ("Value", taint.s("value").into()),
                ("Effect", effect.into()),
                ("TimeAdded", taint.sub("timeAdded").clone()),
            ]);
            let mut error = FieldError::duplicate(p, Value::Null).showing(shown);
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            e.push(error);
        }
    }
}

/// What is wrong with a change of a node or of its status.
pub fn validate_node_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    resources(&mut e, new);
    let p = FieldPath::field("status");
    let addresses = new.sub("status").list("addresses");
    let mut seen = Seen::default();
    for (i, address) in addresses.iter().enumerate() {
        if seen.again(address.to_json()) {
            e.push(FieldError::duplicate(p.child("addresses").index(i), address.clone()));
        }
    }
    let p = FieldPath::field("spec");
    let (spec, old_spec) = (new.sub("spec"), old.sub("spec"));
    let (ranges, old_ranges) = (spec.list("podCIDRs"), old_spec.list("podCIDRs"));
    if !old_ranges.is_empty() {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        let changed = if ranges.len() == old_ranges.len() {
            ranges.iter().zip(old_ranges).filter(|(a, b)| a != b).count()
        } else {
            1
        };
        for _ in 0..changed {
            e.push(FieldError::forbidden(p.child("podCIDRs"), detail));
        }
    }
    let provider = old_spec.s("providerID");
    if !provider.is_empty() && provider != spec.s("providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        e.push(FieldError::forbidden(p.child("providerID"), detail));
    }
    let meta_at = FieldPath::field("metadata");
    taints(&mut e, meta_at.child("taints"), spec.list("taints"));
    if spec.s("externalID") != old_spec.s("externalID") {
        e.push(FieldError::forbidden(p.child("externalID"), "may not be updated"));
    }
    e
}

/// Warnings about a node.
pub fn node_warnings(node: &Value, _: Option<&Value>) -> Vec<String> {
    let spec = node.sub("spec");
    let mut w = Vec::new();
    if spec.has("configSource") {
        w.push("spec.configSource: the feature is no longer supported".to_owned());
    }
    if !spec.s("externalID").is_empty() {
        w.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let p = FieldPath::field("spec");
    let p = p.child("podCIDRs");
    for (i, range) in strings(spec.list("podCIDRs")).enumerate() {
        w.append(&mut sampan_model::name::cidr_warnings(&p.index(i), range));
    }
    w
}
