//! Which endpoint of a service a proxy connects to.

use std::net::IpAddr;

use sampan_apiserver::subresource::Parent;
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

/// An address and port behind a service. `port` is a port's name or number; `asked` is the name as the path has it.
pub(super) fn endpoint(
    parent: &dyn Parent,
    namespace: &str,
    name: &str,
    port: &str,
    asked: &str,
) -> Result<(String, u16), Status> {
    let services = GroupResource::new("", "services");
    let service =
        parent.find(&services, namespace, name).ok_or_else(|| Status::not_found(&services, name))?;
    let port = port_name(&service, port)?;
    let slices = parent.list(&GroupResource::new("discovery.k8s.io", "endpointslices"), namespace);
    let mut found: Vec<Endpoint> = slices
        .iter()
        .filter(|slice| slice.str_at(&["metadata", "labels", "kubernetes.io/service-name"]) == name)
        .flat_map(|slice| of_slice(slice, &port, namespace))
        .collect();
    if slices.is_empty()
        && let Some(endpoints) = parent.find(&GroupResource::new("", "endpoints"), namespace, name)
    {
        found = of_endpoints(&endpoints, &port, namespace);
    }
    // Any of them, and the next ones where that is not what it says it is.
    let start = if found.is_empty() { 0 } else { rand::random_range(0..found.len()) };
    let pods = GroupResource::new("", "pods");
    let is_pods = |endpoint: &&Endpoint| {
        parent.find(&pods, namespace, &endpoint.pod).is_some_and(|pod| has_address(&pod, &endpoint.address))
    };
    found[start..]
        .iter()
        .chain(&found[..start])
        .find(is_pods)
        .map(|endpoint| (endpoint.address.clone(), endpoint.port))
        .ok_or_else(|| Status::service_unavailable(format!("no endpoints available for service \"{asked}\"")))
}

/// An address of a pod. Others (an administrator's own, of anything) are not proxied to: who may write endpoints must not
/// reach what the server reaches.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    address: String,
    port: u16,
    pod: String,
}

/// The name of the port that is asked for.
fn port_name(service: &Value, port: &str) -> Result<String, Status> {
    let Ok(number) = port.parse::<i64>() else { return Ok(port.to_owned()) };
    let ports = service.array_at(&["spec", "ports"]);
    let found = ports.iter().find(|p| p.get("port").and_then(Value::as_i64) == Some(number));
    found.map(|port| port.str_at(&["name"]).to_owned()).ok_or_else(|| {
        let name = service.name();
        Status::service_unavailable(format!("no service port {number} found for service \"{name}\""))
    })
}

fn number_of(ports: &[Value], name: &str) -> Option<u16> {
    let port = ports.iter().find(|port| port.str_at(&["name"]) == name)?;
    u16::try_from(port.get("port")?.as_i64()?).ok()
}

fn of_slice(slice: &Value, port: &str, namespace: &str) -> Vec<Endpoint> {
    let Some(port) = number_of(slice.array_at(&["ports"]), port) else { return Vec::new() };
    let is_ready = |endpoint: &&Value| {
        let ready = endpoint.at(&["conditions", "ready"]);
        ready.is_none_or(|ready| ready.as_bool() != Some(false))
    };
    let ready = slice.array_at(&["endpoints"]).iter().filter(is_ready);
    ready
        .filter_map(|e| of_target(e, e.array_at(&["addresses"]).first()?.as_str()?, port, namespace))
        .collect()
}

fn of_endpoints(endpoints: &Value, port: &str, namespace: &str) -> Vec<Endpoint> {
    let subsets = endpoints.array_at(&["subsets"]);
    let of_subset = |subset: &Value| {
        let port = number_of(subset.array_at(&["ports"]), port);
        let addresses = subset.array_at(&["addresses"]).iter();
        addresses.filter_map(|a| of_target(a, a.str_at(&["ip"]), port?, namespace)).collect::<Vec<_>>()
    };
    subsets.iter().flat_map(of_subset).collect()
}

fn of_target(endpoint: &Value, address: &str, port: u16, namespace: &str) -> Option<Endpoint> {
    let target = endpoint.get("targetRef")?;
    let is_pod = target.str_at(&["kind"]) == "Pod" && target.str_at(&["namespace"]) == namespace;
    is_pod.then(|| Endpoint { address: address.to_owned(), port, pod: target.str_at(&["name"]).to_owned() })
}

fn has_address(pod: &Value, address: &str) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let list = pod.array_at(&["status", "podIPs"]).iter().map(|ip| ip.str_at(&["ip"]));
    list.chain([pod.str_at(&["status", "podIP"])]).any(|ip| ip.parse() == Ok(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn ready_pods_of_the_port_are_endpoints() {
        let slice = value(
            r#"{"ports":[{"name":"web","port":8080}],"endpoints":[
                {"addresses":["10.0.0.1"],"targetRef":{"kind":"Pod","namespace":"n","name":"a"}},
                {"addresses":["10.0.0.4"],"targetRef":{"kind":"Pod","namespace":"other","name":"d"}},
                {"addresses":["10.0.0.2"],"conditions":{"ready":false},"targetRef":{"kind":"Pod","namespace":"n","name":"b"}},
                {"addresses":["10.0.0.3"],"conditions":{"ready":true}}]}"#,
        );
        let want = Endpoint { address: "10.0.0.1".into(), port: 8080, pod: "a".into() };
        assert_eq!(of_slice(&slice, "web", "n"), [want]);
        assert_eq!(of_slice(&slice, "other", "n"), []);
        let endpoints = value(
            r#"{"subsets":[{"ports":[{"port":80}],"addresses":[{"ip":"10.0.0.1","targetRef":{"kind":"Pod","namespace":"n","name":"a"}},{"ip":"1.1.1.1"}]}]}"#,
        );
        let want = Endpoint { address: "10.0.0.1".into(), port: 80, pod: "a".into() };
        assert_eq!(of_endpoints(&endpoints, "", "n"), [want]);
    }

    #[test]
    fn ports_are_named_or_numbered() {
        let service =
            value(r#"{"metadata":{"name":"s"},"spec":{"ports":[{"name":"web","port":80},{"port":443}]}}"#);
        let rows = [
            ("web", Ok("web")),
            ("80", Ok("web")),
            ("443", Ok("")),
            ("", Ok("")),
            ("8", Err("no service port 8 found for service \"s\"")),
        ];
        for (port, want) in rows {
            let got = port_name(&service, port).map_err(|status| status.message().to_owned());
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{port}");
        }
    }

    #[test]
    fn an_endpoint_must_be_the_address_of_its_pod() {
        let pod = value(r#"{"status":{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]}}"#);
        for (address, want) in [("10.0.0.1", true), ("fd00:0::1", true), ("10.0.0.2", false), ("", false)] {
            assert_eq!(has_address(&pod, address), want, "{address}");
        }
    }
}
