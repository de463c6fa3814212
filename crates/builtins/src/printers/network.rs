//! The rows of services and what belongs to networks.

use jiff::Timestamp;
use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

use super::cells::*;

pub(super) fn service(o: &Value, now: Timestamp) -> Vec<Value> {
    let cluster_ip = match o.array_at(&["spec", "clusterIPs"]).first().and_then(Value::as_str) {
        Some(ip) => ip.to_owned(),
        None => NONE.into(),
    };
    let ports: Vec<String> = o.array_at(&["spec", "ports"]).iter().map(service_port).collect();
    row![
        o.name(),
        o.str_at(&["spec", "type"]),
        cluster_ip,
        external_ip(o),
        if ports.is_empty() { NONE.to_owned() } else { ports.join(",") },
        age(o, now),
        labels(o.at(&["spec", "selector"])),
    ]
}

fn service_port(port: &Value) -> String {
    let (number, protocol) = (int(port, &["port"]), port.str_at(&["protocol"]));
    match int(port, &["nodePort"]) {
        node_port if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
        _ => format!("{number}/{protocol}"),
    }
}

fn load_balancer(o: &Value) -> Vec<String> {
    let ingress = o.array_at(&["status", "loadBalancer", "ingress"]);
    let mut words: Vec<String> = ingress
        .iter()
        .map(|i| text_or(i, &["ip"], i.str_at(&["hostname"])))
        .filter(|w| !w.is_empty())
        .collect();
    words.sort();
    words.dedup();
    words
}

fn external_ip(o: &Value) -> String {
    let strings = o.array_at(&["spec", "externalIPs"]).iter().filter_map(Value::as_str);
    let external: Vec<String> = strings.map(str::to_owned).collect();
    match o.str_at(&["spec", "type"]) {
        "ClusterIP" | "NodePort" if external.is_empty() => NONE.into(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let all: Vec<String> = load_balancer(o).into_iter().chain(external).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        "ExternalName" => o.str_at(&["spec", "externalName"]).into(),
        _ => "<unknown>".into(),
    }
}

/// An address with its port; an IPv6 address in brackets.
fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub(super) fn endpoints(o: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = o.array_at(&["subsets"]);
    let mut words = Vec::new();
    for subset in subsets {
        let ips = names(subset.array_at(&["addresses"]), "ip");
        let ports = subset.array_at(&["ports"]);
        if ports.is_empty() {
            words.extend(ips.iter().map(|ip| (*ip).to_owned()));
        }
        for port in ports {
            words.extend(ips.iter().map(|ip| host_port(ip, int(port, &["port"]))));
        }
    }
    let text = if subsets.is_empty() { NONE.to_owned() } else { some_of(&words, 3, ",") };
    row![o.name(), text, age(o, now)]
}

pub(super) fn endpoint_slice(o: &Value, now: Timestamp) -> Vec<Value> {
    let or_unset = |words: Vec<String>| match some_of(&words, 3, ",") {
        text if text.is_empty() => UNSET.to_owned(),
        text => text,
    };
    let port = |p: &Value| scalar(p, &["port"]).unwrap_or_else(|| text_or(p, &["name"], "*"));
    let ports = o.array_at(&["ports"]).iter().map(port).collect();
    let addresses = o.array_at(&["endpoints"]).iter().flat_map(|e| e.array_at(&["addresses"]));
    let addresses = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    row![o.name(), o.str_at(&["addressType"]), or_unset(ports), or_unset(addresses), age(o, now)]
}

pub(super) fn ingress(o: &Value, now: Timestamp) -> Vec<Value> {
    let rules = o.array_at(&["spec", "rules"]);
    let hosts: Vec<String> =
        names(rules, "host").into_iter().filter(|h| !h.is_empty()).map(str::to_owned).collect();
    let ports = if o.array_at(&["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
    row![
        o.name(),
        text_or(o, &["spec", "ingressClassName"], NONE),
        if hosts.is_empty() { "*".to_owned() } else { some_of(&hosts, 3, ",") },
        load_balancer(o).join(","),
        ports,
        age(o, now),
    ]
}

pub(super) fn ingress_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = o.at(&["spec", "parameters"]).filter(|p| !p.is_null()).map_or_else(
        || NONE.to_owned(),
        |p| {
            let (kind, name) = (p.str_at(&["kind"]), p.str_at(&["name"]));
            match p.str_at(&["apiGroup"]) {
                "" => format!("{kind}/{name}"),
                group => format!("{kind}.{group}/{name}"),
            }
        },
    );
    row![o.name(), o.str_at(&["spec", "controller"]), parameters, age(o, now)]
}

pub(super) fn network_policy(o: &Value, now: Timestamp) -> Vec<Value> {
    row![o.name(), selector(o.at(&["spec", "podSelector"])), age(o, now)]
}

pub(super) fn ip_address(o: &Value, _now: Timestamp) -> Vec<Value> {
    let parent = o.at(&["spec", "parentRef"]).filter(|p| !p.is_null()).map_or_else(
        || NONE.to_owned(),
        |p| {
            let field = |name| p.str_at(&[name]);
            let mut text = field("resource").to_lowercase();
            for (separator, word) in [(".", "group"), ("/", "namespace"), ("/", "name")] {
                if !field(word).is_empty() {
                    text.push_str(separator);
                    text.push_str(field(word));
                }
            }
            text
        },
    );
    row![o.name(), parent]
}

pub(super) fn service_cidr(o: &Value, now: Timestamp) -> Vec<Value> {
    let cidrs: Vec<&str> = o.array_at(&["spec", "cidrs"]).iter().filter_map(Value::as_str).collect();
    row![o.name(), cidrs.join(","), age(o, now)]
}
