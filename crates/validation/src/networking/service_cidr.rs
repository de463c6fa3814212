//! The addresses that services may have, and those they have.

use std::net::IpAddr;

use sampan_model::name::{
    is_cidr, is_dns1123_subdomain, is_path_segment_name, name_is_dns_label, parse_cidr_sloppy,
};
use sampan_model::{FieldError, FieldPath, Value};

use crate::look::{Errors, IMMUTABLE, Look, complain, immutable, strings};
use crate::strategy::{first_generation, keep_spec, keep_status, reset_status, spec_generation};
use crate::{KindRules, PartRules};

/// The rules of service CIDRs.
pub(crate) const CIDR: KindRules = KindRules {
    prepare_create: Some(reset_status),
    prepare_update: Some(keep_status),
    validate: Some(validate_service_cidr),
    validate_update: Some(validate_service_cidr_update),
    status: Some(PartRules {
        prepare_update: keep_spec,
        validate_update: None,
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

/// The rules of IP addresses.
pub(crate) const ADDRESS: KindRules = KindRules {
    prepare_create: Some(first_generation),
    prepare_update: Some(spec_generation),
    validate: Some(validate_ip_address),
    validate_update: Some(validate_ip_address_update),
    validate_name: Some(ip_address_name),
    ..KindRules::PLAIN
};

fn families(cidrs: &[Value]) -> Vec<bool> {
    strings(cidrs).filter_map(parse_cidr_sloppy).map(|(ip, _)| ip.is_ipv6()).collect()
}

/// What is wrong with a new service CIDR.
pub fn validate_service_cidr(cidr: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (cidr.sub("spec"), FieldPath::field("spec"));
    let (cidrs, p) = (spec.list("cidrs"), p.child("cidrs"));
    if cidrs.is_empty() {
        e.push(FieldError::required(p, "at least one CIDR required"));
        return e;
    }
    if cidrs.len() > 2 {
        e.push(FieldError::invalid(p, spec.clone(), "may only hold up to 2 values"));
        return e;
    }
    for (i, cidr) in strings(cidrs).enumerate() {
        e.append(&mut is_cidr(&p.index(i), cidr));
    }
    if e.is_empty()
        && let [a, b] = families(cidrs)[..]
        && a == b
    {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        e.push(FieldError::invalid(p, spec.clone(), detail));
    }
    e
}

/// A range may be added to a first one of the other family, or taken away again; no range changes.
pub fn validate_service_cidr_update(cidr: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (new, before) = (cidr.sub("spec").list("cidrs"), old.sub("spec").list("cidrs"));
    if new.len() < before.len() || before.is_empty() {
        e.append(&mut validate_service_cidr(cidr));
    }
    let p = FieldPath::field("spec");
    let p = p.child("cidrs");
    for (i, (new, old)) in new.iter().zip(before).enumerate() {
        if new != old {
            e.push(FieldError::invalid(p.index(i), new.clone(), IMMUTABLE));
        }
    }
    if new.len() > before.len() && e.is_empty() {
        e.append(&mut validate_service_cidr(cidr));
    }
    e
}

fn ip_address_name(name: &str, _: bool) -> Vec<String> {
    match name.parse::<IpAddr>() {
        Err(_) => vec![format!("ParseAddr({name:?}): unable to parse IP")],
        Ok(ip) if ip.to_string() != name => vec!["must be a canonical format IP address".to_owned()],
        Ok(_) => Vec::new(),
    }
}

/// What is wrong with a new IP address.
pub fn validate_ip_address(address: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("spec");
    let p = p.child("parentRef");
    let Some(parent) = address.sub("spec").opt("parentRef") else {
        e.push(FieldError::required(p, ""));
        return e;
    };
    let group = parent.s("group");
    if !group.is_empty() {
        complain(&mut e, p.child("group"), group, is_dns1123_subdomain(group));
    }
    for field in ["resource", "name"] {
        let value = parent.s(field);
        if value.is_empty() {
            e.push(FieldError::required(p.child(field), ""));
        } else {
            complain(&mut e, p.child(field), value, is_path_segment_name(value));
        }
    }
    let namespace = parent.s("namespace");
    if !namespace.is_empty() {
        complain(&mut e, p.child("namespace"), namespace, name_is_dns_label(namespace, false));
    }
    e
}

/// What is wrong with a change of an IP address.
pub fn validate_ip_address_update(address: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let parent = |a: &Value| a.sub("spec").sub("parentRef").clone();
    immutable(&mut e, FieldPath::field("spec").child("parentRef"), &parent(address), &parent(old));
    e
}
