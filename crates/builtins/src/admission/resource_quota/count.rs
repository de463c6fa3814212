//! Counts what a namespace uses of everything that a quota limits.

use std::collections::BTreeSet;

use sampan_apiserver::Lookup;
use sampan_model::{GroupResource, Quantity};

use super::super::amounts::{Amounts, add};
use super::evaluator::{Evaluator, is_tracked};
use super::quota::Quota;

/// Sets `quota.used` from the objects of the namespace.
pub(super) fn fill(quota: &mut Quota, lookup: &dyn Lookup, namespace: &str) {
    let tracked: Vec<String> = quota.hard.keys().filter(|name| is_tracked(name)).cloned().collect();
    let mut used: Amounts = tracked.iter().map(|name| (name.clone(), Quantity::ZERO)).collect();
    let mut counted = BTreeSet::new();
    for resource in tracked.iter().map(|name| resource_of(name)) {
        if !counted.insert((resource.group.clone(), resource.resource.clone())) {
            continue;
        }
        let evaluator = Evaluator::of_resource(&resource);
        if matches!(evaluator, Evaluator::Number(_)) {
            // Their number needs no look at them; and no scope knows them.
            let number = if quota.scopes.is_empty() { number(lookup, &resource, namespace) } else { 0 };
            for name in tracked.iter().filter(|name| evaluator.tracks(name)) {
                used.insert(name.clone(), Quantity::from_int(number));
            }
            continue;
        }
        for object in lookup.list(&resource, namespace) {
            if quota.scopes.iter().all(|scope| evaluator.fulfils(scope, &object)) {
                let mut usage = evaluator.usage(&object);
                usage.retain(|name, _| quota.hard.contains_key(name));
                add(&mut used, &usage);
            }
        }
    }
    quota.used = used;
}

/// The resource whose objects are counted under a name.
fn resource_of(name: &str) -> GroupResource {
    let evaluators = [
        (Evaluator::Services, GroupResource::new("", "services")),
        (Evaluator::Claims, GroupResource::new("", "persistentvolumeclaims")),
        (Evaluator::DeviceClaims, GroupResource::new("resource.k8s.io", "resourceclaims")),
        (Evaluator::Pods, GroupResource::new("", "pods")),
    ];
    if let Some((_, resource)) = evaluators.into_iter().find(|(evaluator, _)| evaluator.tracks(name)) {
        return resource;
    }
    let name = name.strip_prefix("count/").unwrap_or(name);
    let (resource, group) = name.split_once('.').unwrap_or((name, ""));
    GroupResource::new(group, resource)
}

fn number(lookup: &dyn Lookup, resource: &GroupResource, namespace: &str) -> i64 {
    let group = if resource.group.is_empty() { String::new() } else { format!("{}/", resource.group) };
    let prefix = format!("/registry/{group}{}/{namespace}/", resource.resource);
    i64::try_from(lookup.keys(&prefix).len()).unwrap_or(i64::MAX)
}
