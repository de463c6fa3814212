//! Which requests a webhook or a policy is for: rules, selectors, conditions.

use sampan_model::name::{is_path_segment_name, is_qualified_name};
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::look::{Errors, Look, Put, complain, items_mut, not_supported, strings};
use crate::seen::Seen;
use crate::selector::label_selector;

/// Rules are for both scopes unless they say otherwise.
pub(super) fn default_rules(owner: &mut Map, field: &str) {
    for rule in items_mut(owner, field) {
        rule.default_ptr("scope", "*");
    }
}

/// The defaults of what says which requests a policy or a binding is for.
pub(super) fn default_match_resources(resources: &mut Map) {
    resources.default_ptr("matchPolicy", "Equivalent");
    resources.default_ptr("namespaceSelector", Map::new());
    resources.default_ptr("objectSelector", Map::new());
    default_rules(resources, "resourceRules");
    default_rules(resources, "excludeResourceRules");
}

/// A rule: operations on resources of groups and versions.
pub(super) fn rule(e: &mut Errors, p: FieldPath<'_>, rule: &Value) {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let at = p.child("operations");
    entries(e, at, rule.list("operations"), "operations");
    for (i, operation) in strings(rule.list("operations")).enumerate() {
        if !OPERATIONS.contains(&operation) {
            e.push(not_supported(at.index(i), operation, &OPERATIONS));
        }
    }
    entries(e, p.child("apiGroups"), rule.list("apiGroups"), "API groups");
    let at = p.child("apiVersions");
    entries(e, at, rule.list("apiVersions"), "API versions");
    empty(e, at, rule.list("apiVersions"));
    resources(e, p.child("resources"), rule.list("resources"));
    if let Some(scope) = rule.opt_s("scope")
        && !["*", "Cluster", "Namespaced"].contains(&scope)
    {
        e.push(not_supported(p.child("scope"), scope, &["*", "Cluster", "Namespaced"]));
    }
}

fn entries(e: &mut Errors, p: FieldPath<'_>, list: &[Value], what: &str) {
    if list.is_empty() {
        e.push(FieldError::required(p, ""));
    } else if list.len() > 1 && strings(list).any(|entry| entry == "*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        e.push(FieldError::invalid(p, list.to_vec(), detail));
    }
}

fn empty(e: &mut Errors, p: FieldPath<'_>, list: &[Value]) {
    for (i, _) in strings(list).enumerate().filter(|(_, entry)| entry.is_empty()) {
        e.push(FieldError::required(p.index(i), ""));
    }
}

fn resources(e: &mut Errors, p: FieldPath<'_>, list: &[Value]) {
    if list.is_empty() {
        e.push(FieldError::required(p, ""));
    }
    let has = |name: &str| strings(list).any(|entry| entry == name);
    for (i, entry) in strings(list).enumerate() {
        let p = p.index(i);
        if entry.is_empty() {
            e.push(FieldError::required(p, ""));
            continue;
        }
        if entry == "*/*" || entry == "*" {
            continue;
        }
        let (resource, part) = entry.split_once('/').map_or((entry, None), |(r, s)| (r, Some(s)));
        match part {
            None => {
                if has("*") {
                    e.push(FieldError::invalid(
                        p,
                        entry,
                        "if '*' is present, must not specify other resources without subresources",
                    ));
                }
            }
            Some(part) => {
                if part != "*" && has(&format!("{resource}/*")) {
                    let detail = format!("if '{resource}/*' is present, must not specify {entry}");
                    e.push(FieldError::invalid(p, entry, detail));
                }
                if resource != "*" && has(&format!("*/{part}")) {
                    let detail = format!("if '*/{part}' is present, must not specify {entry}");
                    e.push(FieldError::invalid(p, entry, detail));
                }
            }
        }
    }
    if list.len() > 1 && has("*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        e.push(FieldError::invalid(p, list.to_vec(), detail));
    }
}

/// What says which requests a policy or a binding is for.
pub(super) fn match_resources(e: &mut Errors, p: FieldPath<'_>, resources: &Value) {
    match resources.opt_s("matchPolicy") {
        None => e.push(FieldError::required(p.child("matchPolicy"), "")),
        Some("Exact" | "Equivalent") => {}
        Some(other) => e.push(not_supported(p.child("matchPolicy"), other, &["Equivalent", "Exact"])),
    }
    for field in ["namespaceSelector", "objectSelector"] {
        match resources.opt(field) {
            None => e.push(FieldError::required(p.child(field), "")),
            Some(selector) => label_selector(e, p.child(field), selector),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (i, named) in resources.list(field).iter().enumerate() {
            let p = p.child(field);
            let p = p.index(i);
            let names = named.list("resourceNames");
            for (j, name) in strings(names).enumerate() {
                let p = p.child("resourceNames");
                complain(e, p.index(j), name, is_path_segment_name(name));
                if strings(&names[..j]).any(|other| other == name) {
                    e.push(FieldError::duplicate(p.index(j), name));
                }
            }
            rule(e, p, named);
        }
    }
}

/// Conditions have a name of their own, and an expression. (Whether it compiles is judged elsewhere.)
pub(super) fn match_conditions(e: &mut Errors, p: FieldPath<'_>, conditions: &[Value]) {
    const MOST: usize = 64;
    if conditions.len() > MOST {
        e.push(FieldError::too_many(p, conditions.len(), MOST));
    }
    let mut seen = Seen::default();
    for (i, condition) in conditions.iter().enumerate() {
        let p = p.index(i);
        if condition.s("expression").trim().is_empty() {
            e.push(FieldError::required(p.child("expression"), ""));
        }
        let name = condition.s("name");
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
            continue;
        }
        complain(e, p.child("name"), name, is_qualified_name(name));
        if seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
    }
}
