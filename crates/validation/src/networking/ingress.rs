//! Ingresses: rules that bring requests from outside to services.

use sampan_model::name::{
    is_dns1123_subdomain, is_path_segment_name, is_valid_ip_for_legacy_field, is_valid_port_name,
    is_wildcard_dns1123_subdomain, name_is_dns_label, name_is_dns_subdomain, parse_ip_sloppy,
};
use sampan_model::{FieldError, FieldPath, Value};

use crate::apps::{prepare_create, prepare_status, prepare_update};
use crate::core::pod::probe::port_num;
use crate::look::{Errors, Look, annotation, complain, not_supported, strings};
use crate::{KindRules, PartRules};

const CLASS: &str = "kubernetes.io/ingress.class";

/// The rules of ingresses.
pub(crate) const RULES: KindRules = KindRules {
    prepare_create: Some(prepare_create),
    prepare_update: Some(prepare_update),
    validate: Some(validate_ingress),
    validate_update: Some(|new, _| ingress_spec(new)),
    warnings: Some(ingress_warnings),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: Some(validate_ingress_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// What is wrong with a new ingress.
pub fn validate_ingress(ingress: &Value) -> Vec<FieldError> {
    let mut e = ingress_spec(ingress);
    let class = ingress.sub("spec").opt_s("ingressClassName");
    if let (Some(annotated), Some(class)) = (annotation(ingress.sub("metadata"), CLASS), class)
        && annotated != class
    {
        let p = FieldPath::field("annotations");
        let detail = "must match `ingressClassName` when both are specified";
        e.push(FieldError::invalid(p.child(CLASS), annotated, detail));
    }
    e
}

fn ingress_spec(ingress: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (ingress.sub("spec"), FieldPath::field("spec"));
    let (rules, backend) = (spec.list("rules"), spec.opt("defaultBackend"));
    if rules.is_empty() && backend.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        e.push(FieldError::invalid(p, spec.sub("rules").clone(), detail));
    }
    if let Some(backend) = backend {
        ingress_backend(e, p.child("defaultBackend"), backend);
    }
    for (i, rule) in rules.iter().enumerate() {
        let p = p.child("rules");
        let p = p.index(i);
        let host = rule.s("host");
        if !host.is_empty() {
            if parse_ip_sloppy(host).is_some() {
                let detail = "must be a DNS name, not an IP address";
                e.push(FieldError::invalid(p.child("host"), host, detail));
            }
            complain(e, p.child("host"), host, host_complaints(host));
        }
        let Some(http) = rule.opt("http") else { continue };
        let p = p.child("http");
        let p = p.child("paths");
        if http.list("paths").is_empty() {
            e.push(FieldError::required(p, ""));
        }
        for (j, path) in http.list("paths").iter().enumerate() {
            http_path(e, p.index(j), path);
        }
    }
    for (i, tls) in spec.list("tls").iter().enumerate() {
        let p = p.child("tls");
        let p = p.index(i);
        for (j, host) in strings(tls.list("hosts")).enumerate() {
            complain(e, p.child("hosts").index(j), host, host_complaints(host));
        }
        let secret = tls.s("secretName");
        if !secret.is_empty() {
            complain(e, p.child("secretName"), secret, name_is_dns_subdomain(secret, false));
        }
    }
    if let Some(class) = spec.opt_s("ingressClassName") {
        complain(e, p.child("ingressClassName"), class, name_is_dns_subdomain(class, false));
    }
    errors
}

fn host_complaints(host: &str) -> Vec<String> {
    if host.contains('*') { is_wildcard_dns1123_subdomain(host) } else { is_dns1123_subdomain(host) }
}

fn http_path(e: &mut Errors, p: FieldPath<'_>, rule: &Value) {
    const TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
    let Some(kind) = rule.opt_s("pathType") else {
        e.push(FieldError::required(p.child("pathType"), "pathType must be specified"));
        return;
    };
    let (path, at) = (rule.s("path"), p.child("path"));
    let exact = matches!(kind, "Exact" | "Prefix");
    if TYPES.contains(&kind) && !path.starts_with('/') && (exact || !path.is_empty()) {
        e.push(FieldError::invalid(at, path, "must be an absolute path"));
    }
    if exact {
        for sequence in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|s| path.contains(**s)) {
            e.push(FieldError::invalid(at, path, format!("must not contain '{sequence}'")));
        }
        for end in ["/..", "/."].iter().filter(|s| path.ends_with(**s)) {
            e.push(FieldError::invalid(at, path, format!("cannot end with '{end}'")));
        }
    } else if !TYPES.contains(&kind) {
        e.push(not_supported(p.child("pathType"), kind, &TYPES));
    }
    ingress_backend(e, p.child("backend"), rule.sub("backend"));
}

