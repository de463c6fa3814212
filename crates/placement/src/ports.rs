//! Ports of the node that pods take.

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    ip: Box<str>,
    protocol: Box<str>,
    port: i32,
}

const EVERY_ADDRESS: &str = "0.0.0.0";

impl HostPort {
    /// Those of all containers that run side by side.
    pub fn of(spec: &PodSpec) -> Vec<Self> {
        let is_sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
        let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
        let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
        ports.filter_map(Self::new).collect()
    }

    fn new(port: &ContainerPort) -> Option<Self> {
        let or = |text: Option<&str>, default: &str| text.filter(|t| !t.is_empty()).unwrap_or(default).into();
        Some(Self {
            ip: or(port.host_ip.as_deref(), EVERY_ADDRESS),
            protocol: or(port.protocol.as_deref(), "TCP"),
            port: port.host_port.filter(|port| *port > 0)?,
        })
    }

    /// Whether both cannot be had at once.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || *self.ip == *EVERY_ADDRESS || *other.ip == *EVERY_ADDRESS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn host_ports_conflict_by_address_protocol_and_port() {
        let port =
            |ip: &str, protocol: &str, port: i32| HostPort { ip: ip.into(), protocol: protocol.into(), port };
        let any = port(EVERY_ADDRESS, "TCP", 80);
        let rows = [
            ("the same", port(EVERY_ADDRESS, "TCP", 80), true),
            ("every address has each", port("127.0.0.1", "TCP", 80), true),
            ("another protocol", port(EVERY_ADDRESS, "UDP", 80), false),
            ("another port", port(EVERY_ADDRESS, "TCP", 81), false),
        ];
        for (name, other, conflict) in rows {
            assert_eq!(any.conflicts(&other), conflict, "{name}");
            assert_eq!(other.conflicts(&any), conflict, "{name}, the other way round");
        }
        assert!(!port("10.0.0.1", "TCP", 80).conflicts(&port("10.0.0.2", "TCP", 80)));
    }

    #[test]
    fn ports_of_containers_and_sidecars_count() {
        let port = |n: i32| json!([{"containerPort": n, "hostPort": n}]);
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "a", "ports": port(1)}, {"name": "b", "ports": [{"containerPort": 2}]}],
            "initContainers": [{"name": "c", "ports": port(3)}, {"name": "d", "ports": port(4), "restartPolicy": "Always"}],
        }))
        .expect("a spec");
        assert_eq!(HostPort::of(&spec).iter().map(|p| p.port).collect::<Vec<_>>(), [1, 4]);
    }
}
