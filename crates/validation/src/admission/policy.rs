//! Admission policies: expressions that judge (validating) or change (mutating) what is written.

use sampan_model::name::{is_c_identifier, is_dns1035_label, is_dns1123_subdomain, is_qualified_name};
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::matching::{default_match_resources, match_conditions, match_resources};
use crate::apps::{prepare_create, prepare_status, prepare_update};
use crate::look::{Errors, Look, Put, complain, not_supported, one_of, spec_mut};
use crate::seen::Seen;
use crate::strategy::{first_generation, spec_generation};
use crate::{KindRules, PartRules};

/// The rules of validating policies.
pub(crate) const VALIDATING: KindRules = KindRules {
    default: Some(default_policy),
    prepare_create: Some(prepare_create),
    prepare_update: Some(prepare_update),
    validate: Some(validate_validating_policy),
    validate_update: Some(|new, _| validate_validating_policy(new)),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: None,
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// The rules of mutating policies.
pub(crate) const MUTATING: KindRules = KindRules {
    default: Some(default_policy),
    prepare_create: Some(first_generation),
    prepare_update: Some(spec_generation),
    validate: Some(validate_mutating_policy),
    validate_update: Some(|new, _| validate_mutating_policy(new)),
    ..KindRules::PLAIN
};

/// Sets a policy's defaults.
pub fn default_policy(policy: &mut Value) {
    let spec = spec_mut(policy);
    spec.default_ptr("failurePolicy", "Fail");
    if let Some(constraints) = spec.get_mut("matchConstraints").and_then(Value::as_object_mut) {
        default_match_resources(constraints);
    }
}

/// Every expression of a policy or of a webhook configuration, with its path: for whoever can compile them.
pub fn expressions(object: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |p: FieldPath<'_>, owner: &Value, field: &str| {
        let text = owner.s(field);
        if !text.trim().is_empty() {
            found.push((p.child(field).to_string(), text.to_owned()));
        }
    };
    let hooks = FieldPath::field("webhooks");
    for (i, hook) in object.list("webhooks").iter().enumerate() {
        let p = hooks.index(i);
        for (j, condition) in hook.list("matchConditions").iter().enumerate() {
            add(p.child("matchConditions").index(j), condition, "expression");
        }
    }
    let (spec, p) = (object.sub("spec"), FieldPath::field("spec"));
    for (list, fields) in [
        ("matchConditions", &["expression"][..]),
        ("variables", &["expression"]),
        ("validations", &["expression", "messageExpression"]),
        ("auditAnnotations", &["valueExpression"]),
    ] {
        for (i, owner) in spec.list(list).iter().enumerate() {
            for field in fields {
                add(p.child(list).index(i), owner, field);
            }
        }
    }
    for (i, mutation) in spec.list("mutations").iter().enumerate() {
        let p = p.child("mutations");
        let p = p.index(i);
        for field in ["applyConfiguration", "jsonPatch"] {
            add(p.child(field), mutation.sub(field), "expression");
        }
    }
    found
}

fn common(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    match spec.opt_s("failurePolicy") {
        None => e.push(FieldError::required(p.child("failurePolicy"), "")),
        policy => one_of(e, p.child("failurePolicy"), policy, &["Fail", "Ignore"]),
    }
    if let Some(kind) = spec.opt("paramKind") {
        param_kind(e, p.child("paramKind"), kind);
    }
    let at = p.child("matchConstraints");
    match spec.opt("matchConstraints") {
        None => e.push(FieldError::required(at, "")),
        Some(constraints) => {
            match_resources(e, at, constraints);
            if constraints.list("resourceRules").is_empty() {
                e.push(FieldError::required(at.child("resourceRules"), ""));
            }
        }
    }
    match_conditions(e, p.child("matchConditions"), spec.list("matchConditions"));
    let variables = spec.list("variables");
    let mut seen = Seen::default();
    for (i, variable) in variables.iter().enumerate() {
        let p = p.child("variables");
        let p = p.index(i);
        let name = variable.s("name");
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), "name is not specified"));
        } else if !is_c_identifier(name).is_empty() {
            e.push(FieldError::invalid(p.child("name"), name, "name is not a valid CEL identifier"));
        }
        if variable.s("expression").trim().is_empty() {
            e.push(FieldError::required(p.child("expression"), "expression is not specified"));
        }
        if seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
    }
}

fn param_kind(e: &mut Errors, p: FieldPath<'_>, kind: &Value) {
    let (version, name) = (kind.s("apiVersion"), kind.s("kind"));
    let at = p.child("apiVersion");
    if version.is_empty() {
        e.push(FieldError::required(at, ""));
    } else if version.matches('/').count() > 1 {
        let detail = format!("unexpected GroupVersion string: {version}");
        e.push(FieldError::invalid(at, version, detail));
    } else {
        let (group, number) = version.split_once('/').unwrap_or(("", version));
        if !group.is_empty() {
            complain(e, at, group, is_dns1123_subdomain(group));
        }
        complain(e, at, number, is_dns1035_label(number));
    }
    if name.is_empty() {
        e.push(FieldError::required(p.child("kind"), ""));
        return;
    }
    let complaints = is_dns1035_label(&name.to_lowercase());
    if !complaints.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
        e.push(FieldError::invalid(p.child("kind"), name, detail));
    }
}

