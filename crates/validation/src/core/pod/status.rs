//! The status that a node reports of a pod.

use std::net::IpAddr;

use sampan_model::name::{
    is_qualified_name, is_valid_group_id, is_valid_user_id, name_is_dns_subdomain, parse_ip_sloppy,
};
use sampan_model::{FieldError, FieldPath, Value};

use super::resources::is_sidecar;
use super::scheduling::ip;
use super::update::annotation_updates;
use crate::Params;
use crate::look::{Errors, Look, complain, immutable, items_mut, not_supported, restore, top};
use crate::seen::Seen;

/// Through `status` the spec, the owners and the deletion stay as they are; what was observed is not forgotten.
pub fn prepare_pod_status(pod: &mut Value, old: &Value, _: &Params<'_>) {
    restore(pod, old, "spec");
    let meta = top(pod).object_mut("metadata");
    for field in ["ownerReferences", "generation"] {
        match old.sub("metadata").opt(field) {
            Some(value) => meta.insert(field, value.clone()),
            None => meta.remove(field),
        };
    }
    meta.remove("deletionTimestamp");
    let old = old.sub("status");
    let status = top(pod).object_mut("status");
    if status.s("qosClass").is_empty()
        && let Some(class) = old.opt("qosClass")
    {
        status.insert("qosClass", class.clone());
    }
    if status.num("observedGeneration") == 0
        && let Some(generation) = old.opt("observedGeneration")
    {
        status.insert("observedGeneration", generation.clone());
    }
    let mut before: Vec<(&str, &Value)> =
        old.list("conditions").iter().map(|c| (c.s("type"), c.sub("observedGeneration"))).collect();
    for condition in items_mut(status, "conditions") {
        let found = before.iter().position(|(kind, _)| *kind == condition.s("type"));
        if let Some(i) = found {
            let (_, generation) = before.remove(i);
            if condition.num("observedGeneration") == 0 && !generation.is_null() {
                condition.insert("observedGeneration", generation.clone());
            }
        }
    }
}

/// What is wrong with a change of a pod's status.
pub fn validate_pod_status_update(pod: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    annotation_updates(&mut e, pod, old);
    let (spec, status, old_status) = (pod.sub("spec"), pod.sub("status"), old.sub("status"));
    let meta_at = FieldPath::field("metadata");
    for (i, condition) in status.list("conditions").iter().enumerate() {
        let kind = condition.s("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            let p = meta_at.child("conditions");
            complain(&mut e, p.index(i).child("Type"), kind, is_qualified_name(kind));
        }
    }
    let p = FieldPath::field("status");
    if spec.s("nodeName") != old.sub("spec").s("nodeName") {
        e.push(FieldError::forbidden(p.child("nodeName"), "may not be changed directly"));
    }
    let nominated = status.s("nominatedNodeName");
    if !nominated.is_empty() && nominated != old_status.s("nominatedNodeName") {
        complain(&mut e, p.child("nominatedNodeName"), nominated, name_is_dns_subdomain(nominated, false));
    }
    immutable(&mut e, p.child("qosClass"), status.sub("qosClass"), old_status.sub("qosClass"));
    transitions(&mut e, p, status, old);
    claim_statuses(&mut e, p.child("resourceClaimStatuses"), status, spec);
    addresses(&mut e, p.child("podIPs"), status.list("podIPs"));
    let host_ips = status.list("hostIPs");
    if let Some(first) = host_ips.first()
        && first.s("ip") != status.s("hostIP")
    {
        let p = p.child("hostIPs");
        e.push(FieldError::invalid(p.index(0).child("ip"), first.s("ip"), "must be equal to `hostIP`"));
    }
    addresses(&mut e, p.child("hostIPs"), host_ips);
    let windows = spec.sub("os").s("name") == "windows";
    for field in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for (i, container) in status.list(field).iter().enumerate() {
            users(&mut e, p.child(field).index(i).child("linux"), container, windows);
        }
    }
    for (field, containers) in
        [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
    {
        for (i, container) in status.list(field).iter().enumerate() {
            allocated(&mut e, p.child(field).index(i), container, spec.list(containers));
        }
    }
    for (i, container) in status.list("ephemeralContainerStatuses").iter().enumerate() {
        if !container.list("allocatedResourcesStatus").is_empty() {
            let p = p.child("ephemeralContainerStatuses");
            let detail = "must not be specified in container status";
            e.push(FieldError::forbidden(p.index(i).child("allocatedResourcesStatus"), detail));
        }
    }
    e
}

