//! Resource quotas and limit ranges: what a namespace may use, and what each object in it.

use sampan_model::name::is_qualified_name;
use sampan_model::{FieldError, FieldPath, Map, Quantity, Value};

use super::resource_name::{
    container_resource_name, is_overcommit_allowed, is_standard_quota, quota_resource_name, resource_name,
};
use crate::amount::{quantity, resource_quantity};
use crate::look::{Errors, IMMUTABLE, Look, complain, items_mut, restore, same, spec_mut, strings, top};
use crate::seen::Seen;
use crate::{KindRules, Params, PartRules};

/// The rules of resource quotas.
pub(crate) const QUOTA: KindRules = KindRules {
    prepare_create: Some(|quota, _| {
        top(quota).insert("status", Map::new());
    }),
    prepare_update: Some(|quota, old, _| restore(quota, old, "status")),
    validate: Some(validate_quota),
    validate_update: Some(validate_quota_update),
    warnings: Some(quota_warnings),
    status: Some(PartRules {
        prepare_update: |quota, old, _: &Params<'_>| restore(quota, old, "spec"),
        validate_update: Some(validate_quota_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// The rules of limit ranges.
pub(crate) const LIMIT_RANGE: KindRules = KindRules {
    default: Some(default_limit_range),
    validate: Some(validate_limit_range),
    validate_update: Some(|new, _| validate_limit_range(new)),
    create_on_update: true,
    ..KindRules::PLAIN
};

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// Whether a quota of `resource` can be limited to `scope`.
fn scope_fits(scope: &str, resource: &str) -> bool {
    let compute = matches!(
        resource,
        "cpu" | "memory" | "pods" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory"
    );
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => compute,
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn amounts(e: &mut Errors, p: FieldPath<'_>, holder: &Value, field: &str) {
    for (name, amount) in holder.entries(field) {
        let p = p.child(field);
        quota_resource_name(e, p.key(name), name);
        resource_quantity(e, p.key(name), name, amount);
    }
}

/// What is wrong with a quota.
pub fn validate_quota(quota: &Value) -> Vec<FieldError> {
    let mut e = quota_spec(quota);
    let p = FieldPath::field("status");
    amounts(&mut e, p, quota.sub("status"), "hard");
    amounts(&mut e, p, quota.sub("status"), "used");
    e
}

fn quota_spec(quota: &Value) -> Errors {
    let mut e = Errors::new();
    let (spec, p) = (quota.sub("spec"), FieldPath::field("spec"));
    amounts(&mut e, p, spec, "hard");
    let shown = || Value::Array(spec.list("scopes").to_vec());
    let misfits = |scope: &str| {
        spec.entries("hard").filter(|(name, _)| is_standard_quota(name) && !scope_fits(scope, name)).count()
    };
    let scopes: Vec<&str> = strings(spec.list("scopes")).collect();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            e.push(FieldError::invalid(p.child("scopes"), shown(), "unsupported scope"));
        }
        for _ in 0..misfits(scope) {
            let detail = "unsupported scope applied to resource";
            e.push(FieldError::invalid(p.child("scopes"), shown(), detail));
        }
    }
    conflicts(&mut e, p.child("scopes"), &scopes, &shown());
    if let Some(selector) = spec.opt("scopeSelector") {
        let p = p.child("scopeSelector");
        let p = p.child("matchExpressions");
        let mut names = Vec::new();
        for expression in selector.list("matchExpressions") {
            let scope = expression.s("scopeName");
            if !SCOPES.contains(&scope) {
                e.push(FieldError::invalid(p.child("scopeName"), scope, "unsupported scope"));
            }
            for _ in 0..misfits(scope) {
                let detail = "unsupported scope applied to resource";
                e.push(FieldError::invalid(p, selector.clone(), detail));
            }
            scope_operator(&mut e, p, expression);
            names.push(scope);
        }
        conflicts(&mut e, p, &names, &shown());
    }
    e
}

fn scope_operator(e: &mut Errors, p: FieldPath<'_>, expression: &Value) {
    let (scope, operator, values) =
        (expression.s("scopeName"), expression.s("operator"), expression.list("values"));
    let plain = ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
    if plain.contains(&scope) && operator != "Exists" {
        let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        e.push(FieldError::invalid(p.child("operator"), operator, detail));
    }
    match operator {
        "In" | "NotIn" => {
            if values.is_empty() {
                let detail =
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                e.push(FieldError::required(p.child("values"), detail));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let detail =
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                e.push(FieldError::invalid(p.child("values"), values.to_vec(), detail));
            }
        }
        other => e.push(FieldError::invalid(p.child("operator"), other, "not a valid selector operator")),
    }
}

fn conflicts(e: &mut Errors, p: FieldPath<'_>, scopes: &[&str], shown: &Value) {
    for (a, b) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if scopes.contains(&a) && scopes.contains(&b) {
            e.push(FieldError::invalid(p, shown.clone(), "conflicting scopes"));
        }
    }
}

/// What is wrong with a change of a quota.
pub fn validate_quota_update(quota: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = quota_spec(quota);
    let scopes = |quota: &Value| -> Vec<String> {
        let mut scopes: Vec<String> = strings(quota.sub("spec").list("scopes")).map(str::to_owned).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    };
    if scopes(quota) != scopes(old) {
        let shown = quota.sub("spec").list("scopes").to_vec();
        e.push(FieldError::invalid("spec.scopes", shown, IMMUTABLE));
    }
    e
}

/// What is wrong with a change of a quota's status.
pub fn validate_quota_status_update(quota: &Value, _: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("status");
    amounts(&mut e, p, quota.sub("status"), "hard");
    amounts(&mut e, p, quota.sub("status"), "used");
    e
}

/// Warnings about a quota: what may be asked for should not be more than what may be used.
pub fn quota_warnings(quota: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = quota.sub("spec");
    if old.is_some_and(|old| same(old.sub("spec"), spec)) {
        return Vec::new();
    }
    let hard = spec.sub("hard");
    let mut w = Vec::new();
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        let (requests, limits) = (format!("requests.{resource}"), format!("limits.{resource}"));
        if let (Some(asked), Some(most)) = (hard.opt_s(&requests), hard.opt_s(&limits))
            && quantity(hard.sub(&requests)) > quantity(hard.sub(&limits))
        {
            w.push(format!("ResourceQuota {requests} ({asked}) should be less than {limits} ({most})"));
        }
    }
    w
}

/// Where a container's limit range names bounds, they become its defaults.
pub fn default_limit_range(range: &mut Value) {
    for item in items_mut(spec_mut(range), "limits") {
        if item.s("type") != "Container" {
            continue;
        }
        let of = |item: &Map, field: &str| item.map(field).cloned().unwrap_or_default();
        let (mut default, mut request) = (of(item, "default"), of(item, "defaultRequest"));
        let fill = |into: &mut Map, from: &Map| {
            for (name, amount) in from.iter() {
                if !into.contains_key(name) {
                    into.insert(name.clone(), amount.clone());
                }
            }
        };
        fill(&mut default, &of(item, "max"));
        fill(&mut request, &default);
        fill(&mut request, &of(item, "min"));
        for (field, amounts) in [("default", default), ("defaultRequest", request)] {
            if !amounts.is_empty() {
                item.insert(field, amounts);
            }
        }
    }
}

/// What is wrong with a limit range.
pub fn validate_limit_range(range: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("spec");
    let p = p.child("limits");
    let limits = range.sub("spec").list("limits");
    let mut seen = Seen::default();
    for (i, limit) in limits.iter().enumerate() {
        let p = p.index(i);
        let kind = limit.s("type");
        let complaints = is_qualified_name(kind);
        if complaints.is_empty()
            && !kind.contains('/')
            && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim")
        {
            let detail = "must be a standard limit type or fully qualified";
            e.push(FieldError::invalid(p.child("type"), kind, detail));
        }
        complain(&mut e, p.child("type"), kind, complaints);
        if seen.again(kind) {
            e.push(FieldError::duplicate(p.child("type"), kind));
        }
        limit_item(&mut e, p, limit);
    }
    e
}

fn limit_item(e: &mut Errors, p: FieldPath<'_>, limit: &Value) {
    let kind = limit.s("type");
    let of_pod = kind == "Pod";
    let mut names: Vec<&str> = Vec::new();
    for part in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        if part == "maxLimitRequestRatio"
            && kind == "PersistentVolumeClaim"
            && !limit.sub("min").has("storage")
            && !limit.sub("max").has("storage")
        {
            let detail = "either minimum or maximum storage value is required, but neither was provided";
            e.push(FieldError::required(p.child("limits"), detail));
        }
        if of_pod && matches!(part, "default" | "defaultRequest") {
            if !limit.sub(part).is_empty() {
                let detail = "may not be specified when `type` is 'Pod'";
                e.push(FieldError::forbidden(p.child(part), detail));
            }
            continue;
        }
        for (name, _) in limit.entries(part) {
            let p = p.child(part);
            if matches!(kind, "Pod" | "Container") {
                container_resource_name(e, p.key(name), name);
            } else {
                resource_name(e, p.key(name), name);
            }
            names.push(name);
        }
    }
    names.sort_unstable();
    names.dedup();
    for name in names {
        bounds(e, p, limit, name);
    }
}

