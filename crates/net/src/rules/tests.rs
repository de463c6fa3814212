//! States, and what becomes of them.

use super::*;

fn state() -> State {
    State {
        bridge: "sampan0".to_owned(),
        range: "10.244.0.0/24".parse().unwrap(),
        not_masqueraded: vec!["10.244.0.0/16".parse().unwrap()],
        service_range: Some("10.96.0.0/12".parse().unwrap()),
        pods: Vec::new(),
        services: Vec::new(),
    }
}

fn pod(last: u8, host_ports: Vec<HostPort>) -> Pod {
    let mac = [0x0a, 0x58, 10, 244, 0, last];
    Pod { address: [10, 244, 0, last].into(), mac, link: format!("pod{last}"), host_ports }
}

fn service(addresses: &[&str], node_port: Option<u16>, endpoints: &[&str]) -> ServicePort {
    ServicePort {
        protocol: Protocol::Tcp,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        port: 80,
        node_port,
        endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
    }
}

fn text(state: &State) -> String {
    tables(state).iter().map(ToString::to_string).collect()
}

/// Elements of sets: `name key` or `name key : value`.
fn elements(state: &State) -> Vec<String> {
    let mut name = "";
    let text = text(state);
    let lines = text.lines().filter_map(|line| {
        if let Some(set) = line.strip_prefix("  set ") {
            name = set;
        }
        line.strip_prefix("    0x").map(|element| format!("{name} {element}"))
    });
    lines.collect()
}

#[test]
fn a_network_without_pods_has_these_rules() {
    let expected = "\
table Bridge sampan
  set links
  set senders
  chain prerouting filter hook 0 priority -300
    r0 = InputName, r0 not in links, accept
    r0 = Protocol, r0 == 0x0800, r0 = InputName, r4 = EtherSource, r6 = Source, r0 in senders, accept
    r0 = Protocol, r0 == 0x0806, r0 = InputName, r4 = EtherSource, r6 = ArpSender, r0 in senders, accept
    drop
table Ipv4 sampan
  set host-ip-ports
  set host-ports
  set node-ports
  set service-ips
  set to-itself
  chain nat
    r0 = Destination, r1 = TransportProtocol, r2 = DestinationPort, r0 decides in service-ips
    r0 = Destination, r1 = TransportProtocol, r2 = DestinationPort, r8 = r0 in host-ip-ports, dnat to r8 : r9
    r0 = DestinationType, r0 == LOCAL, r1 = TransportProtocol, r2 = DestinationPort, r8 = r1 in host-ports, dnat to r8 : r9
    r0 = DestinationType, r0 == LOCAL, r1 = TransportProtocol, r2 = DestinationPort, r1 decides in node-ports
  chain output nat hook 3 priority -100
    jump nat
  chain postrouting nat hook 4 priority 100
    r0 = ConnectionStatus, r0 &= TRANSLATED, r0 != 0x00000000, r0 = Source, r1 = Destination, r0 in to-itself, masquerade
    r0 = OutputName, r0 == SAMPAN0, r0 = Source, r0 &= 0xff000000, r0 == 0x7f000000, masquerade
    r0 = OutputName, r0 != SAMPAN0, r0 = Source, r0 &= 0xffffff00, r0 == 0x0af40000, r0 = Destination, r0 &= 0xffffff00, r0 != 0x0af40000, r0 = Destination, r0 &= 0xffff0000, r0 != 0x0af40000, masquerade
  chain prerouting nat hook 0 priority -100
    jump nat
  chain raw filter hook 0 priority -300
    r0 = InputName, r0 == SAMPAN0, r0 = Destination, r0 &= 0xff000000, r0 == 0x7f000000, drop
    r0 = InputName, r0 == SAMPAN0, r0 = Source, r0 &= 0xff000000, r0 == 0x7f000000, drop
  chain refuse-forwarded filter hook 2 priority 0
    r0 = Destination, r0 &= 0xfff00000, r0 == 0x0a600000, reject
  chain refuse-own filter hook 3 priority 0
    r0 = Destination, r0 &= 0xfff00000, r0 == 0x0a600000, reject
";
    // Numbers that the kernel keeps in the machine's order.
    let hex = |number: u32| format!("0x{:08x}", u32::from_be_bytes(number.to_ne_bytes()));
    let expected = expected
        .replace("SAMPAN0", "0x73616d70616e30000000000000000000")
        .replace("LOCAL", &hex(2))
        .replace("TRANSLATED", &hex(32));
    assert_eq!(text(&state()), expected);
}

