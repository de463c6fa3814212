//! Roles, and their binding to users, groups and service accounts.

use sampan_model::name::{name_is_dns_subdomain, name_is_path_segment};
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::KindRules;
use crate::look::{Errors, Look, Put, complain, go_struct, items_mut, not_supported, top};
use crate::selector::label_selector;

const GROUP: &str = "rbac.authorization.k8s.io";

const ANY: KindRules =
    KindRules { validate_name: Some(name_is_path_segment), create_on_update: true, ..KindRules::PLAIN };

/// The rules of roles.
pub(crate) const ROLE: KindRules =
    KindRules { validate: Some(validate_role), validate_update: Some(|new, _| validate_role(new)), ..ANY };

/// The rules of cluster roles.
pub(crate) const CLUSTER_ROLE: KindRules = KindRules {
    validate: Some(validate_cluster_role),
    validate_update: Some(|new, _| validate_cluster_role(new)),
    ..ANY
};

/// The rules of role bindings.
pub(crate) const BINDING: KindRules = KindRules {
    default: Some(default_binding),
    validate: Some(validate_role_binding),
    validate_update: Some(|new, old| same_role(validate_role_binding(new), new, old)),
    ..ANY
};

/// The rules of cluster role bindings.
pub(crate) const CLUSTER_BINDING: KindRules = KindRules {
    default: Some(default_binding),
    validate: Some(validate_cluster_role_binding),
    validate_update: Some(|new, old| same_role(validate_cluster_role_binding(new), new, old)),
    ..ANY
};

/// Users, groups and roles are of this API group unless they say otherwise.
pub fn default_binding(binding: &mut Value) {
    let binding = top(binding);
    binding.object_mut("roleRef").default_to("apiGroup", GROUP);
    for subject in items_mut(binding, "subjects") {
        if matches!(subject.s("kind"), "User" | "Group") {
            subject.default_to("apiGroup", GROUP);
        }
    }
}

/// What is wrong with a role.
pub fn validate_role(role: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    policy_rules(&mut e, role, true);
    e
}

/// What is wrong with a cluster role.
pub fn validate_cluster_role(role: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    policy_rules(&mut e, role, false);
    let Some(aggregation) = role.opt("aggregationRule") else { return e };
    let p = FieldPath::field("aggregationRule");
    let p = p.child("clusterRoleSelectors");
    let selectors = aggregation.list("clusterRoleSelectors");
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        e.push(FieldError::required(p, detail));
    }
    for (i, selector) in selectors.iter().enumerate() {
        label_selector(&mut e, p.index(i), selector);
    }
    e
}

fn policy_rules(e: &mut Errors, role: &Value, namespaced: bool) {
    let p = FieldPath::field("rules");
    for (i, rule) in role.list("rules").iter().enumerate() {
        let p = p.index(i);
        let empty = |field: &str| rule.list(field).is_empty();
        if empty("verbs") {
            e.push(FieldError::required(p.child("verbs"), "verbs must contain at least one value"));
        }
        let (urls, at) = (rule.sub("nonResourceURLs"), p.child("nonResourceURLs"));
        if !empty("nonResourceURLs") {
            if namespaced {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                e.push(FieldError::invalid(at, urls.clone(), detail));
            }
            if !["apiGroups", "resources", "resourceNames"].into_iter().all(empty) {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                e.push(FieldError::invalid(at, urls.clone(), detail));
            }
            continue;
        }
        if empty("apiGroups") {
            let detail = "resource rules must supply at least one api group";
            e.push(FieldError::required(p.child("apiGroups"), detail));
        }
        if empty("resources") {
            let detail = "resource rules must supply at least one resource";
            e.push(FieldError::required(p.child("resources"), detail));
        }
    }
}

/// What is wrong with a role binding.
pub fn validate_role_binding(binding: &Value) -> Vec<FieldError> {
    bound(binding, &["Role", "ClusterRole"], true)
}

/// What is wrong with a cluster role binding.
pub fn validate_cluster_role_binding(binding: &Value) -> Vec<FieldError> {
    bound(binding, &["ClusterRole"], false)
}

fn bound(binding: &Value, kinds: &[&str], namespaced: bool) -> Errors {
    let mut e = Errors::new();
    let (role, p) = (binding.sub("roleRef"), FieldPath::field("roleRef"));
    let (group, kind, name) = (role.s("apiGroup"), role.s("kind"), role.s("name"));
    if group != GROUP {
        e.push(not_supported(p.child("apiGroup"), group, &[GROUP]));
    }
    if !kinds.contains(&kind) {
        e.push(not_supported(p.child("kind"), kind, kinds));
    }
    if name.is_empty() {
        e.push(FieldError::required(p.child("name"), ""));
    } else {
        complain(&mut e, p.child("name"), name, name_is_path_segment(name, false));
    }
    let p = FieldPath::field("subjects");
    for (i, subject) in binding.list("subjects").iter().enumerate() {
        subject_complaints(&mut e, p.index(i), subject, namespaced);
    }
    e
}

fn subject_complaints(e: &mut Errors, p: FieldPath<'_>, subject: &Value, namespaced: bool) {
    let (group, kind, name) = (subject.s("apiGroup"), subject.s("kind"), subject.s("name"));
    if name.is_empty() {
        e.push(FieldError::required(p.child("name"), ""));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                complain(e, p.child("name"), name, name_is_dns_subdomain(name, false));
            }
            if !group.is_empty() {
                e.push(not_supported(p.child("apiGroup"), group, &[""]));
            }
            if !namespaced && subject.s("namespace").is_empty() {
                e.push(FieldError::required(p.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                e.push(not_supported(p.child("apiGroup"), group, &[GROUP]));
            }
        }
        other => e.push(not_supported(p.child("kind"), other, &["ServiceAccount", "User", "Group"])),
    }
}

/// A binding never points to another role: whoever may change subjects could else raise what they may do.
fn same_role(mut e: Errors, new: &Value, old: &Value) -> Errors {
    let of = |b: &Value| -> Map {
        let role = b.sub("roleRef");
        let field = |f: &str| Value::from(role.s(f));
        match go_struct([("APIGroup", field("apiGroup")), ("Kind", field("kind")), ("Name", field("name"))]) {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    };
    let role = of(new);
    if role != of(old) {
        e.push(FieldError::invalid("roleRef", role, "cannot change roleRef"));
    }
    e
}
