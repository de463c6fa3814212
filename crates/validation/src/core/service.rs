//! Services: defaults, what follows a change of type, and the status of load balancers.

mod ips;
mod validate;

use sampan_model::name::{is_dns1123_subdomain, parse_ip_sloppy};
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::pod::scheduling::ip;
use crate::look::{
    Errors, Look, Put, complain, items_mut, not_supported, restore, same, spec_mut, strings, top,
};
use crate::{KindRules, Params, PartRules};

pub use ips::{normalize_cluster_ips, patch_allocated};
pub use validate::{validate_service, validate_service_update};

/// The rules of services. Addresses and node ports are allocated by the server before [`validate_service`].
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_service),
    prepare_create: Some(prepare_service_for_create),
    prepare_update: Some(prepare_service_for_update),
    validate: Some(validate_service),
    validate_update: Some(validate_service_update),
    warnings: Some(service_warnings),
    // Since the relaxed rule (KEP-5311) a name may begin with a digit.
    validate_name: Some(sampan_model::name::name_is_dns_label),
    status: Some(PartRules {
        prepare_update: prepare_service_status,
        validate_update: Some(validate_service_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    create_on_update: true,
    reset_fields: crate::rules::STATUS,
    delete_returns_object: true,
    ..KindRules::PLAIN
};

const NONE: &str = "None";

pub(crate) fn is_headless(spec: &Value) -> bool {
    matches!(spec.list("clusterIPs"), [only] if only.as_str() == Some(NONE))
}

fn needs_cluster_ip(spec: &Value) -> bool {
    matches!(spec.s("type"), "ClusterIP" | "NodePort" | "LoadBalancer")
}

pub(crate) fn needs_node_port(spec: &Value) -> bool {
    let kind = spec.s("type");
    kind == "NodePort"
        || (kind == "LoadBalancer" && spec.opt_flag("allocateLoadBalancerNodePorts") != Some(false))
}

pub(crate) fn needs_health_check(spec: &Value) -> bool {
    spec.s("type") == "LoadBalancer" && spec.s("externalTrafficPolicy") == "Local"
}

pub(crate) fn is_externally_accessible(spec: &Value) -> bool {
    let kind = spec.s("type");
    matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !spec.list("externalIPs").is_empty())
}

/// Sets a service's defaults.
pub fn default_service(service: &mut Value) {
    let spec = spec_mut(service);
    spec.default_to("sessionAffinity", "None");
    match spec.s("sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" if !spec.sub("sessionAffinityConfig").sub("clientIP").has("timeoutSeconds") => {
            let config = spec.object_mut("sessionAffinityConfig").object_mut("clientIP");
            config.insert("timeoutSeconds", 10_800);
        }
        _ => {}
    }
    spec.default_to("type", "ClusterIP");
    for port in items_mut(spec, "ports") {
        port.default_to("protocol", "TCP");
        let number = port.num("port");
        port.default_to("targetPort", number);
    }
    let view = Value::Object(std::mem::take(spec));
    let (external, kind) = (is_externally_accessible(&view), view.s("type").to_owned());
    if let Value::Object(map) = view {
        *spec = map;
    }
    if external {
        spec.default_to("externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        spec.default_ptr("internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        spec.default_ptr("allocateLoadBalancerNodePorts", true);
        if let Some(balancer) = crate::look::map_mut(service, "status")
            .and_then(|s| s.get_mut("loadBalancer"))
            .and_then(Value::as_object_mut)
        {
            for ingress in items_mut(balancer, "ingress") {
                if !ingress.s("ip").is_empty() {
                    ingress.default_ptr("ipMode", "VIP");
                }
            }
        }
    }
}

/// A new service has no status yet.
pub fn prepare_service_for_create(service: &mut Value, _: &Params<'_>) {
    top(service).insert("status", Map::new());
    normalize_cluster_ips(service, None);
}

/// What was allocated stays; what the old type had, and the new one cannot, goes.
pub fn prepare_service_for_update(service: &mut Value, old: &Value, _: &Params<'_>) {
    restore(service, old, "status");
    patch_allocated(service, old);
    normalize_cluster_ips(service, Some(old));
    drop_type_dependent_fields(service, old);
}

fn drop_type_dependent_fields(service: &mut Value, old: &Value) {
    let new_spec = service.sub("spec").clone();
    let old_spec = old.sub("spec");
    let unchanged = |field: &str| same(new_spec.sub(field), old_spec.sub(field));
    let spec = spec_mut(service);
    if needs_cluster_ip(old_spec) && !needs_cluster_ip(&new_spec) {
        if unchanged("clusterIP") && unchanged("clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if unchanged(field) {
                spec.remove(field);
            }
        }
    }
    if needs_node_port(old_spec) && !needs_node_port(&new_spec) {
        let ports = |spec: &Value| -> Vec<i64> {
            spec.list("ports").iter().map(|p| p.num("nodePort")).filter(|p| *p != 0).collect()
        };
        let (new, old) = (ports(&new_spec), ports(old_spec));
        if new.iter().all(|port| old.contains(port)) && old.iter().all(|port| new.contains(port)) {
            for port in items_mut(spec, "ports") {
                port.remove("nodePort");
            }
        }
    }
    if needs_health_check(old_spec) && !needs_health_check(&new_spec) && unchanged("healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    let balanced = |spec: &Value| spec.s("type") == "LoadBalancer";
    if balanced(old_spec) && !balanced(&new_spec) {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(field) {
                spec.remove(field);
            }
        }
    }
    if is_externally_accessible(old_spec)
        && !is_externally_accessible(&new_spec)
        && unchanged("externalTrafficPolicy")
    {
        spec.remove("externalTrafficPolicy");
    }
    if balanced(old_spec) && !balanced(&new_spec) {
        top(service).object_mut("status").insert("loadBalancer", Map::new());
    }
}

/// Through `status` only the status changes.
pub fn prepare_service_status(new: &mut Value, old: &Value, _: &Params<'_>) {
    restore(new, old, "spec");
}

/// What is wrong with a change of a service's status.
pub fn validate_service_status_update(new: &Value, _: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("status");
    let p = p.child("loadBalancer");
    let p = p.child("ingress");
    let ingress = new.sub("status").sub("loadBalancer").list("ingress");
    if new.sub("spec").s("type") != "LoadBalancer" && !ingress.is_empty() {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        e.push(FieldError::forbidden(p, detail));
        return e;
    }
    for (i, point) in ingress.iter().enumerate() {
        load_balancer_ingress(&mut e, p.index(i), point);
    }
    e
}

fn load_balancer_ingress(e: &mut Errors, p: FieldPath<'_>, ingress: &Value) {
    let (address, host) = (ingress.s("ip"), ingress.s("hostname"));
    if !address.is_empty() {
        ip(e, p.child("ip"), address);
    }
    match ingress.opt_s("ipMode") {
        None if !address.is_empty() => {
            e.push(FieldError::required(p.child("ipMode"), "must be specified when `ip` is set"));
        }
        None => {}
        Some(_) if address.is_empty() => {
            let detail = "may not be specified when `ip` is not set";
            e.push(FieldError::forbidden(p.child("ipMode"), detail));
        }
        Some("VIP" | "Proxy") => {}
        Some(other) => e.push(not_supported(p.child("ipMode"), other, &["Proxy", "VIP"])),
    }
    if !host.is_empty() {
        complain(e, p.child("hostname"), host, is_dns1123_subdomain(host));
        if parse_ip_sloppy(host).is_some() {
            let detail = "must be a DNS name, not an IP address";
            e.push(FieldError::invalid(p.child("hostname"), host, detail));
        }
    }
}

/// Warnings about a service.
pub fn service_warnings(service: &Value, _: Option<&Value>) -> Vec<String> {
    use sampan_model::name::{cidr_warnings, ip_warnings};
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let mut w = Vec::new();
    let (spec, at) = (service.sub("spec"), FieldPath::field("spec"));
    if crate::look::annotation(service.sub("metadata"), HINTS).is_some() {
        w.push(format!(
            "annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let cluster_ip = spec.s("clusterIP");
    if !cluster_ip.is_empty() && cluster_ip != NONE {
        for (i, ip) in strings(spec.list("clusterIPs")).enumerate() {
            w.append(&mut ip_warnings(&at.child("clusterIPs").index(i), ip));
        }
    }
    let headless = spec.s("type") == "ClusterIP" && cluster_ip == NONE;
    let (external_ips, balancer_ip) = (spec.list("externalIPs"), spec.s("loadBalancerIP"));
    let external_name = spec.s("type") == "ExternalName";
    if headless {
        if !balancer_ip.is_empty() {
            w.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if !external_ips.is_empty() {
            w.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if spec.s("sessionAffinity") != NONE {
            w.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    for (i, ip) in strings(external_ips).enumerate() {
        w.append(&mut ip_warnings(&at.child("externalIPs").index(i), ip));
    }
    if !external_ips.is_empty() && !headless && !external_name {
        w.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if !balancer_ip.is_empty() {
        w.append(&mut ip_warnings(&at.child("loadBalancerIP"), balancer_ip));
    }
    for (i, range) in strings(spec.list("loadBalancerSourceRanges")).enumerate() {
        w.append(&mut cidr_warnings(&at.child("loadBalancerSourceRanges").index(i), range));
    }
    if external_name && !external_ips.is_empty() {
        w.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external_name && !spec.s("externalName").is_empty() {
        w.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.s("trafficDistribution") == "PreferClose" {
        w.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    w
}