/// The bounds of one resource must not contradict each other.
fn bounds(e: &mut Errors, p: FieldPath<'_>, limit: &Value, name: &str) {
    let of = |part: &str| limit.sub(part).opt(name).map(|v| (v, quantity(v)));
    let (min, max, default, request) = (of("min"), of("max"), of("default"), of("defaultRequest"));
    if limit.s("type") == "Pod" {
        return ratio(e, p, limit, name);
    }
    let mut above = |low: Option<(&Value, Quantity)>,
                     high: Option<(&Value, Quantity)>,
                     part: &str,
                     shown: usize,
                     words: [&str; 2]| {
        if let (Some(low), Some(high)) = (low, high)
            && low.1 > high.1
        {
            let detail = format!("{} {} is greater than {} {}", words[0], low.1, words[1], high.1);
            let value = [low.0, high.0][shown].clone();
            e.push(FieldError::invalid(p.child(part).key(name), value, detail));
        }
    };
    above(min, max, "min", 0, ["min value", "max value"]);
    above(min, request, "defaultRequest", 1, ["min value", "default request value"]);
    above(request, max, "defaultRequest", 0, ["default request value", "max value"]);
    above(request, default, "defaultRequest", 0, ["default request value", "default limit value"]);
    above(min, default, "default", 0, ["min value", "default value"]);
    above(default, max, "default", 1, ["default value", "max value"]);
    ratio(e, p, limit, name);
    if let (Some(default), Some(request)) = (default, request)
        && !is_overcommit_allowed(name)
        && default.1 != request.1
    {
        let detail =
            format!("default value {} must equal to defaultRequest value {} in {name}", default.1, request.1);
        e.push(FieldError::invalid(p.child("defaultRequest").key(name), request.0.clone(), detail));
    }
}

fn ratio(e: &mut Errors, p: FieldPath<'_>, limit: &Value, name: &str) {
    let Some(ratio) = limit.sub("maxLimitRequestRatio").opt(name) else { return };
    let at = p.child("maxLimitRequestRatio");
    let amount = quantity(ratio);
    if amount < Quantity::from_int(1) {
        let detail = format!("ratio {amount} is less than 1");
        e.push(FieldError::invalid(at.key(name), ratio.clone(), detail));
    }
    if let (Some(min), Some(max)) = (limit.sub("min").opt(name), limit.sub("max").opt(name)) {
        let most = quantity(max).as_f64() / quantity(min).as_f64();
        if amount.as_f64() > most {
            let detail = format!("ratio {amount} is greater than max/min = {most:.6}");
            e.push(FieldError::invalid(at.key(name), ratio.clone(), detail));
        }
    }
}
