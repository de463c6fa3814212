//! What a service takes over from its older form, and what it loses with its type.

use sampan_model::{Map, Value};

use super::{Needs, number};

/// Fills in what the client left out and was allocated before, drops what its new type has no use for,
/// and makes `clusterIPs` agree with `clusterIP`.
pub(super) fn arrange(service: &mut Value, old: Option<&Value>) {
    if let Some(old) = old {
        take_over(service, old);
        drop_by_type(service, old);
    }
    agree(service, old);
}

fn spec(service: &mut Value) -> Option<&mut Map> {
    service.as_object_mut().map(|o| o.object_mut("spec"))
}

fn same(a: &Value, b: &Value, field: &str) -> bool {
    a.at(&["spec", field]).unwrap_or(&Value::Null) == b.at(&["spec", field]).unwrap_or(&Value::Null)
}

fn copy(service: &mut Value, old: &Value, field: &str) {
    let Some(value) = old.at(&["spec", field]).cloned() else { return };
    if let Some(spec) = spec(service) {
        spec.insert(field, value);
    }
}

fn take_over(service: &mut Value, old: &Value) {
    let (now, before) = (Needs::of(service), Needs::of(old));
    let (cluster_ip, node_ports, health_check) = (
        now.cluster_ip() && before.cluster_ip(),
        now.node_ports() && before.node_ports(),
        now.health_check_port() && before.health_check_port(),
    );
    if cluster_ip {
        if service.str_at(&["spec", "clusterIP"]).is_empty() {
            copy(service, old, "clusterIP");
        }
        if service.array_at(&["spec", "clusterIPs"]).is_empty() && same(service, old, "clusterIP") {
            copy(service, old, "clusterIPs");
        }
    }
    if node_ports {
        take_over_node_ports(service, old);
    }
    if health_check && service.at(&["spec", "healthCheckNodePort"]).is_none_or(Value::is_empty) {
        copy(service, old, "healthCheckNodePort");
    }
}

/// Ports are the same when their names are.
fn take_over_node_ports(service: &mut Value, old: &Value) {
    let old = old.array_at(&["spec", "ports"]);
    let used: Vec<i64> = service
        .array_at(&["spec", "ports"])
        .iter()
        .map(|p| number(p, "nodePort"))
        .filter(|p| *p != 0)
        .collect();
    let Some(ports) = spec(service).and_then(|s| s.get_mut("ports")).and_then(Value::as_array_mut) else {
        return;
    };
    for port in ports {
        let before = old.iter().find(|o| o.str_at(&["name"]) == port.str_at(&["name"]));
        let before = before.map_or(0, |o| number(o, "nodePort"));
        if number(port, "nodePort") == 0
            && before != 0
            && !used.contains(&before)
            && let Some(port) = port.as_object_mut()
        {
            port.insert("nodePort", before);
        }
    }
}

/// A field that the client did not touch goes when the type does not need it any more. One that it did
/// touch stays, to be refused by validation.
fn drop_by_type(service: &mut Value, old: &Value) {
    let (now, before) = (Needs::of(service), Needs::of(old));
    let node_ports =
        |s: &Value| s.array_at(&["spec", "ports"]).iter().map(|p| number(p, "nodePort")).collect::<Vec<_>>();
    let mut drop: Vec<&str> = Vec::new();
    if before.cluster_ip() && !now.cluster_ip() {
        if same(service, old, "clusterIP") && same(service, old, "clusterIPs") {
            drop.extend(["clusterIP", "clusterIPs"]);
        }
        drop.extend(["internalTrafficPolicy"].into_iter().filter(|f| same(service, old, f)));
    }
    if before.health_check_port() && !now.health_check_port() && same(service, old, "healthCheckNodePort") {
        drop.push("healthCheckNodePort");
    }
    if before.load_balancer() && !now.load_balancer() {
        let fields = ["allocateLoadBalancerNodePorts", "loadBalancerClass"];
        drop.extend(fields.into_iter().filter(|f| same(service, old, f)));
    }
    if before.node_ports() && !now.node_ports() && same(service, old, "externalTrafficPolicy") {
        drop.push("externalTrafficPolicy");
    }
    let clear_node_ports = before.node_ports() && !now.node_ports() && node_ports(service) == node_ports(old);
    let Some(spec) = spec(service) else { return };
    for field in drop {
        spec.remove(field);
    }
    if clear_node_ports {
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
    }
}

/// Clients that know only `clusterIP` are understood: the list follows it.
fn agree(service: &mut Value, old: Option<&Value>) {
    let ip = service.str_at(&["spec", "clusterIP"]).to_owned();
    let list_is_old =
        old.is_some_and(|old| same(service, old, "clusterIPs") && !same(service, old, "clusterIP"));
    let list_is_empty = service.array_at(&["spec", "clusterIPs"]).is_empty();
    let Some(spec) = spec(service) else { return };
    if ip.is_empty() {
        if list_is_old {
            spec.remove("clusterIPs");
        }
    } else if list_is_empty || list_is_old {
        spec.insert("clusterIPs", vec![ip]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_keeps_what_was_allocated_and_loses_what_its_type_does_not_need() {
        let rows = [
            (
                "a replacement keeps address and node port",
                r#"{"type":"NodePort","ports":[{"port":81}]}"#,
                r#"{"type":"NodePort","clusterIP":"10.96.0.9","clusterIPs":["10.96.0.9"],"ports":[{"port":80,"nodePort":30001}]}"#,
                r#"{"clusterIP":"10.96.0.9","clusterIPs":["10.96.0.9"],"ports":[{"nodePort":30001,"port":81}],"type":"NodePort"}"#,
            ),
            (
                "an external name has neither",
                r#"{"type":"ExternalName","clusterIP":"10.96.0.9","clusterIPs":["10.96.0.9"],"ports":[{"port":80,"nodePort":30001}]}"#,
                r#"{"type":"NodePort","clusterIP":"10.96.0.9","clusterIPs":["10.96.0.9"],"ports":[{"port":80,"nodePort":30001}]}"#,
                r#"{"ports":[{"port":80}],"type":"ExternalName"}"#,
            ),
            (
                "a client that knows one address is understood",
                r#"{"type":"ClusterIP","clusterIP":"10.96.0.9"}"#,
                r#"{"type":"ExternalName"}"#,
                r#"{"clusterIP":"10.96.0.9","clusterIPs":["10.96.0.9"],"type":"ClusterIP"}"#,
            ),
        ];
        for (name, new, old, want) in rows {
            let tree = |spec: &str| serde_json::from_str(&format!("{{\"spec\":{spec}}}")).unwrap();
            let (mut service, old): (Value, Value) = (tree(new), tree(old));
            arrange(&mut service, Some(&old));
            assert_eq!(service.get("spec").unwrap().to_json(), want, "{name}");
        }
    }
}
