//! The table of translations: services, node ports, host ports, and what leaves the node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use super::{
    NAME, State, chain, compare, in_range, interface, is_in, key, look_up, map, meta, named, payload, set,
    verdict,
};
use crate::nft::{
    Chain, Data, Expression, Family, Field, Hook, Kind, MetaKey, Register, Table, Value, Verdict,
};
use crate::service::{Protocol, ServicePort};

/// RTN_LOCAL, as the kernel computes with it.
const LOCAL: [u8; 4] = 2_u32.to_ne_bytes();
/// IPS_DST_NAT
const TRANSLATED: [u8; 4] = (1_u32 << 5).to_ne_bytes();

/// An address and a port beside it.
const TARGET: Value = Value::Bytes(8);

pub(super) fn table(state: &State) -> Table {
    let mut chains = named([
        ("raw", chain(at(Kind::Filter, Hook::PREROUTING, -300), raw(state))),
        ("prerouting", chain(at(Kind::Nat, Hook::PREROUTING, -100), vec![vec![jump("nat")]])),
        ("output", chain(at(Kind::Nat, Hook::OUTPUT, -100), vec![vec![jump("nat")]])),
        ("postrouting", chain(at(Kind::Nat, Hook::POSTROUTING, 100), postrouting(state))),
        ("refuse-forwarded", chain(at(Kind::Filter, Hook::FORWARD, 0), refuse(state))),
        ("refuse-own", chain(at(Kind::Filter, Hook::OUTPUT, 0), refuse(state))),
        ("nat", Chain { hook: None, rules: nat() }),
    ]);
    let (mut addresses, mut node_ports) = (Vec::new(), Vec::new());
    let mut sets = BTreeMap::new();
    for service in &state.services {
        let targets = targets(service);
        let (Some(identity), false) = (identity(service), targets.is_empty()) else { continue };
        let name = format!("service-{identity}");
        let goto = || Data::Verdict(Verdict::Goto(name.clone()));
        for address in ipv4(&service.addresses) {
            addresses.push((place(Some(address), service.protocol, service.port), goto()));
        }
        node_ports.extend(service.node_port.map(|port| (place(None, service.protocol, port), goto())));
        let endpoints = format!("endpoints-{identity}");
        chains.insert(name, Chain { hook: None, rules: vec![choose(&endpoints, targets.len())] });
        let numbered =
            (0_u32..).zip(targets).map(|(number, target)| (number.to_ne_bytes().to_vec(), data(target)));
        sets.insert(endpoints, map(4, TARGET, numbered));
    }
    sets.extend(named([
        ("service-ips", map(12, Value::Verdict, addresses)),
        ("node-ports", map(8, Value::Verdict, node_ports)),
        ("host-ports", host_ports(state, false)),
        ("host-ip-ports", host_ports(state, true)),
        ("to-itself", set(8, to_itself(state))),
    ]));
    Table { family: Family::Ipv4, name: NAME.to_owned(), sets, chains }
}

fn at(kind: Kind, point: u32, priority: i32) -> Hook {
    Hook { kind, point, priority }
}

fn jump(chain: &str) -> Expression {
    verdict(Verdict::Jump(chain.to_owned()))
}

/// The bridge lets addresses of the loopback pass (`route_localnet`), for answers to what the node sends from there. Nobody else may use that.
fn raw(state: &State) -> Vec<Vec<Expression>> {
    let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    [Field::Destination, Field::Source]
        .into_iter()
        .map(|field| {
            let mut rule = through(MetaKey::InputName, &state.bridge, true);
            rule.extend(in_range(field, loopback, true));
            rule.push(verdict(Verdict::Drop));
            rule
        })
        .collect()
}

fn through(key: MetaKey, bridge: &str, is: bool) -> Vec<Expression> {
    vec![meta(key, 0), compare(0, is, &interface(bridge))]
}

/// Protocol and port, in two registers from this one on.
fn load_port(first: u8) -> [Expression; 2] {
    [meta(MetaKey::TransportProtocol, first), payload(Field::DestinationPort, first + 1)]
}

fn nat() -> Vec<Vec<Expression>> {
    let translate = || Expression::DestinationNat { address: Register(8), port: Register(9) };
    let by_address = || -> Vec<Expression> {
        let mut rule = vec![payload(Field::Destination, 0)];
        rule.extend(load_port(1));
        rule
    };
    let to_the_node = || -> Vec<Expression> {
        let mut rule = vec![Expression::DestinationType { to: Register(0) }, compare(0, true, &LOCAL)];
        rule.extend(load_port(1));
        rule
    };
    let decide = |map: &str, key: u8| Expression::Decide { map: map.to_owned(), key: Register(key) };
    [
        (by_address(), vec![decide("service-ips", 0)]),
        (by_address(), vec![look_up("host-ip-ports", 0, 8), translate()]),
        (to_the_node(), vec![look_up("host-ports", 1, 8), translate()]),
        (to_the_node(), vec![decide("node-ports", 1)]),
    ]
    .into_iter()
    .map(|(start, end)| start.into_iter().chain(end).collect())
    .collect()
}

