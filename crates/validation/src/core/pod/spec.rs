//! A pod's spec as a whole, whether in a pod or in a template.

use sampan_model::name::{
    inclusive_range_error, is_dns1123_label, is_dns1123_subdomain, name_is_dns_subdomain,
};
use sampan_model::{FieldError, FieldPath, Value};

use super::container::{ContainerContext, containers, ephemeral_containers, init_containers};
use super::volume::{VolumeContext, volumes};
use super::{affinity, annotations, resources, scheduling, security, windows};
use crate::look::{Errors, Look, complain, required_one_of};
use crate::selector;

/// The largest number of seconds of `activeDeadlineSeconds`.
pub(crate) const MAX_INT32: i64 = i32::MAX as i64;

/// Checks a `PodSpec`.
pub(crate) fn pod_spec(e: &mut Errors, p: FieldPath<'_>, spec: &Value, cx: VolumeContext<'_>) {
    let grace = spec.opt_num("terminationGracePeriodSeconds");
    if grace.is_none() {
        e.push(FieldError::required(p.child("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volumes(e, p.child("volumes"), spec.list("volumes"), cx);
    let claims = spec.list("resourceClaims");
    scheduling::resource_claims(e, p.child("resourceClaims"), claims);
    let in_pod = ContainerContext {
        volumes: &volumes,
        claims,
        grace,
        restart_policy: spec.s("restartPolicy"),
        os: spec.sub("os").opt_s("name"),
        host_users: spec.opt_flag("hostUsers").unwrap_or(true),
    };
    let regular = spec.list("containers");
    containers(e, p.child("containers"), regular, &in_pod);
    init_containers(e, p.child("initContainers"), spec.list("initContainers"), regular, &in_pod);
    ephemeral_containers(e, p.child("ephemeralContainers"), spec, &in_pod);
    resources::pod_resources(e, p.child("resources"), spec);
    host_network_ports(e, p, spec, cx.is_pod);
    let at = p.child("restartPolicy");
    required_one_of(e, at, spec.s("restartPolicy"), &["Always", "OnFailure", "Never"]);
    scheduling::dns_policy(e, p.child("dnsPolicy"), spec.s("dnsPolicy"));
    selector::labels(e, p.child("nodeSelector"), spec.sub("nodeSelector"));
    security::pod_security_context(e, p.child("securityContext"), spec);
    scheduling::image_pull_secrets(e, p.child("imagePullSecrets"), spec.list("imagePullSecrets"));
    affinity::affinity(e, p.child("affinity"), spec.sub("affinity"));
    scheduling::dns_config(e, p.child("dnsConfig"), spec.sub("dnsConfig"), spec.s("dnsPolicy"));
    scheduling::readiness_gates(e, p.child("readinessGates"), spec.list("readinessGates"));
    scheduling::scheduling_gates(e, p.child("schedulingGates"), spec.list("schedulingGates"));
    let at = p.child("topologySpreadConstraints");
    scheduling::topology_spread(e, at, spec.list("topologySpreadConstraints"));
    windows::host_process(e, p, spec);
    security::host_users(e, p, spec);
    names(e, p, spec);
    if let Some(overhead) = spec.opt("overhead") {
        resources::overhead(e, p.child("overhead"), overhead);
    }
    windows::os(e, p, spec);
}

fn names(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let name = |e: &mut Errors, field: &str| {
        let value = spec.s(field);
        if !value.is_empty() {
            complain(e, p.child(field), value, name_is_dns_subdomain(value, false));
        }
    };
    name(e, "serviceAccountName");
    name(e, "nodeName");
    if let Some(seconds) = spec.opt_num("activeDeadlineSeconds")
        && !(1..=MAX_INT32).contains(&seconds)
    {
        let detail = inclusive_range_error(1, MAX_INT32);
        e.push(FieldError::invalid(p.child("activeDeadlineSeconds"), seconds, detail));
    }
    for field in ["hostname", "subdomain"] {
        let value = spec.s(field);
        if !value.is_empty() {
            complain(e, p.child(field), value, is_dns1123_label(value));
        }
    }
    if let Some(value) = spec.opt_s("hostnameOverride") {
        let at = p.child("hostnameOverride");
        if value.len() > 64 {
            e.push(FieldError::invalid(at, value, "must be no more than 64 characters"));
        }
        complain(e, at, value, is_dns1123_subdomain(value));
        if spec.flag("hostNetwork") {
            e.push(FieldError::forbidden(at, "may not be specified when hostNetwork is true"));
        }
        if spec.flag("setHostnameAsFQDN") {
            e.push(FieldError::forbidden(at, "may not be specified when setHostnameAsFQDN is true"));
        }
    }
    scheduling::tolerations(e, p.child("tolerations"), spec.list("tolerations"));
    scheduling::host_aliases(e, p.child("hostAliases"), spec.list("hostAliases"));
    name(e, "priorityClassName");
    if let Some(class) = spec.opt_s("runtimeClassName") {
        complain(e, p.child("runtimeClassName"), class, name_is_dns_subdomain(class, false));
    }
    if let Some(policy) = spec.opt_s("preemptionPolicy") {
        required_one_of(e, p.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
}

fn host_network_ports(e: &mut Errors, p: FieldPath<'_>, spec: &Value, is_pod: bool) {
    if !spec.flag("hostNetwork") {
        return;
    }
    for (i, container) in spec.list("containers").iter().enumerate() {
        for (j, port) in container.list("ports").iter().enumerate() {
            let (host, own) = (port.num("hostPort"), port.num("containerPort"));
            if (is_pod || host != 0) && host != own {
                let p = p.child("containers");
                let p = p.index(i);
                let p = p.child("ports");
                let p = p.index(j);
                let p = p.child("hostPort");
                let detail = "must match `containerPort` when `hostNetwork` is true";
                e.push(FieldError::invalid(p, host, detail));
            }
        }
    }
}

/// Checks a `PodTemplateSpec`.
pub(crate) fn pod_template(e: &mut Errors, p: FieldPath<'_>, template: &Value) {
    let meta = template.sub("metadata");
    selector::labels(e, p.child("labels"), meta.sub("labels"));
    selector::annotations(e, p.child("annotations"), meta.sub("annotations"));
    let spec = template.sub("spec");
    annotations::annotations(e, p.child("annotations"), meta, spec);
    pod_spec(e, p.child("spec"), spec, VolumeContext { pod_name: "", is_pod: false });
    annotations::match_fields(e, p.child("spec"), meta, spec);
    if !spec.list("ephemeralContainers").is_empty() {
        let p = p.child("spec");
        let p = p.child("ephemeralContainers");
        e.push(FieldError::forbidden(p, "ephemeral containers not allowed in pod template"));
    }
}
