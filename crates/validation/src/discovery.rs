//! Endpoint slices.

use sampan_model::name::{
    ip_warnings, is_dns1123_label, is_fully_qualified_domain_name, is_ipv4_address, is_ipv6_address,
    is_qualified_name, name_is_dns_subdomain,
};
use sampan_model::{FieldError, FieldPath, Value};

use crate::core::endpoints::non_special_ip;
use crate::core::pod::container::PROTOCOLS;
use crate::look::{
    Errors, Look, Put, bump_generation, complain, immutable, items_mut, not_supported, same, strings, top,
};
use crate::seen::Seen;
use crate::strategy::{content_differs, first_generation};
use crate::{KindRules, Params};

/// The rules of endpoint slices.
pub(crate) const SLICE: KindRules = KindRules {
    default: Some(default_slice),
    prepare_create: Some(first_generation),
    prepare_update: Some(prepare_slice_for_update),
    validate: Some(validate_slice),
    validate_update: Some(validate_slice_update),
    warnings: Some(slice_warnings),
    ..KindRules::PLAIN
};

const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20000;
const MOST_ZONES: usize = 8;
const MOST_NODES: usize = 8;

/// Ports have no name and are of TCP unless they say otherwise.
pub fn default_slice(slice: &mut Value) {
    for port in items_mut(top(slice), "ports") {
        port.default_ptr("name", "");
        port.default_ptr("protocol", "TCP");
    }
}

/// A change of labels is a new generation too: they say whose endpoints these are.
pub fn prepare_slice_for_update(slice: &mut Value, old: &Value, _: &Params<'_>) {
    let labels = |s: &Value| s.sub("metadata").sub("labels").clone();
    let changed = content_differs(slice, old) || !same(&labels(slice), &labels(old));
    bump_generation(slice, old, changed);
}

/// What is wrong with a new slice.
pub fn validate_slice(slice: &Value) -> Vec<FieldError> {
    slice_complaints(slice, &[])
}

fn slice_complaints(slice: &Value, known: &[&str]) -> Errors {
    const TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
    let mut e = Errors::new();
    let kind = slice.s("addressType");
    if kind.is_empty() {
        e.push(FieldError::required("addressType", ""));
    } else if !TYPES.contains(&kind) {
        e.push(not_supported(FieldPath::field("addressType"), kind, &TYPES));
    }
    endpoints(&mut e, FieldPath::field("endpoints"), slice.list("endpoints"), kind, known);
    ports(&mut e, FieldPath::field("ports"), slice.list("ports"));
    e
}

/// What is wrong with a change of a slice; addresses that it had already are not judged again.
pub fn validate_slice_update(slice: &Value, old: &Value) -> Vec<FieldError> {
    let before = old.list("endpoints").iter().flat_map(|endpoint| strings(endpoint.list("addresses")));
    let known: Vec<&str> = before.collect();
    let mut e = slice_complaints(slice, &known);
    let kind = "addressType";
    immutable(&mut e, FieldPath::field(kind), slice.sub(kind), old.sub(kind));
    e
}

fn endpoints(e: &mut Errors, p: FieldPath<'_>, endpoints: &[Value], kind: &str, known: &[&str]) {
    if endpoints.len() > MOST_ENDPOINTS {
        e.push(FieldError::too_many(p, endpoints.len(), MOST_ENDPOINTS));
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let p = p.index(i);
        let (addresses, at) = (endpoint.list("addresses"), p.child("addresses"));
        if addresses.is_empty() {
            e.push(FieldError::required(at, "must contain at least 1 address"));
        } else if addresses.len() > MOST_ADDRESSES {
            e.push(FieldError::too_many(at, addresses.len(), MOST_ADDRESSES));
        }
        for (j, address) in strings(addresses).enumerate().filter(|(_, address)| !known.contains(address)) {
            let p = at.index(j);
            match kind {
                "IPv4" => {
                    e.append(&mut is_ipv4_address(&p, address));
                    non_special_ip(e, p, address);
                }
                "IPv6" => {
                    e.append(&mut is_ipv6_address(&p, address));
                    non_special_ip(e, p, address);
                }
                "FQDN" => e.append(&mut is_fully_qualified_domain_name(&p, address)),
                _ => {}
            }
        }
        if let Some(node) = endpoint.opt_s("nodeName") {
            complain(e, p.child("nodeName"), node, name_is_dns_subdomain(node, false));
        }
        topology(e, p.child("deprecatedTopology"), endpoint.sub("deprecatedTopology"));
        if let Some(host) = endpoint.opt_s("hostname") {
            complain(e, p.child("hostname"), host, is_dns1123_label(host));
        }
        if let Some(hints) = endpoint.opt("hints") {
            let p = p.child("hints");
            hint(e, p.child("forZones"), hints.list("forZones"), MOST_ZONES);
            hint(e, p.child("forNodes"), hints.list("forNodes"), MOST_NODES);
        }
    }
}

fn topology(e: &mut Errors, p: FieldPath<'_>, topology: &Value) {
    const MOST: usize = 16;
    let count = topology.as_object().map_or(0, sampan_model::Map::len);
    if count > MOST {
        e.push(FieldError::too_many(p, count, MOST));
    }
    crate::selector::labels(e, p, topology);
    if topology.has("kubernetes.io/hostname") {
        let detail = "may not be set; set nodeName instead";
        e.push(FieldError::forbidden(p.key("kubernetes.io/hostname"), detail));
    }
}

fn hint(e: &mut Errors, p: FieldPath<'_>, hints: &[Value], most: usize) {
    if hints.len() > most {
        e.push(FieldError::too_many(p, hints.len(), most));
        return;
    }
    let mut seen = Seen::default();
    for (i, hint) in hints.iter().enumerate() {
        let p = p.index(i);
        let name = hint.s("name");
        if seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
        } else {
            complain(e, p.child("name"), name, sampan_model::name::is_valid_label_value(name));
        }
    }
}

fn ports(e: &mut Errors, p: FieldPath<'_>, ports: &[Value]) {
    if ports.len() > MOST_PORTS {
        e.push(FieldError::too_many(p, ports.len(), MOST_PORTS));
        return;
    }
    let mut seen = Seen::default();
    for (i, port) in ports.iter().enumerate() {
        let p = p.index(i);
        let name = port.s("name");
        if !name.is_empty() {
            complain(e, p.child("name"), name, is_dns1123_label(name));
        }
        if seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
        match port.opt_s("protocol") {
            None => e.push(FieldError::required(p.child("protocol"), "")),
            Some(protocol) if !PROTOCOLS.contains(&protocol) => {
                e.push(not_supported(p.child("protocol"), protocol, &PROTOCOLS));
            }
            Some(_) => {}
        }
        if let Some(number) = port.opt_num("port") {
            crate::core::pod::probe::port_num(e, p.child("port"), number);
        }
        if let Some(protocol) = port.opt_s("appProtocol") {
            complain(e, p.child("appProtocol"), protocol, is_qualified_name(protocol));
        }
    }
}

/// Warnings about an old type of addresses, and addresses that are not in canonical form.
pub fn slice_warnings(slice: &Value, _: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    let p = FieldPath::field("endpoints");
    if slice.s("addressType") == "FQDN" {
        return vec!["addressType: FQDN endpoints are deprecated".to_owned()];
    }
    for (i, endpoint) in slice.list("endpoints").iter().enumerate() {
        for (j, address) in strings(endpoint.list("addresses")).enumerate() {
            let p = p.index(i);
            let p = p.child("addresses");
            w.append(&mut ip_warnings(&p.index(j), address));
        }
    }
    w
}