/// What is wrong with a validating policy, its expressions apart.
pub fn validate_validating_policy(policy: &Value) -> Vec<FieldError> {
    const MOST_ANNOTATIONS: usize = 20;
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (policy.sub("spec"), FieldPath::field("spec"));
    common(e, p, spec);
    let (validations, annotations) = (spec.list("validations"), spec.list("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must be non-empty";
        e.push(FieldError::required(p.child("validations"), detail));
        e.push(FieldError::required(p.child("auditAnnotations"), detail));
        return errors;
    }
    for (i, validation) in validations.iter().enumerate() {
        validation_complaints(e, p.child("validations").index(i), validation);
    }
    let at = p.child("auditAnnotations");
    if annotations.len() > MOST_ANNOTATIONS {
        let detail = format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations");
        e.push(FieldError::invalid(at, annotations.to_vec(), detail));
    }
    let name = policy.sub("metadata").s("name");
    let mut seen = Seen::default();
    for (i, annotation) in annotations.iter().enumerate() {
        let p = at.index(i);
        let key = annotation.s("key");
        let full = format!("{name}/{key}");
        for text in is_qualified_name(&full) {
            e.push(FieldError::invalid(p.child("key"), key, text));
        }
        if annotation.s("valueExpression").trim().is_empty() {
            let detail = "valueExpression is not specified";
            e.push(FieldError::required(p.child("valueExpression"), detail));
        }
        if seen.again(key) {
            e.push(FieldError::duplicate(p.child("key"), key));
        }
    }
    errors
}

fn validation_complaints(e: &mut Errors, p: FieldPath<'_>, validation: &Value) {
    const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
    let expression = validation.s("expression").trim();
    let (message, trimmed) = (validation.s("message"), validation.s("message").trim());
    if expression.is_empty() {
        e.push(FieldError::required(p.child("expression"), "expression is not specified"));
    }
    let broken = |text: &str| text.contains(['\n', '\r']);
    if !validation.s("messageExpression").is_empty() && validation.s("messageExpression").trim().is_empty() {
        let detail = "must be non-empty if specified";
        e.push(FieldError::invalid(p.child("messageExpression"), validation.s("messageExpression"), detail));
    }
    if !message.is_empty() && trimmed.is_empty() {
        e.push(FieldError::invalid(p.child("message"), message, "message must be non-empty if specified"));
    } else if broken(trimmed) {
        e.push(FieldError::invalid(p.child("message"), message, "message must not contain line breaks"));
    } else if broken(expression) && trimmed.is_empty() {
        let detail = "message must be specified if expression contains line breaks";
        e.push(FieldError::required(p.child("message"), detail));
    }
    if let Some(reason) = validation.opt_s("reason")
        && !REASONS.contains(&reason)
    {
        e.push(not_supported(p.child("reason"), reason, &REASONS));
    }
}

/// What is wrong with a mutating policy, its expressions apart.
pub fn validate_mutating_policy(policy: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (policy.sub("spec"), FieldPath::field("spec"));
    common(e, p, spec);
    let (mutations, at) = (spec.list("mutations"), p.child("mutations"));
    if mutations.is_empty() {
        e.push(FieldError::required(at, "mutations must contain at least one item"));
    }
    for (i, mutation) in mutations.iter().enumerate() {
        let p = at.index(i);
        let field = match mutation.s("patchType") {
            "" => {
                e.push(FieldError::required(p.child("patchType"), "patchType must be specified"));
                continue;
            }
            "ApplyConfiguration" => "applyConfiguration",
            "JSONPatch" => "jsonPatch",
            other => {
                let kinds = ["ApplyConfiguration", "JSONPatch"];
                e.push(not_supported(p.child("patchType"), other, &kinds));
                continue;
            }
        };
        let kind = mutation.s("patchType");
        if !mutation.has(field) {
            let detail = format!("must be specified when patchType is {kind}");
            e.push(FieldError::required(p.child(field), detail));
        } else if mutation.sub(field).s("expression").trim().is_empty() {
            e.push(FieldError::required(p.child(field).child("expression"), "expression is not specified"));
        }
    }
    match spec.s("reinvocationPolicy") {
        "" => e.push(FieldError::required(p.child("reinvocationPolicy"), "")),
        policy => one_of(e, p.child("reinvocationPolicy"), Some(policy), &["IfNeeded", "Never"]),
    }
    errors
}

/// The fields of a policy that hold maps of defaults, for bindings.
pub(super) fn default_matching(spec: &mut Map, field: &str) {
    if let Some(resources) = spec.get_mut(field).and_then(Value::as_object_mut) {
        default_match_resources(resources);
    }
}