fn postrouting(state: &State) -> Vec<Vec<Expression>> {
    // A pod that reaches itself through a service would see a packet from itself, and drop it.
    let to_itself = vec![
        Expression::ConnectionStatus { to: Register(0) },
        Expression::Mask { register: Register(0), mask: TRANSLATED.to_vec() },
        compare(0, false, &[0; 4]),
        payload(Field::Source, 0),
        payload(Field::Destination, 1),
        is_in("to-itself", 0),
        Expression::Masquerade,
    ];
    // A pod cannot answer to 127.0.0.1.
    let mut from_loopback = through(MetaKey::OutputName, &state.bridge, true);
    from_loopback.extend(in_range(Field::Source, Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8), true));
    from_loopback.push(Expression::Masquerade);
    // Nobody outside knows a way to a pod.
    let mut leaving = through(MetaKey::OutputName, &state.bridge, false);
    leaving.extend(in_range(Field::Source, state.range, true));
    leaving.extend(in_range(Field::Destination, state.range, false));
    for range in &state.not_masqueraded {
        leaving.extend(in_range(Field::Destination, *range, false));
    }
    leaving.push(Expression::Masquerade);
    vec![to_itself, from_loopback, leaving]
}

/// Whatever still goes to an address of services: no such service, or nobody answers for it.
fn refuse(state: &State) -> Vec<Vec<Expression>> {
    let rule =
        |range| in_range(Field::Destination, range, true).into_iter().chain([Expression::Reject]).collect();
    state.service_range.into_iter().map(rule).collect()
}

/// Goes to one of so many endpoints.
fn choose(endpoints: &str, count: usize) -> Vec<Expression> {
    let below = u32::try_from(count).unwrap_or(u32::MAX);
    vec![
        Expression::Random { below, to: Register(0) },
        look_up(endpoints, 0, 8),
        Expression::DestinationNat { address: Register(8), port: Register(9) },
    ]
}

/// What a port of a service is called in names: the same as long as it is reached at the same place.
fn identity(service: &ServicePort) -> Option<String> {
    let place = match ipv4(&service.addresses).next() {
        Some(address) => place(Some(address), service.protocol, service.port),
        None => place(None, service.protocol, service.node_port?),
    };
    let digest = Sha256::digest(place);
    let short = std::array::from_fn(|index| digest[index]);
    Some(format!("{:016x}", u64::from_be_bytes(short)))
}

fn targets(service: &ServicePort) -> Vec<SocketAddrV4> {
    let mut targets: Vec<_> = service
        .endpoints
        .iter()
        .filter_map(|endpoint| match endpoint {
            SocketAddr::V4(endpoint) => Some(*endpoint),
            SocketAddr::V6(_) => None,
        })
        .collect();
    // So that the same endpoints are the same rules.
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn host_ports(state: &State, with_address: bool) -> crate::nft::Set {
    let elements = state.pods.iter().flat_map(|pod| {
        pod.host_ports.iter().filter_map(|port| {
            let target = data(SocketAddrV4::new(pod.address, port.container_port));
            match port.address {
                None if !with_address => Some((place(None, port.protocol, port.port), target)),
                Some(IpAddr::V4(address)) if with_address => {
                    Some((place(Some(address), port.protocol, port.port), target))
                }
                // Addresses of the other family are not those of a pod.
                _ => None,
            }
        })
    });
    map(if with_address { 12 } else { 8 }, TARGET, elements.collect::<BTreeMap<_, _>>())
}

fn to_itself(state: &State) -> impl Iterator<Item = Vec<u8>> {
    state.pods.iter().map(|pod| key(&[&pod.address.octets(), &pod.address.octets()]))
}

fn ipv4(addresses: &[IpAddr]) -> impl Iterator<Item = Ipv4Addr> {
    addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    })
}

/// Where something is reached, as maps have it.
fn place(address: Option<Ipv4Addr>, protocol: Protocol, port: u16) -> Vec<u8> {
    let (protocol, port) = ([protocol.number()], port.to_be_bytes());
    match address {
        Some(address) => key(&[&address.octets(), &protocol, &port]),
        None => key(&[&protocol, &port]),
    }
}

fn data(target: SocketAddrV4) -> Data {
    Data::Bytes(key(&[&target.ip().octets(), &target.port().to_be_bytes()]))
}
