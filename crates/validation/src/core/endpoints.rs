//! Endpoints, the older form of endpoint slices, and the addresses that no endpoint can have.

use std::net::IpAddr;

use sampan_model::name::{is_dns1123_label, is_qualified_name, name_is_dns_subdomain, parse_ip_sloppy};
use sampan_model::{FieldError, FieldPath, Value};

use super::pod::container::PROTOCOLS;
use super::pod::probe::port_num;
use super::pod::scheduling::ip;
use crate::KindRules;
use crate::look::{Errors, Look, Put, complain, items_mut, required_one_of, top};

/// The rules of endpoints.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_endpoints),
    validate: Some(validate_endpoints),
    validate_update: Some(|new, _| validate_endpoints(new)),
    warnings: Some(endpoints_warnings),
    create_on_update: true,
    ..KindRules::PLAIN
};

/// Ports are of TCP unless they say otherwise.
pub fn default_endpoints(endpoints: &mut Value) {
    for subset in items_mut(top(endpoints), "subsets") {
        for port in items_mut(subset, "ports") {
            port.default_to("protocol", "TCP");
        }
    }
}

/// What is wrong with endpoints.
pub fn validate_endpoints(endpoints: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("subsets");
    for (i, subset) in endpoints.list("subsets").iter().enumerate() {
        let p = p.index(i);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|list| subset.list(list).is_empty()) {
            e.push(FieldError::required(p, "must specify `addresses` or `notReadyAddresses`"));
        }
        for list in lists {
            for (j, address) in subset.list(list).iter().enumerate() {
                let p = p.child(list);
                let p = p.index(j);
                ip(&mut e, p.child("ip"), address.s("ip"));
                let host = address.s("hostname");
                if !host.is_empty() {
                    complain(&mut e, p.child("hostname"), host, is_dns1123_label(host));
                }
                if let Some(node) = address.opt_s("nodeName") {
                    complain(&mut e, p.child("nodeName"), node, name_is_dns_subdomain(node, false));
                }
                non_special_ip(&mut e, p.child("ip"), address.s("ip"));
            }
        }
        let ports = subset.list("ports");
        for (j, port) in ports.iter().enumerate() {
            let p = p.child("ports");
            let p = p.index(j);
            let name = port.s("name");
            if !name.is_empty() {
                complain(&mut e, p.child("name"), name, is_dns1123_label(name));
            } else if ports.len() > 1 {
                e.push(FieldError::required(p.child("name"), ""));
            }
            port_num(&mut e, p.child("port"), port.num("port"));
            required_one_of(&mut e, p.child("protocol"), port.s("protocol"), &PROTOCOLS);
            if let Some(protocol) = port.opt_s("appProtocol") {
                complain(&mut e, p.child("appProtocol"), protocol, is_qualified_name(protocol));
            }
        }
    }
    e
}

/// An address that can be reached from elsewhere: not unspecified, loopback or link-local.
pub(crate) fn non_special_ip(e: &mut Errors, p: FieldPath<'_>, text: &str) {
    let Some(ip) = parse_ip_sloppy(text) else {
        e.push(FieldError::invalid(p, text, "must be a valid IP address"));
        return;
    };
    let (unicast, multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
    };
    let mut wrong = |detail: &str| e.push(FieldError::invalid(p, text, detail));
    if ip.is_unspecified() {
        wrong(&format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        wrong("may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if unicast {
        wrong("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        wrong("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Warnings about addresses that are not in canonical form.
pub fn endpoints_warnings(endpoints: &Value, _: Option<&Value>) -> Vec<String> {
    let mut w = Vec::new();
    let p = FieldPath::field("subsets");
    for (i, subset) in endpoints.list("subsets").iter().enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (j, address) in subset.list(list).iter().enumerate() {
                let p = p.index(i);
                let p = p.child(list);
                let p = p.index(j);
                w.append(&mut sampan_model::name::ip_warnings(&p.child("ip"), address.s("ip")));
            }
        }
    }
    w
}
