//! Network policies.

use sampan_model::name::{cidr_warnings, is_cidr_for_legacy_field, is_valid_port_name, parse_cidr_sloppy};
use sampan_model::{FieldError, FieldPath, Value};

use crate::KindRules;
use crate::core::pod::probe::port_num;
use crate::look::{Errors, Look, Put, complain, items_mut, not_supported, spec_mut, strings};
use crate::selector::label_selector;
use crate::strategy::{first_generation, spec_generation};

/// The rules of network policies.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_policy),
    prepare_create: Some(first_generation),
    prepare_update: Some(spec_generation),
    validate: Some(|policy| policy_spec(policy, None)),
    validate_update: Some(|policy, old| policy_spec(policy, Some(old))),
    warnings: Some(policy_warnings),
    ..KindRules::PLAIN
};

const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// A policy holds for what comes in, and for what goes out if it has rules for that; ports are of TCP.
pub fn default_policy(policy: &mut Value) {
    let spec = spec_mut(policy);
    for (rules, _) in DIRECTIONS {
        for rule in items_mut(spec, rules) {
            for port in items_mut(rule, "ports") {
                port.default_ptr("protocol", "TCP");
            }
        }
    }
    if spec.list("policyTypes").is_empty() {
        let both = !spec.list("egress").is_empty();
        spec.insert("policyTypes", if both { vec!["Ingress", "Egress"] } else { vec!["Ingress"] });
    }
}

fn blocks(policy: &Value) -> impl Iterator<Item = &Value> {
    let spec = policy.sub("spec");
    DIRECTIONS
        .iter()
        .flat_map(move |(rules, peers)| spec.list(rules).iter().flat_map(move |rule| rule.list(peers)))
        .filter_map(|peer| peer.opt("ipBlock"))
}

fn policy_spec(policy: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let known: Vec<&str> = old
        .into_iter()
        .flat_map(blocks)
        .flat_map(|block| std::iter::once(block.s("cidr")).chain(strings(block.list("except"))))
        .collect();
    let (spec, p) = (policy.sub("spec"), FieldPath::field("spec"));
    label_selector(e, p.child("podSelector"), spec.sub("podSelector"));
    for (rules, peers) in DIRECTIONS {
        for (i, rule) in spec.list(rules).iter().enumerate() {
            let p = p.child(rules);
            let p = p.index(i);
            for (j, port) in rule.list("ports").iter().enumerate() {
                policy_port(e, p.child("ports").index(j), port);
            }
            for (j, peer) in rule.list(peers).iter().enumerate() {
                policy_peer(e, p.child(peers).index(j), peer, &known);
            }
        }
    }
    let (types, p) = (spec.list("policyTypes"), p.child("policyTypes"));
    if types.len() > 2 {
        e.push(FieldError::invalid(p, types.to_vec(), "may not specify more than two policyTypes"));
        return errors;
    }
    for (i, kind) in strings(types).enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            e.push(not_supported(p.index(i), kind, &["Ingress", "Egress"]));
        }
    }
    errors
}

fn policy_port(e: &mut Errors, p: FieldPath<'_>, port: &Value) {
    if let Some(protocol) = port.opt_s("protocol")
        && !["TCP", "UDP", "SCTP"].contains(&protocol)
    {
        e.push(not_supported(p.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]));
    }
    let (end, at) = (port.opt_num("endPort"), p.child("endPort"));
    match (port.opt("port"), end) {
        (None, None) => {}
        (None, Some(end)) => {
            e.push(FieldError::invalid(at, end, "may not be specified when `port` is not specified"));
        }
        (Some(Value::String(name)), end) => {
            if let Some(end) = end {
                e.push(FieldError::invalid(at, end, "may not be specified when `port` is non-numeric"));
            }
            complain(e, p.child("port"), name, is_valid_port_name(name));
        }
        (Some(_), end) => {
            let first = port.num("port");
            port_num(e, p.child("port"), first);
            if let Some(end) = end {
                if end < first {
                    e.push(FieldError::invalid(at, first, "must be greater than or equal to `port`"));
                }
                port_num(e, at, end);
            }
        }
    }
}

fn policy_peer(e: &mut Errors, p: FieldPath<'_>, peer: &Value, known: &[&str]) {
    let mut peers = 0;
    for selector in ["podSelector", "namespaceSelector"] {
        if let Some(value) = peer.opt(selector) {
            peers += 1;
            label_selector(e, p.child(selector), value);
        }
    }
    if let Some(block) = peer.opt("ipBlock") {
        peers += 1;
        ip_block(e, p.child("ipBlock"), block, known);
    }
    if peers == 0 {
        e.push(FieldError::required(p, "must specify a peer"));
    } else if peers > 1 && peer.has("ipBlock") {
        e.push(FieldError::forbidden(p, "may not specify both ipBlock and another peer"));
    }
}

fn ip_block(e: &mut Errors, p: FieldPath<'_>, block: &Value, known: &[&str]) {
    let cidr = block.s("cidr");
    if cidr.is_empty() {
        e.push(FieldError::required(p.child("cidr"), ""));
        return;
    }
    let complaints = is_cidr_for_legacy_field(&p.child("cidr"), cidr, false, known);
    let sound = complaints.is_empty();
    e.extend(complaints);
    let Some((net, length)) = parse_cidr_sloppy(cidr).filter(|_| sound) else { return };
    let p = p.child("except");
    for (i, text) in strings(block.list("except")).enumerate() {
        let complaints = is_cidr_for_legacy_field(&p.index(i), text, false, known);
        if !complaints.is_empty() {
            e.extend(complaints);
            return;
        }
        let Some((except, except_length)) = parse_cidr_sloppy(text) else { return };
        if except_length <= length || masked(except, length) != masked(net, length) {
            e.push(FieldError::invalid(p.index(i), text, "must be a strict subset of `cidr`"));
        }
    }
}

/// The network of an address: its first bits, and whether it is IPv6.
fn masked(ip: std::net::IpAddr, length: u8) -> (bool, u128) {
    let (bits, width) = match ip {
        std::net::IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        std::net::IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    (ip.is_ipv6(), bits.checked_shr(width - u32::from(length).min(width)).unwrap_or(0))
}

/// Warnings about ranges that are not in canonical form.
pub fn policy_warnings(policy: &Value, _: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    let (spec, p) = (policy.sub("spec"), FieldPath::field("spec"));
    for (rules, peers) in DIRECTIONS {
        for (i, rule) in spec.list(rules).iter().enumerate() {
            for (j, peer) in rule.list(peers).iter().enumerate() {
                let Some(block) = peer.opt("ipBlock") else { continue };
                let p = p.child(rules);
                let p = p.index(i);
                let p = p.child(peers);
                let p = p.index(j);
                let p = p.child("ipBlock");
                w.append(&mut cidr_warnings(&p.child("cidr"), block.s("cidr")));
                for (k, except) in strings(block.list("except")).enumerate() {
                    w.append(&mut cidr_warnings(&p.child("except").index(k), except));
                }
            }
        }
    }
    w
}