/// What has ended for good does not start again.
fn transitions(e: &mut Errors, p: FieldPath<'_>, status: &Value, old: &Value) {
    let policy = old.sub("spec").s("restartPolicy");
    let inits = old.sub("spec").list("initContainers");
    for (field, policy) in [
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        if policy == "Always" {
            continue;
        }
        for (i, before) in old.sub("status").list(field).iter().enumerate() {
            let name = before.s("name");
            let Some(ended) = before.sub("state").opt("terminated") else { continue };
            let may_restart = (ended.num("exitCode") != 0 && policy == "OnFailure")
                || (field == "initContainerStatuses"
                    && inits.iter().any(|c| c.s("name") == name && is_sidecar(c)))
                || (field == "containerStatuses"
                    && old.sub("spec").list("containers").iter().any(|c| {
                        c.s("name") == name
                            && (c.has("restartPolicy") || !c.list("restartPolicyRules").is_empty())
                    }));
            if may_restart {
                continue;
            }
            for now in status.list(field) {
                if now.s("name") == name && !now.sub("state").has("terminated") {
                    let p = p.child(field);
                    let detail = "may not be transitioned to non-terminated state";
                    e.push(FieldError::forbidden(p.index(i).child("state"), detail));
                }
            }
        }
    }
}

fn claim_statuses(e: &mut Errors, p: FieldPath<'_>, status: &Value, spec: &Value) {
    let statuses = status.list("resourceClaimStatuses");
    let claims: Seen<_> = spec.list("resourceClaims").iter().map(|c| c.s("name")).collect();
    let mut seen = Seen::default();
    for (i, claim) in statuses.iter().enumerate() {
        let p = p.index(i);
        let name = claim.s("name");
        if !claims.has(&name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            e.push(FieldError::invalid(p.child("name"), name, detail));
        }
        if seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
        if let Some(object) = claim.opt_s("resourceClaimName") {
            complain(e, p.child("name"), object, name_is_dns_subdomain(object, false));
        }
    }
}

fn addresses(e: &mut Errors, p: FieldPath<'_>, list: &[Value]) {
    for (i, address) in list.iter().enumerate() {
        ip(e, p.index(i), address.s("ip"));
    }
    if list.len() < 2 {
        return;
    }
    let families: Vec<bool> = list
        .iter()
        .filter_map(|a| parse_ip_sloppy(a.s("ip")))
        .map(|ip| matches!(ip, IpAddr::V4(_)))
        .collect();
    let dual = families.contains(&true) && families.contains(&false);
    if !dual || list.len() > 2 {
        let detail = "may specify no more than one IP for each IP family";
        e.push(FieldError::invalid(p, list.to_vec(), detail));
    }
    let mut seen = Seen::default();
    for (i, address) in list.iter().enumerate() {
        if seen.again(address.s("ip")) {
            e.push(FieldError::duplicate(p.index(i), address.clone()));
        }
    }
}

fn users(e: &mut Errors, p: FieldPath<'_>, container: &Value, windows: bool) {
    let Some(user) = container.sub("user").opt("linux") else { return };
    if windows {
        e.push(FieldError::forbidden(p, "cannot be set for a windows pod"));
        return;
    }
    for text in is_valid_user_id(user.num("uid")) {
        e.push(FieldError::invalid(p.child("uid"), user.num("uid"), text));
    }
    for text in is_valid_group_id(user.num("gid")) {
        e.push(FieldError::invalid(p.child("gid"), user.num("gid"), text));
    }
    for (i, group) in user.list("supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        for text in is_valid_group_id(group) {
            e.push(FieldError::invalid(p.child("supplementalGroups").index(i), group, text));
        }
    }
}

fn allocated(e: &mut Errors, p: FieldPath<'_>, status: &Value, containers: &[Value]) {
    const HEALTH: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
    let container = containers.iter().find(|c| c.s("name") == status.s("name"));
    for (i, resource) in status.list("allocatedResourcesStatus").iter().enumerate() {
        let p = p.child("allocatedResourcesStatus");
        let p = p.index(i);
        let name = resource.s("name");
        if let Some(container) = container {
            let resources = container.sub("resources");
            let (found, detail) = if let Some(claimed) = name.strip_prefix("claim:") {
                let found = resources.list("claims").iter().any(|claim| match claim.s("request") {
                    "" => claim.s("name") == claimed,
                    request => format!("{}/{request}", claim.s("name")) == claimed,
                });
                (
                    found,
                    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty",
                )
            } else {
                (resources.sub("requests").has(name), "must match one of the container's resource requests")
            };
            if !found {
                e.push(FieldError::invalid(p.child("name"), name, detail));
            }
        }
        let list = resource.list("resources");
        let mut seen = Seen::default();
        for (j, device) in list.iter().enumerate() {
            let p = p.child("resources");
            let p = p.index(j);
            if !HEALTH.contains(&device.s("health")) {
                e.push(not_supported(p.child("health"), device.s("health"), &HEALTH));
            }
            if seen.again(device.s("resourceID")) {
                e.push(FieldError::duplicate(p.child("resourceID"), device.s("resourceID")));
            }
        }
    }
}
