//! What is wrong with a service.

use std::net::IpAddr;

use sampan_model::name::{
    is_cidr_for_legacy_field, is_dns1123_label, is_dns1123_subdomain, is_qualified_name,
    is_valid_ip_for_legacy_field, parse_ip_sloppy,
};
use sampan_model::{FieldError, FieldPath, Value};

use super::{NONE, is_externally_accessible, is_headless, needs_health_check};
use crate::core::endpoints::non_special_ip;
use crate::core::pod::container::PROTOCOLS;
use crate::core::pod::probe::{port_num, port_num_or_name};
use crate::look::{Errors, Look, annotation, complain, not_supported, one_of, required_one_of, strings};
use crate::seen::Seen;
use crate::selector;

/// What is wrong with a service.
pub fn validate_service(service: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (meta, spec) = (service.sub("metadata"), service.sub("spec"));
    topology_annotations(e, meta);
    let p = FieldPath::field("spec");
    let (kind, ports) = (spec.s("type"), spec.list("ports"));
    let headless = is_headless(spec);
    if ports.is_empty() && !headless && kind != "ExternalName" {
        e.push(FieldError::required(p.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            e.push(FieldError::invalid(p.child("clusterIPs").index(0), NONE, detail));
        }
        "ExternalName" => external_name(e, p, spec),
        _ => {}
    }
    let mut names = Seen::default();
    for (i, port) in ports.iter().enumerate() {
        service_port(e, p.child("ports").index(i), port, ports.len() == 1, &mut names);
    }
    selector::labels(e, p.child("selector"), spec.sub("selector"));
    session_affinity(e, p, spec);
    cluster_ips(e, p, spec);
    for (i, ip) in strings(spec.list("externalIPs")).enumerate() {
        let p = p.child("externalIPs");
        let p = p.index(i);
        let mut wrong = is_valid_ip_for_legacy_field(&p, ip, false, &[]);
        if wrong.is_empty() {
            non_special_ip(e, p, ip);
        }
        e.append(&mut wrong);
    }
    required_one_of(e, p.child("type"), kind, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    port_conflicts(e, p.child("ports"), ports, kind);
    source_ranges(e, p, meta, spec);
    let allocate = spec.has("allocateLoadBalancerNodePorts");
    if allocate && kind != "LoadBalancer" {
        let detail = "may only be used when `type` is 'LoadBalancer'";
        e.push(FieldError::forbidden(p.child("allocateLoadBalancerNodePorts"), detail));
    }
    if kind == "LoadBalancer" && !allocate {
        e.push(FieldError::required("allocateLoadBalancerNodePorts", ""));
    }
    load_balancer_class(e, spec, None);
    traffic(e, p, spec);
    errors
}

fn topology_annotations(e: &mut Errors, meta: &Value) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    if let (Some(hints), Some(mode)) = (annotation(meta, HINTS), annotation(meta, MODE))
        && hints != mode
    {
        let p = FieldPath::field("metadata");
        let detail = format!("must match annotations[{HINTS}] when both are specified");
        e.push(FieldError::invalid(p.child("annotations").key(MODE), mode, detail));
    }
}

fn external_name(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let detail = "may not be set for ExternalName services";
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if spec.has(field) && !spec.sub(field).is_empty() {
            e.push(FieldError::forbidden(p.child(field), detail));
        }
    }
    let name = spec.s("externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        e.push(FieldError::required(p.child("externalName"), ""));
    } else {
        complain(e, p.child("externalName"), name, is_dns1123_subdomain(name));
    }
}

/// `names` are those of the ports before it.
fn service_port<'a>(
    e: &mut Errors,
    p: FieldPath<'_>,
    port: &'a Value,
    is_only: bool,
    names: &mut Seen<&'a str>,
) {
    let name = port.s("name");
    if name.is_empty() {
        if !is_only {
            e.push(FieldError::required(p.child("name"), ""));
        }
    } else {
        complain(e, p.child("name"), name, is_dns1123_label(name));
        if names.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
    }
    port_num(e, p.child("port"), port.num("port"));
    required_one_of(e, p.child("protocol"), port.s("protocol"), &PROTOCOLS);
    port_num_or_name(e, p.child("targetPort"), port.sub("targetPort"));
    if let Some(protocol) = port.opt_s("appProtocol") {
        complain(e, p.child("appProtocol"), protocol, is_qualified_name(protocol));
    }
}

