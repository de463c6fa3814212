//! Affinity: towards nodes, towards other pods and away from them; and the node selectors that volumes share.

use sampan_model::name::{is_valid_label_value, name_is_dns_label, name_is_dns_subdomain};
use sampan_model::{FieldError, FieldPath, Value};

use crate::look::{Errors, Look, complain, strings};
use crate::selector::{label_name, label_selector};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// `spec.affinity`
pub(crate) fn affinity(e: &mut Errors, p: FieldPath<'_>, affinity: &Value) {
    if let Some(node) = affinity.opt("nodeAffinity") {
        let p = p.child("nodeAffinity");
        if let Some(selector) = node.opt(REQUIRED) {
            node_selector(e, p.child(REQUIRED), selector);
        }
        for (i, term) in node.list(PREFERRED).iter().enumerate() {
            let p = p.child(PREFERRED);
            let p = p.index(i);
            weight(e, p, term);
            // Values that are no labels have always been let pass here.
            node_selector_term(e, p.child("preference"), term.sub("preference"), false);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pod) = affinity.opt(kind) else { continue };
        let p = p.child(kind);
        for (i, term) in pod.list(REQUIRED).iter().enumerate() {
            pod_term(e, p.child(REQUIRED).index(i), term);
        }
        for (i, term) in pod.list(PREFERRED).iter().enumerate() {
            let p = p.child(PREFERRED);
            let p = p.index(i);
            weight(e, p, term);
            pod_term(e, p.child("podAffinityTerm"), term.sub("podAffinityTerm"));
        }
    }
}

fn weight(e: &mut Errors, p: FieldPath<'_>, term: &Value) {
    let weight = term.num("weight");
    if !(1..=100).contains(&weight) {
        e.push(FieldError::invalid(p.child("weight"), weight, "must be in the range 1-100"));
    }
}

/// A `NodeSelector`.
pub(crate) fn node_selector(e: &mut Errors, p: FieldPath<'_>, selector: &Value) {
    let p = p.child("nodeSelectorTerms");
    let terms = selector.list("nodeSelectorTerms");
    if terms.is_empty() {
        e.push(FieldError::required(p, "must have at least one node selector term"));
    }
    for (i, term) in terms.iter().enumerate() {
        node_selector_term(e, p.index(i), term, true);
    }
}

fn node_selector_term(e: &mut Errors, p: FieldPath<'_>, term: &Value, check_values: bool) {
    for (i, requirement) in term.list("matchExpressions").iter().enumerate() {
        node_requirement(e, p.child("matchExpressions").index(i), requirement, check_values);
    }
    for (i, requirement) in term.list("matchFields").iter().enumerate() {
        field_requirement(e, p.child("matchFields").index(i), requirement);
    }
}

fn node_requirement(e: &mut Errors, p: FieldPath<'_>, requirement: &Value, check_values: bool) {
    let values = requirement.list("values");
    match requirement.s("operator") {
        "In" | "NotIn" if values.is_empty() => e.push(FieldError::required(
            p.child("values"),
            "must be specified when `operator` is 'In' or 'NotIn'",
        )),
        "Exists" | "DoesNotExist" if !values.is_empty() => e.push(FieldError::forbidden(
            p.child("values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        )),
        "Gt" | "Lt" if values.len() != 1 => e.push(FieldError::required(
            p.child("values"),
            "must be specified single value when `operator` is 'Lt' or 'Gt'",
        )),
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => e.push(FieldError::invalid(p.child("operator"), other, "not a valid selector operator")),
    }
    label_name(e, p.child("key"), requirement.s("key"));
    if check_values {
        for (i, value) in strings(values).enumerate() {
            complain(e, p.child("values").index(i), value, is_valid_label_value(value));
        }
    }
}

fn field_requirement(e: &mut Errors, p: FieldPath<'_>, requirement: &Value) {
    let values = requirement.list("values");
    match requirement.s("operator") {
        "In" | "NotIn" => {
            if values.len() != 1 {
                let detail =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                e.push(FieldError::required(p.child("values"), detail));
            }
        }
        other => e.push(FieldError::invalid(p.child("operator"), other, "not a valid selector operator")),
    }
    let key = requirement.s("key");
    if key == "metadata.name" {
        for (i, value) in strings(values).enumerate() {
            complain(e, p.child("values").index(i), value, name_is_dns_subdomain(value, false));
        }
    } else {
        e.push(FieldError::invalid(p.child("key"), key, "not a valid field selector key"));
    }
}

fn pod_term(e: &mut Errors, p: FieldPath<'_>, term: &Value) {
    label_selector(e, p.child("labelSelector"), term.sub("labelSelector"));
    label_selector(e, p.child("namespaceSelector"), term.sub("namespaceSelector"));
    for namespace in strings(term.list("namespaces")) {
        complain(e, p.child("namespace"), namespace, name_is_dns_label(namespace, false));
    }
    label_keys(e, p, term);
    let key = term.s("topologyKey");
    if key.is_empty() {
        e.push(FieldError::required(p.child("topologyKey"), "can not be empty"));
    }
    label_name(e, p.child("topologyKey"), key);
}

/// `matchLabelKeys` and `mismatchLabelKeys` (KEP-3633).
fn label_keys(e: &mut Errors, p: FieldPath<'_>, term: &Value) {
    let selector = term.opt("labelSelector");
    let (matching, mismatching) = (term.list("matchLabelKeys"), term.list("mismatchLabelKeys"));
    for (field, keys) in [("matchLabelKeys", matching), ("mismatchLabelKeys", mismatching)] {
        if !keys.is_empty() && selector.is_none() {
            let detail = "must not be specified when labelSelector is not set";
            e.push(FieldError::forbidden(p.child(field), detail));
            continue;
        }
        for (i, key) in strings(keys).enumerate() {
            label_name(e, p.child(field).index(i), key);
        }
    }
    if let Some(selector) = selector
        && !matching.is_empty()
    {
        let mut seen: Vec<&str> = selector.entries("matchLabels").map(|(key, _)| key).collect();
        for expression in selector.list("matchExpressions") {
            let key = expression.s("key");
            if let Some(i) = strings(matching).position(|k| k == key)
                && seen.contains(&key)
            {
                let detail = "exists in both matchLabelKeys and labelSelector";
                e.push(FieldError::invalid(p.index(i), key, detail));
            }
            seen.push(key);
        }
    }
    for (i, key) in strings(matching).enumerate() {
        if strings(mismatching).any(|other| other == key) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            e.push(FieldError::invalid(p.child("matchLabelKeys").index(i), key, detail));
        }
    }
}
