//! Which rules of nftables a state of the network means: a pure function.
//!
//! Two tables. `bridge sampan` keeps pods from sending what is not theirs, by the port of the bridge through which it comes. `ip sampan` translates:
//!
//! ```text
//! prerouting, output -> nat:  service-ips:   address . protocol . port -> goto service-X
//!                             to the node:   node-ports, host-ports
//!            service-X:       a random endpoint of it
//! postrouting:                what needs another source so that its answer comes back here
//! forward, output:            what is for services, but was not translated, is refused
//! ```
//!
//! A service's endpoints are elements of a map of its own, found by a random number: a change of one is a change of one element, not of rules. One map
//! for all would be dear: the kernel looks at every rule that uses a map for each of its elements (seconds, for 5,000 services with 10 endpoints each).

mod pods;
mod services;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::nft::{Chain, Data, Expression, Field, MetaKey, Register, Set, Table, Value, Verdict};
use crate::service::{Protocol, ServicePort};

/// Everything that rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The bridge's name.
    pub(crate) bridge: String,
    /// The addresses of this node's pods.
    pub(crate) range: Ipv4Net,
    /// Where pods are known by their own address: those of all nodes.
    pub(crate) not_masqueraded: Vec<Ipv4Net>,
    /// The addresses of services.
    pub(crate) service_range: Option<Ipv4Net>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) services: Vec<ServicePort>,
}

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: [u8; 6],
    /// Its port of the bridge.
    pub(crate) link: String,
    pub(crate) host_ports: Vec<HostPort>,
}

/// A port of the host that is a pod's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) protocol: Protocol,
    /// At which address of the host; `None` is every one.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    /// Inside.
    pub(crate) container_port: u16,
}

/// The tables.
pub(crate) fn tables(state: &State) -> Vec<Table> {
    vec![pods::table(state), services::table(state)]
}

/// Both tables' name.
pub(crate) const NAME: &str = "sampan";

/// An interface's name as sets have it.
fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// Parts of a key, each to a multiple of four bytes.
fn key(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(*part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn set(key_length: u32, elements: impl IntoIterator<Item = Vec<u8>>) -> Set {
    Set {
        key_length,
        value: Value::None,
        elements: elements.into_iter().map(|element| (element, None)).collect(),
    }
}

fn map(key_length: u32, value: Value, elements: impl IntoIterator<Item = (Vec<u8>, Data)>) -> Set {
    Set {
        key_length,
        value,
        elements: elements.into_iter().map(|(element, value)| (element, Some(value))).collect(),
    }
}

fn named<T, const N: usize>(parts: [(&str, T); N]) -> BTreeMap<String, T> {
    parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect()
}

// Steps of rules, by what they say.

fn payload(field: Field, to: u8) -> Expression {
    Expression::Payload { field, to: Register(to) }
}

fn meta(key: MetaKey, to: u8) -> Expression {
    Expression::Meta { key, to: Register(to) }
}

fn compare(register: u8, equal: bool, value: &[u8]) -> Expression {
    Expression::Compare { register: Register(register), equal, value: value.to_vec() }
}

fn is_in(set: &str, key: u8) -> Expression {
    Expression::Lookup { set: set.to_owned(), key: Register(key), to: None, inverted: false }
}

fn is_not_in(set: &str, key: u8) -> Expression {
    Expression::Lookup { set: set.to_owned(), key: Register(key), to: None, inverted: true }
}

fn look_up(map: &str, key: u8, to: u8) -> Expression {
    Expression::Lookup { set: map.to_owned(), key: Register(key), to: Some(Register(to)), inverted: false }
}

/// Whether an address of the packet is in a range, or is not.
fn in_range(field: Field, range: Ipv4Net, inside: bool) -> Vec<Expression> {
    let mask = range.netmask().octets().to_vec();
    vec![
        payload(field, 0),
        Expression::Mask { register: Register(0), mask },
        compare(0, inside, &range.network().octets()),
    ]
}

fn verdict(verdict: Verdict) -> Expression {
    Expression::Verdict(verdict)
}

fn chain(hook: crate::nft::Hook, rules: Vec<Vec<Expression>>) -> Chain {
    Chain { hook: Some(hook), rules }
}

#[cfg(test)]
mod tests;