fn session_affinity(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    const MAX: i64 = 86_400;
    let affinity = spec.s("sessionAffinity");
    required_one_of(e, p.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let at = p.child("sessionAffinityConfig");
    let config = spec.sub("sessionAffinityConfig");
    if affinity == "ClientIP" {
        let missing = "when session affinity type is ClientIP";
        let client = at.child("clientIP");
        if config.is_null() {
            e.push(FieldError::required(at, missing));
        } else if !config.has("clientIP") {
            e.push(FieldError::required(client, missing));
        } else if let Some(seconds) = config.sub("clientIP").opt_num("timeoutSeconds") {
            if seconds <= 0 || seconds > MAX {
                let detail = format!("must be greater than 0 and less than {MAX}");
                e.push(FieldError::invalid(client.child("timeoutSeconds"), seconds, detail));
            }
        } else {
            e.push(FieldError::required(client.child("timeoutSeconds"), missing));
        }
    } else if affinity == "None" && !config.is_null() {
        e.push(FieldError::forbidden(at, "must not be set when session affinity is None"));
    }
}

/// The addresses, their families and the policy of families must fit.
fn cluster_ips(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    if spec.s("type") == "ExternalName" {
        return;
    }
    let (one, list, families) = (spec.s("clusterIP"), spec.list("clusterIPs"), spec.list("ipFamilies"));
    let (at, families_at) = (p.child("clusterIPs"), p.child("ipFamilies"));
    match (one, list.first()) {
        ("", Some(_)) => {
            let detail = "must be empty when `clusterIP` is not specified";
            e.push(FieldError::invalid(at, list.to_vec(), detail));
        }
        ("", None) => {}
        (_, None) => e.push(FieldError::required(at, "")),
        (one, Some(first)) if first.as_str() != Some(one) => {
            e.push(FieldError::invalid(at, list.to_vec(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    let mut seen = Seen::default();
    for (i, family) in strings(families).enumerate() {
        if !["IPv4", "IPv6"].contains(&family) {
            e.push(not_supported(families_at.index(i), family, &["IPv4", "IPv6"]));
        }
        if seen.again(family) {
            e.push(FieldError::duplicate(families_at.index(i), family));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    one_of(e, p.child("ipFamilyPolicy"), spec.opt_s("ipFamilyPolicy"), &policies);
    let mut unreadable = false;
    for (i, ip) in strings(list).enumerate() {
        if i == 0 && ip == NONE {
            if list.len() > 1 {
                unreadable = true;
                let detail = "'None' must be the first and only value";
                e.push(FieldError::invalid(at, list.to_vec(), detail));
            }
            continue;
        }
        let mut wrong = is_valid_ip_for_legacy_field(&at.index(i), ip, false, &[]);
        unreadable |= !wrong.is_empty();
        e.append(&mut wrong);
    }
    if list.len() > 2 {
        e.push(FieldError::invalid(at, list.to_vec(), "may only hold up to 2 values"));
    }
    if unreadable {
        return;
    }
    let is_v6 = |ip: &str| matches!(parse_ip_sloppy(ip), Some(IpAddr::V6(_)));
    if list.len() > 1 {
        let v6 = strings(list).filter(|ip| is_v6(ip)).count();
        if v6 == 0 || v6 == list.len() {
            let detail = "may specify no more than one IP for each IP family";
            e.push(FieldError::invalid(at, list.to_vec(), detail));
        }
    }
    if !is_headless(spec) {
        for (i, (ip, family)) in strings(list).zip(strings(families)).enumerate() {
            if (family == "IPv4" && is_v6(ip)) || (family == "IPv6" && !is_v6(ip)) {
                let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
                e.push(FieldError::invalid(at.index(i), ip, detail));
            }
        }
    }
}

fn port_conflicts(e: &mut Errors, p: FieldPath<'_>, ports: &[Value], kind: &str) {
    if kind == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, port)| port.num("nodePort") != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            e.push(FieldError::forbidden(p.index(i).child("nodePort"), detail));
        }
    }
    let mut taken = Seen::default();
    for (i, port) in ports.iter().enumerate() {
        let number = port.num("nodePort");
        if number != 0 && taken.again((port.s("protocol"), number)) {
            e.push(FieldError::duplicate(p.index(i).child("nodePort"), number));
        }
    }
    let mut taken = Seen::default();
    for (i, port) in ports.iter().enumerate() {
        if taken.again((port.s("protocol"), port.num("port"))) {
            let shown = crate::look::go_struct_text([
                ("Name", "".into()),
                ("Protocol", port.s("protocol").into()),
                ("AppProtocol", Value::Null),
                ("Port", port.num("port").into()),
                ("TargetPort", 0.into()),
                ("NodePort", 0.into()),
            ]);
            e.push(FieldError::duplicate(p.index(i), Value::Null).showing(shown));
        }
    }
}

fn source_ranges(e: &mut Errors, p: FieldPath<'_>, meta: &Value, spec: &Value) {
    const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let detail = "may only be used when `type` is 'LoadBalancer'";
    let balanced = spec.s("type") == "LoadBalancer";
    let ranges = spec.list("loadBalancerSourceRanges");
    if !ranges.is_empty() {
        let p = p.child("LoadBalancerSourceRanges");
        if !balanced {
            e.push(FieldError::forbidden(p, detail));
        }
        for (i, range) in strings(ranges).enumerate() {
            e.append(&mut is_cidr_for_legacy_field(&p.index(i), range.trim(), false, &[]));
        }
    } else if let Some(ranges) = annotation(meta, ANNOTATION) {
        let p = FieldPath::field("metadata");
        let p = p.child("annotations");
        let p = p.key(ANNOTATION);
        if !balanced {
            e.push(FieldError::forbidden(p, detail));
        }
        for range in ranges.split(',').map(str::trim).filter(|_| !ranges.trim().is_empty()) {
            e.append(&mut is_cidr_for_legacy_field(&p, range, false, &[]));
        }
    }
}

fn load_balancer_class(e: &mut Errors, spec: &Value, old: Option<&Value>) {
    let p = FieldPath::field("spec");
    let p = p.child("loadBalancerClass");
    let balanced = |spec: &Value| spec.s("type") == "LoadBalancer";
    let class = spec.opt_s("loadBalancerClass");
    if let Some(old) = old
        && balanced(old)
        && balanced(spec)
        && old.opt_s("loadBalancerClass") != class
    {
        e.push(FieldError::invalid(p, class, "may not change once set"));
    }
    let Some(class) = class else { return };
    if balanced(spec) {
        complain(e, p, class, is_qualified_name(class));
    } else {
        e.push(FieldError::forbidden(p, "may only be used when `type` is 'LoadBalancer'"));
    }
}

fn traffic(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let policy = spec.s("externalTrafficPolicy");
    let at = p.child("externalTrafficPolicy");
    if is_externally_accessible(spec) {
        required_one_of(e, at, policy, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        let detail = "may only be set for externally-accessible services";
        e.push(FieldError::invalid(at, policy, detail));
    }
    let at = p.child("healthCheckNodePort");
    let port = spec.num("healthCheckNodePort");
    match (needs_health_check(spec), port) {
        (false, 0) => {}
        (false, port) => {
            let detail =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            e.push(FieldError::invalid(at, port, detail));
        }
        (true, 0) => e.push(FieldError::required(at, "")),
        (true, port) => port_num(e, at, port),
    }
    let at = p.child("internalTrafficPolicy");
    match spec.opt_s("internalTrafficPolicy") {
        None if matches!(spec.s("type"), "NodePort" | "LoadBalancer" | "ClusterIP") => {
            e.push(FieldError::required(at, ""));
        }
        policy => one_of(e, at, policy, &["Cluster", "Local"]),
    }
    one_of(
        e,
        p.child("trafficDistribution"),
        spec.opt_s("trafficDistribution"),
        &["PreferClose", "PreferSameZone", "PreferSameNode"],
    );
}

/// What is wrong with a change of a service.
pub fn validate_service_update(service: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, old_spec) = (service.sub("spec"), old.sub("spec"));
    primary_kept(&mut e, "clusterIPs", spec, old_spec);
    primary_kept(&mut e, "ipFamilies", spec, old_spec);
    load_balancer_class(&mut e, spec, Some(old_spec));
    if needs_health_check(spec)
        && needs_health_check(old_spec)
        && spec.num("healthCheckNodePort") != old_spec.num("healthCheckNodePort")
    {
        e.push(FieldError::forbidden("spec.healthCheckNodePort", "field is immutable"));
    }
    e.append(&mut validate_service(service));
    e
}

/// A second address or family may come and go; the first stays, unless the type changes to or from a name.
fn primary_kept(e: &mut Errors, field: &str, spec: &Value, old: &Value) {
    if spec.s("type") == "ExternalName" || old.s("type") == "ExternalName" {
        return;
    }
    let (headless, was_headless) = (is_headless(spec), is_headless(old));
    let families = field == "ipFamilies";
    if (headless && was_headless) || (families && headless != was_headless) {
        return;
    }
    let (new_list, old_list) = (spec.list(field), old.list(field));
    let p = FieldPath::field("spec");
    let at = p.child(field);
    let what = if families { "ipFamily" } else { "clusterIP" };
    // Of families upstream shows the addresses where the lengths differ.
    let shown = spec.list("clusterIPs").to_vec();
    let changed = "may not change once set";
    if new_list.len() == old_list.len() {
        for (i, (new, old)) in new_list.iter().zip(old_list).enumerate() {
            if new != old {
                let i = if families { 0 } else { i };
                e.push(FieldError::invalid(at.index(i), new_list.to_vec(), changed));
            }
        }
        return;
    }
    let first_changed = matches!((new_list.first(), old_list.first()), (Some(new), Some(old)) if new != old);
    if old_list.len() > new_list.len() {
        if spec.list("clusterIPs").is_empty() {
            let detail = format!("primary {what} can not be unset");
            e.push(FieldError::invalid(at.index(0), new_list.to_vec(), detail));
        }
        if first_changed {
            e.push(FieldError::invalid(at.index(0), shown, changed));
        }
        if new_list.len() == 1 && spec.s("ipFamilyPolicy") != "SingleStack" {
            let detail = format!("must be set to 'SingleStack' when releasing the secondary {what}");
            e.push(FieldError::invalid(p.child("ipFamilyPolicy"), spec.opt_s("ipFamilyPolicy"), detail));
        }
    } else if first_changed {
        e.push(FieldError::invalid(at.index(0), shown, changed));
    }
}
