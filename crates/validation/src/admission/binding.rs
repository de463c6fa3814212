//! Bindings of admission policies to parameters and requests.

use sampan_model::name::{name_is_dns_subdomain, name_is_path_segment};
use sampan_model::{FieldError, FieldPath, Value};

use super::matching::match_resources;
use super::policy::default_matching;
use crate::KindRules;
use crate::look::{Errors, Look, complain, not_supported, spec_mut, strings};
use crate::seen::Seen;
use crate::selector::label_selector;
use crate::strategy::{first_generation, spec_generation};

/// The rules of bindings of validating policies.
pub(crate) const VALIDATING: KindRules = KindRules {
    default: Some(default_binding),
    prepare_create: Some(first_generation),
    prepare_update: Some(spec_generation),
    validate: Some(|binding| validate_binding(binding, true)),
    validate_update: Some(|binding, _| validate_binding(binding, true)),
    ..KindRules::PLAIN
};

/// The rules of bindings of mutating policies.
pub(crate) const MUTATING: KindRules = KindRules {
    validate: Some(|binding| validate_binding(binding, false)),
    validate_update: Some(|binding, _| validate_binding(binding, false)),
    ..VALIDATING
};

/// Sets a binding's defaults.
pub fn default_binding(binding: &mut Value) {
    default_matching(spec_mut(binding), "matchResources");
}

/// What is wrong with a binding; only those of validating policies say what becomes of a failure.
pub fn validate_binding(binding: &Value, actions: bool) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (binding.sub("spec"), FieldPath::field("spec"));
    let policy = spec.s("policyName");
    if policy.is_empty() {
        e.push(FieldError::required(p.child("policyName"), ""));
    } else {
        complain(e, p.child("policyName"), policy, name_is_dns_subdomain(policy, false));
    }
    if let Some(reference) = spec.opt("paramRef") {
        param_ref(e, p.child("paramRef"), reference);
    }
    if let Some(resources) = spec.opt("matchResources") {
        match_resources(e, p.child("matchResources"), resources);
    }
    if actions {
        validation_actions(e, p.child("validationActions"), spec.list("validationActions"));
    }
    errors
}

fn param_ref(e: &mut Errors, p: FieldPath<'_>, reference: &Value) {
    let (name, selector) = (reference.s("name"), reference.opt("selector"));
    if !name.is_empty() {
        complain(e, p.child("name"), name, name_is_path_segment(name, false));
        if selector.is_some() {
            e.push(FieldError::forbidden(p.child("name"), "name and selector are mutually exclusive"));
        }
    }
    if let Some(selector) = selector {
        label_selector(e, p.child("selector"), selector);
        if !name.is_empty() {
            e.push(FieldError::forbidden(p.child("selector"), "name and selector are mutually exclusive"));
        }
    } else if name.is_empty() {
        e.push(FieldError::required(p, "one of name or selector must be specified"));
    }
    match reference.opt_s("parameterNotFoundAction") {
        None => e.push(FieldError::required(p.child("parameterNotFoundAction"), "")),
        Some("Allow" | "Deny") => {}
        Some(other) => {
            let allowed = ["Deny", "Allow"];
            e.push(not_supported(p.child("parameterNotFoundAction"), other, &allowed));
        }
    }
}

fn validation_actions(e: &mut Errors, p: FieldPath<'_>, actions: &[Value]) {
    const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
    let mut seen = Seen::default();
    for (i, action) in strings(actions).enumerate() {
        if !ACTIONS.contains(&action) {
            e.push(not_supported(p.index(i), action, &ACTIONS));
        }
        if seen.again(action) {
            e.push(FieldError::duplicate(p.index(i), action));
        }
    }
    let has = |action: &str| strings(actions).any(|a| a == action);
    if has("Deny") && has("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        let mut shown: Vec<&str> = strings(actions).collect();
        shown.sort_unstable();
        shown.dedup();
        e.push(FieldError::invalid(p, shown, detail));
    }
    if actions.is_empty() {
        e.push(FieldError::required(p, "at least one validation action is required"));
    }
}
