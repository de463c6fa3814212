//! What containers and pods ask for, and what they may use at most.

use std::cmp::Ordering;
use std::collections::HashMap;

use sampan_model::name::is_dns1123_label;
use sampan_model::{FieldError, FieldPath, Quantity, Value};

use crate::amount::{quantity, resource_quantity};
use crate::core::resource_name::{
    container_resource_name, is_huge_page, is_overcommit_allowed, pod_resource_name,
};
use crate::look::{Errors, Look, complain};
use crate::seen::Seen;

/// `resources` of a container.
pub(crate) fn container_resources(e: &mut Errors, p: FieldPath<'_>, resources: &Value, claims: &[Value]) {
    requirements(e, p, resources, claims, container_resource_name);
}

/// `overhead` of a pod.
pub(crate) fn overhead(e: &mut Errors, p: FieldPath<'_>, overhead: &Value) {
    let at = p.child("limits");
    for (name, amount) in overhead.as_object().into_iter().flat_map(sampan_model::Map::iter) {
        let p = at.key(name);
        container_resource_name(e, p, name);
        resource_quantity(e, p, name, amount);
    }
}

type NameRule = fn(&mut Errors, FieldPath<'_>, &str);

fn requirements(e: &mut Errors, p: FieldPath<'_>, resources: &Value, claims: &[Value], name_rule: NameRule) {
    let (limits_at, requests_at) = (p.child("limits"), p.child("requests"));
    let (mut huge, mut compute) = (false, false);
    for (name, amount) in resources.entries("limits") {
        let p = limits_at.key(name);
        name_rule(e, p, name);
        resource_quantity(e, p, name, amount);
        huge |= huge_pages(e, p, name, amount);
        compute |= matches!(name, "cpu" | "memory");
    }
    let limits = resources.sub("limits");
    for (name, amount) in resources.entries("requests") {
        let p = requests_at.key(name);
        name_rule(e, p, name);
        resource_quantity(e, p, name, amount);
        if let Some(limit) = limits.opt(name) {
            let shown = limit.as_str().unwrap_or("");
            match quantity(amount).cmp(&quantity(limit)) {
                Ordering::Equal => {}
                _ if !is_overcommit_allowed(name) => {
                    let detail = format!("must be equal to {name} limit of {shown}");
                    e.push(FieldError::invalid(requests_at, amount.clone(), detail));
                }
                Ordering::Greater => {
                    let detail = format!("must be less than or equal to {name} limit of {shown}");
                    e.push(FieldError::invalid(requests_at, amount.clone(), detail));
                }
                Ordering::Less => {}
            }
        } else if !is_overcommit_allowed(name) {
            e.push(FieldError::required(limits_at, "Limit must be set for non overcommitable resources"));
        }
        huge |= huge_pages(e, p, name, amount);
        compute |= matches!(name, "cpu" | "memory");
    }
    if huge && !compute {
        e.push(FieldError::forbidden(p, "HugePages require cpu or memory"));
    }
    claim_names(e, p.child("claims"), resources.list("claims"), claims);
}

/// Whether the resource is a huge page; its quantity must be a multiple of its size.
fn huge_pages(e: &mut Errors, p: FieldPath<'_>, name: &str, amount: &Value) -> bool {
    if !is_huge_page(name) {
        return false;
    }
    let size =
        name.strip_prefix("hugepages-").and_then(|s| s.parse::<Quantity>().ok()).map_or(0, Quantity::value);
    let whole = quantity(amount).value();
    if size <= 0 || whole <= 0 || whole % size != 0 {
        let shown = amount.as_str().unwrap_or("");
        let detail = format!("{shown} is not positive integer multiple of {name}");
        e.push(FieldError::invalid(p, amount.clone(), detail));
    }
    true
}

/// So many errors list all names that there are; a longer list of errors would grow with the product of both.
const MOST_LISTS: usize = 32;

fn claim_names(e: &mut Errors, p: FieldPath<'_>, used: &[Value], claims: &[Value]) {
    let known: Seen<_> = claims.iter().map(|c| c.s("name")).collect();
    // The requests of each claim that were used so far.
    let mut seen: HashMap<&str, Seen<&str>> = HashMap::new();
    let mut lists = 0;
    for (i, claim) in used.iter().enumerate() {
        let p = p.index(i);
        let (name, request) = (claim.s("name"), claim.s("request"));
        if name.is_empty() {
            e.push(FieldError::required(p, ""));
            continue;
        }
        let requests = seen.entry(name).or_default();
        if requests.has(&"") {
            e.push(FieldError::duplicate(p, name));
        } else {
            if !request.is_empty() {
                complain(e, p.child("request"), request, is_dns1123_label(request));
            }
            let others = requests.len();
            if requests.again(request) {
                e.push(FieldError::duplicate(p, format!("{name}/{request}")));
            } else if request.is_empty() {
                for _ in 0..others {
                    e.push(FieldError::duplicate(p, name));
                }
            }
        }
        if !known.has(&name) {
            let mut error = FieldError::not_found(p, name);
            lists += 1;
            if lists > MOST_LISTS {
                e.push(error);
                continue;
            }
            let mut names: Vec<&str> = claims.iter().map(|c| c.s("name")).filter(|n| !n.is_empty()).collect();
            names.sort_unstable();
            names.dedup();
            error.detail = if names.is_empty() {
                "must be one of the names in pod.spec.resourceClaims which is empty".to_owned()
            } else {
                format!("must be one of the names in pod.spec.resourceClaims: {}", names.join(", "))
            };
            e.push(error);
        }
    }
}

/// `resources` of a pod as a whole (KEP-2837).
pub(crate) fn pod_resources(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let Some(resources) = spec.opt("resources") else { return };
    if resources.has("claims") {
        e.push(FieldError::forbidden(p.child("claims"), "claims cannot be set for Resources at pod-level"));
    }
    requirements(e, p, resources, spec.list("resourceClaims"), pod_resource_name);
    let requests = resources.sub("requests");
    for (name, sum) in aggregate_requests(spec) {
        let own = requests.sub(&name);
        if sum > quantity(own) {
            let shown = own.as_str().unwrap_or("0");
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            e.push(FieldError::invalid(p.child("requests").key(&name), shown, detail));
        }
    }
    let limits = resources.sub("limits");
    for (i, container) in spec.list("containers").iter().enumerate() {
        for (name, limit) in container.sub("resources").entries("limits") {
            let Some(own) = limits.opt(name) else { continue };
            if quantity(limit) > quantity(own) {
                let detail =
                    format!("must be less than or equal to pod limits of {}", own.as_str().unwrap_or(""));
                let p = p.child("containers");
                let p = p.index(i);
                let p = p.key(name);
                let p = p.child("limits");
                e.push(FieldError::invalid(p, limit.clone(), detail));
            }
        }
    }
}

/// What the containers of a pod ask for together: those that run side by side added up, or what one init
/// container needs if that is more.
pub(crate) fn aggregate_requests(spec: &Value) -> Vec<(String, Quantity)> {
    fn add(sum: &mut Vec<(String, Quantity)>, name: &str, amount: Quantity) {
        match sum.iter_mut().find(|(n, _)| n == name) {
            Some((_, total)) => *total = total.add(amount),
            None => sum.push((name.to_owned(), amount)),
        }
    }
    let mut running: Vec<(String, Quantity)> = Vec::new();
    for container in spec.list("containers") {
        for (name, amount) in container.sub("resources").entries("requests") {
            add(&mut running, name, quantity(amount));
        }
    }
    let mut sidecars: Vec<(String, Quantity)> = Vec::new();
    let mut peaks: Vec<(String, Quantity)> = Vec::new();
    for container in spec.list("initContainers") {
        let requests = container.sub("resources");
        if is_sidecar(container) {
            for (name, amount) in requests.entries("requests") {
                add(&mut running, name, quantity(amount));
                add(&mut sidecars, name, quantity(amount));
            }
        } else {
            for (name, amount) in requests.entries("requests") {
                let beside = sidecars.iter().find(|(n, _)| n == name).map_or(Quantity::ZERO, |s| s.1);
                peaks.push((name.to_owned(), quantity(amount).add(beside)));
            }
        }
    }
    for (name, peak) in peaks {
        match running.iter_mut().find(|(n, _)| *n == name) {
            Some((_, total)) => *total = (*total).max(peak),
            None => running.push((name, peak)),
        }
    }
    running.sort_by(|a, b| a.0.cmp(&b.0));
    running
}

/// Whether an init container keeps running beside the others.
pub(crate) fn is_sidecar(init_container: &Value) -> bool {
    init_container.s("restartPolicy") == "Always"
}
