//! Flow schemas.

use sampan_model::name::{name_is_dns_label, name_is_dns_subdomain};
use sampan_model::{FieldError, FieldPath, Value};

use crate::apps::{prepare_create, prepare_status, prepare_update};
use crate::look::{Errors, Look, Put, complain, not_supported, one_of, spec_mut, strings};
use crate::seen::Seen;
use crate::{KindRules, PartRules};

/// The rules of flow schemas.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_flow_schema),
    prepare_create: Some(prepare_create),
    prepare_update: Some(prepare_update),
    validate: Some(validate_flow_schema),
    validate_update: Some(|new, _| validate_flow_schema(new)),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: Some(|new, _| status(new)),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

const VERBS: [&str; 12] = [
    "connect",
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
    "*",
    "head",
];
const PRECEDENCE: i64 = 1000;
const MOST_PRECEDENCE: i64 = 10000;

/// A schema has a middle place unless it says otherwise.
pub fn default_flow_schema(schema: &mut Value) {
    spec_mut(schema).default_to("matchingPrecedence", PRECEDENCE);
}

/// What is wrong with a schema.
pub fn validate_flow_schema(schema: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (schema.sub("spec"), FieldPath::field("spec"));
    let (precedence, at) = (spec.num("matchingPrecedence"), p.child("matchingPrecedence"));
    if precedence <= 0 {
        e.push(FieldError::invalid(at, precedence, "must be a positive value"));
    }
    if precedence > MOST_PRECEDENCE {
        let detail = format!("must not be greater than {MOST_PRECEDENCE}");
        e.push(FieldError::invalid(at, precedence, detail));
    }
    if precedence == 1 && schema.sub("metadata").s("name") != "exempt" {
        let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
        e.push(FieldError::invalid(at, precedence, detail));
    }
    if let Some(method) = spec.opt("distinguisherMethod") {
        let p = p.child("distinguisherMethod");
        one_of(e, p.child("type"), Some(method.s("type")), &["ByNamespace", "ByUser"]);
    }
    let level = spec.sub("priorityLevelConfiguration").s("name");
    let at = p.child("priorityLevelConfiguration");
    if level.is_empty() {
        e.push(FieldError::required(at.child("name"), "must reference a priority level"));
    } else {
        complain(e, at.child("name"), level, name_is_dns_subdomain(level, false));
    }
    for (i, rule) in spec.list("rules").iter().enumerate() {
        flow_rule(e, p.child("rules").index(i), rule);
    }
    e.append(&mut status(schema));
    errors
}