#[test]
fn pods_are_elements_of_sets() {
    let port = |address: Option<&str>| HostPort {
        protocol: Protocol::Udp,
        address: address.map(|address| address.parse().unwrap()),
        port: 8080,
        container_port: 80,
    };
    let ports = vec![port(None), port(Some("127.0.0.1")), port(Some("::1"))];
    let state = State { pods: vec![pod(2, ports), pod(3, Vec::new())], ..state() };
    let link = |last: char| format!("706f643{last}000000000000000000000000");
    assert_eq!(
        elements(&state),
        [
            format!("links {}", link('2')),
            format!("links {}", link('3')),
            format!("senders {}0a580af4000200000af40002", link('2')),
            format!("senders {}0a580af4000300000af40003", link('3')),
            "host-ip-ports 7f000001110000001f900000 : 0x0af4000200500000".to_owned(),
            "host-ports 110000001f900000 : 0x0af4000200500000".to_owned(),
            "to-itself 0af400020af40002".to_owned(),
            "to-itself 0af400030af40003".to_owned(),
        ]
    );
}

#[test]
fn services_are_where_they_are_reached() {
    for (name, service, places, endpoints) in [
        ("an address", service(&["10.96.0.7"], None, &["10.244.0.2:8080"]), 1, 1),
        (
            "two of each",
            service(&["10.96.0.7", "192.0.2.9"], None, &["10.244.0.2:80", "10.244.0.3:80"]),
            2,
            2,
        ),
        ("a port of the node", service(&["10.96.0.7"], Some(30080), &["10.244.0.2:80"]), 2, 1),
        ("that alone", service(&[], Some(30080), &["10.244.0.2:80"]), 1, 1),
        ("an endpoint twice", service(&["10.96.0.7"], None, &["10.244.0.2:80", "10.244.0.2:80"]), 1, 1),
        ("nobody answers", service(&["10.96.0.7"], Some(30080), &[]), 0, 0),
        ("nowhere", service(&[], None, &["10.244.0.2:80"]), 0, 0),
        ("the other family", service(&["fd00::1"], None, &["10.244.0.2:80"]), 0, 0),
        ("endpoints of the other family", service(&["10.96.0.7"], None, &["[fd00::2]:80"]), 0, 0),
    ] {
        let state = State { services: vec![service], ..state() };
        let elements = elements(&state);
        let count = |sets: &[&str]| {
            elements.iter().filter(|element| sets.iter().any(|set| element.starts_with(set))).count()
        };
        assert_eq!(count(&["service-ips ", "node-ports "]), places, "{name}: {elements:?}");
        assert_eq!(count(&["endpoints-"]), endpoints, "{name}: {elements:?}");
        let chains = text(&state).matches("  chain service-").count();
        assert_eq!(chains, usize::from(places > 0), "{name}");
    }
}

#[test]
fn a_change_of_an_endpoint_changes_no_rule_and_the_order_does_not_count() {
    let with = |endpoints: &[&str]| {
        let state = State { services: vec![service(&["10.96.0.7"], None, endpoints)], ..state() };
        tables(&state).pop().unwrap()
    };
    let before = with(&["10.244.0.2:80", "10.244.0.3:80"]);
    assert_eq!(before, with(&["10.244.0.3:80", "10.244.0.2:80"]));
    let after = with(&["10.244.0.2:80", "10.244.0.4:80"]);
    assert_eq!(before.chains, after.chains);
    assert_ne!(before.sets, after.sets);
}

#[test]
fn without_a_range_of_services_nothing_is_refused() {
    let text = text(&State { service_range: None, ..state() });
    assert!(!text.contains("reject"));
}