fn ingress_backend(e: &mut Errors, p: FieldPath<'_>, backend: &Value) {
    match (backend.opt("resource"), backend.opt("service")) {
        (Some(_), Some(_)) => {
            e.push(FieldError::invalid(p, "", "cannot set both resource and service backends"));
        }
        (Some(resource), None) => typed_reference(e, p.child("resource"), resource),
        (None, Some(service)) => {
            let at = p.child("service");
            let name = service.s("name");
            if name.is_empty() {
                e.push(FieldError::required(at.child("name"), ""));
            } else {
                complain(e, at.child("name"), name, name_is_dns_label(name, false));
            }
            let port = service.sub("port");
            let (name, number, at) = (port.s("name"), port.num("number"), at.child("port"));
            match (name.is_empty(), number) {
                (true, 0) => e.push(FieldError::required(p, "port name or number is required")),
                (true, number) => port_num(e, at.child("number"), number),
                (false, 0) => complain(e, at.child("name"), name, is_valid_port_name(name)),
                (false, _) => {
                    e.push(FieldError::invalid(p, "", "cannot set both port name & port number"));
                }
            }
        }
        (None, None) => e.push(FieldError::invalid(p, "", "resource or service backend is required")),
    }
}

/// A reference by group, kind and name.
pub(crate) fn typed_reference(e: &mut Errors, p: FieldPath<'_>, reference: &Value) {
    let group = reference.s("apiGroup");
    if !group.is_empty() {
        complain(e, p.child("apiGroup"), group, is_dns1123_subdomain(group));
    }
    for (field, detail) in [("kind", "kind is required"), ("name", "name is required")] {
        let value = reference.s(field);
        if value.is_empty() {
            e.push(FieldError::required(p.child(field), detail));
        } else {
            complain(e, p.child(field), value, is_path_segment_name(value));
        }
    }
}

/// What is wrong with a change of an ingress's status.
pub fn validate_ingress_status_update(ingress: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let of = |i: &Value| i.sub("status").sub("loadBalancer").list("ingress").to_vec();
    let before = of(old);
    let known: Vec<&str> = before.iter().map(|i| i.s("ip")).collect();
    let p = FieldPath::field("status");
    let p = p.child("loadBalancer");
    let p = p.child("ingress");
    for (i, point) in of(ingress).iter().enumerate() {
        let p = p.index(i);
        let (ip, host) = (point.s("ip"), point.s("hostname"));
        if !ip.is_empty() {
            e.append(&mut is_valid_ip_for_legacy_field(&p.child("ip"), ip, true, &known));
        }
        if !host.is_empty() {
            complain(&mut e, p.child("hostname"), host, is_dns1123_subdomain(host));
            if parse_ip_sloppy(host).is_some() {
                let detail = "must be a DNS name, not an IP address";
                e.push(FieldError::invalid(p.child("hostname"), host, detail));
            }
        }
    }
    e
}

/// The annotation that named the class is old.
pub fn ingress_warnings(ingress: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_none() && annotation(ingress.sub("metadata"), CLASS).is_some() {
        return vec![format!(
            "annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"
        )];
    }
    Vec::new()
}