fn flow_rule(e: &mut Errors, p: FieldPath<'_>, rule: &Value) {
    let subjects = rule.list("subjects");
    if subjects.is_empty() {
        e.push(FieldError::required(p.child("subjects"), "subjects must contain at least one value"));
    }
    for (i, subject) in subjects.iter().enumerate() {
        flow_subject(e, p.child("subjects").index(i), subject);
    }
    let (resources, others) = (rule.list("resourceRules"), rule.list("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        e.push(FieldError::required(p, detail));
    }
    for (i, rule) in resources.iter().enumerate() {
        resource_rule(e, p.child("resourceRules").index(i), rule);
    }
    for (i, rule) in others.iter().enumerate() {
        let p = p.child("nonResourceRules");
        let p = p.index(i);
        verbs(e, p.child("verbs"), rule);
        let missing = "nonResourceURLs must contain at least one value";
        list(e, p.child("nonResourceURLs"), rule, ["nonResourceURLs", "non-resource URLs", missing]);
        for (j, url) in strings(rule.list("nonResourceURLs")).enumerate().filter(|(_, url)| *url != "*") {
            non_resource_url(e, p.child("nonResourceURLs").index(j), url);
        }
    }
}

fn non_resource_url(e: &mut Errors, p: FieldPath<'_>, url: &str) {
    let mut wrong = |detail: &str| e.push(FieldError::invalid(p, url, detail));
    if url.is_empty() {
        return wrong("must not be empty");
    }
    if url == "/" {
        return;
    }
    if !url.starts_with('/') {
        return wrong("must start with slash");
    }
    if url.contains(' ') {
        return wrong("must not contain white-space");
    }
    if url.contains("//") {
        return wrong("must not contain double slash");
    }
    let body = url.strip_suffix("/*").unwrap_or(url);
    if body.contains('*') {
        wrong("wildcard can only do suffix matching");
    }
}

fn flow_subject(e: &mut Errors, p: FieldPath<'_>, subject: &Value) {
    let kind = subject.s("kind");
    let kinds = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let Some((_, field)) = kinds.iter().find(|(name, _)| *name == kind) else {
        e.push(not_supported(p.child("kind"), kind, &["Group", "ServiceAccount", "User"]));
        return;
    };
    match subject.opt(field) {
        None => {
            let detail = format!("{field} is required when subject kind is '{kind}'");
            e.push(FieldError::required(p.child(field), detail));
        }
        Some(value) => {
            let p = p.child(field);
            let name = value.s("name");
            if name.is_empty() {
                e.push(FieldError::required(p.child("name"), ""));
            } else if kind == "ServiceAccount" && name != "*" {
                complain(e, p.child("name"), name, name_is_dns_subdomain(name, false));
            }
            if kind == "ServiceAccount" {
                let namespace = value.s("namespace");
                if namespace.is_empty() {
                    let detail = "must specify namespace for service account";
                    e.push(FieldError::required(p.child("namespace"), detail));
                } else {
                    complain(e, p.child("namespace"), namespace, name_is_dns_label(namespace, false));
                }
            }
        }
    }
    for (name, other) in kinds.iter().filter(|(name, other)| *name != kind && subject.has(other)) {
        let detail = format!("{other} is forbidden when subject kind is not '{name}'");
        e.push(FieldError::forbidden(p.child(other), detail));
    }
}

fn resource_rule(e: &mut Errors, p: FieldPath<'_>, rule: &Value) {
    verbs(e, p.child("verbs"), rule);
    let missing = "resource rules must supply at least one api group";
    list(e, p.child("apiGroups"), rule, ["apiGroups", "api groups", missing]);
    let missing = "resource rules must supply at least one resource";
    list(e, p.child("resources"), rule, ["resources", "resources", missing]);
    let (namespaces, at) = (rule.list("namespaces"), p.child("namespaces"));
    if namespaces.is_empty() {
        if !rule.flag("clusterScope") {
            let detail = "resource rules that are not cluster scoped must supply at least one namespace";
            e.push(FieldError::required(at, detail));
        }
    } else if strings(namespaces).any(|n| n == "*") {
        if namespaces.len() > 1 {
            let detail = "if '*' is present, must not specify other namespaces";
            e.push(FieldError::invalid(at, namespaces.to_vec(), detail));
        }
    } else {
        for (i, name) in strings(namespaces).enumerate() {
            let complaints = name_is_dns_label(name, false);
            if !complaints.is_empty() {
                e.push(FieldError::invalid(at.index(i), name, complaints.join(",")));
            }
        }
    }
}

fn verbs(e: &mut Errors, p: FieldPath<'_>, rule: &Value) {
    list(e, p, rule, ["verbs", "verbs", "verbs must contain at least one value"]);
    for verb in strings(rule.list("verbs")) {
        if !VERBS.contains(&verb) {
            let mut known = VERBS;
            known.sort_unstable();
            e.push(not_supported(p, rule.sub("verbs").clone(), &known));
            return;
        }
    }
}

/// A list with something in it; a star stands alone.
fn list(e: &mut Errors, p: FieldPath<'_>, rule: &Value, [field, others, missing]: [&str; 3]) {
    let list = rule.list(field);
    if list.is_empty() {
        e.push(FieldError::required(p, missing));
    } else if list.len() > 1 && strings(list).any(|entry| entry == "*") {
        let detail = format!("if '*' is present, must not specify other {others}");
        e.push(FieldError::invalid(p, list.to_vec(), detail));
    }
}

fn status(schema: &Value) -> Errors {
    let mut e = Errors::new();
    conditions(&mut e, schema);
    e
}

/// Conditions name their type, once.
pub(super) fn conditions(e: &mut Errors, object: &Value) {
    let p = FieldPath::field("status");
    let p = p.child("conditions");
    let conditions = object.sub("status").list("conditions");
    let mut seen = Seen::default();
    for (i, condition) in conditions.iter().enumerate() {
        let kind = condition.s("type");
        if seen.again(kind) {
            e.push(FieldError::duplicate(p.index(i).child("type"), kind));
        }
        if kind.is_empty() {
            e.push(FieldError::required(p.index(i).child("type"), "must not be empty"));
        }
    }
}
