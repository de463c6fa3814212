//! What the scheduler knows of a pod: read once from the object, so that decisions parse nothing. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod, PodSpec, Toleration};

use crate::node_selector::{Required, Term};
use crate::resources::{NonZero, Resources, requests};

/// The UID of a pod.
pub(crate) type Uid = Arc<str>;

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    ip: Box<str>,
    protocol: Box<str>,
    port: i32,
}

const EVERY_ADDRESS: &str = "0.0.0.0";

impl HostPort {
    fn new(port: &ContainerPort) -> Option<Self> {
        let or = |text: Option<&str>, default: &str| text.filter(|t| !t.is_empty()).unwrap_or(default).into();
        Some(Self {
            ip: or(port.host_ip.as_deref(), EVERY_ADDRESS),
            protocol: or(port.protocol.as_deref(), "TCP"),
            port: port.host_port.filter(|port| *port > 0)?,
        })
    }

    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || *self.ip == *EVERY_ADDRESS || *other.ip == *EVERY_ADDRESS)
    }
}

/// What a pod asks of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Demands {
    pub(crate) requests: Resources,
    pub(crate) non_zero: NonZero,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) required: Required,
    /// Terms of node affinity that would be nice, with their weights.
    pub(crate) preferred: Vec<(i64, Term)>,
    /// Images of all its containers, as nodes name them.
    pub(crate) images: Vec<String>,
}

/// The condition `PodScheduled` as it stands in the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) observed_generation: Option<i64>,
}

/// A pod, as the scheduler sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodInfo {
    pub(crate) uid: Uid,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) resource_version: Option<String>,
    pub(crate) generation: Option<i64>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) scheduler_name: String,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) priority: i32,
    pub(crate) gated: bool,
    /// Its deletion has begun.
    pub(crate) terminating: bool,
    /// It has succeeded or failed: it takes nothing of its node any more.
    pub(crate) ended: bool,
    pub(crate) told: Option<Told>,
    pub(crate) demands: Demands,
}

impl PodInfo {
    /// Reads a pod; `None` for one without an identity, which a server never sends.
    pub(crate) fn new(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref()?;
        let status = pod.status.as_ref();
        let is = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        let condition =
            status.and_then(|s| s.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled"));
        Some(Self {
            uid: meta.uid.as_deref()?.into(),
            namespace: meta.namespace.clone()?,
            name: meta.name.clone()?,
            resource_version: meta.resource_version.clone(),
            generation: meta.generation,
            created: meta.creation_timestamp.as_ref().map(|t| t.0),
            scheduler_name: is(&spec.scheduler_name).unwrap_or_else(|| crate::DEFAULT_SCHEDULER.into()),
            node: is(&spec.node_name).map(Into::into),
            priority: spec.priority.unwrap_or_default(),
            gated: spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()),
            terminating: meta.deletion_timestamp.is_some(),
            ended: matches!(status.and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed")),
            told: condition.map(|c| Told {
                status: c.status.clone(),
                reason: c.reason.clone().unwrap_or_default(),
                message: c.message.clone().unwrap_or_default(),
                observed_generation: c.observed_generation,
            }),
            demands: demands(pod, spec),
        })
    }

    /// Whether another version of the same pod may be scheduled otherwise.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.gated != other.gated || self.priority != other.priority || self.demands != other.demands
    }

    /// Without what only matters until it has a node: of most pods nothing else is asked any more.
    pub(crate) fn placed(mut self) -> Self {
        let Demands { requests, non_zero, ports, .. } = self.demands;
        self.demands = Demands { requests, non_zero, ports, ..Demands::default() };
        self.told = None;
        self
    }
}

fn demands(pod: &Pod, spec: &PodSpec) -> Demands {
    let (requests, non_zero) = requests(pod);
    let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let init = spec.init_containers.iter().flatten();
    let is_sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let ports = spec.containers.iter().chain(init.clone().filter(is_sidecar));
    let volumes = spec.volumes.iter().flatten();
    let mounted = volumes.filter_map(|v| v.image.as_ref()?.reference.as_deref());
    let images = spec.containers.iter().chain(init).filter_map(|c| c.image.as_deref()).chain(mounted);
    Demands {
        requests,
        non_zero,
        ports: ports.flat_map(|c| c.ports.iter().flatten()).filter_map(HostPort::new).collect(),
        tolerations: spec.tolerations.clone().unwrap_or_default(),
        required: Required {
            labels: spec.node_selector.clone().unwrap_or_default(),
            terms: required.map(|r| r.node_selector_terms.iter().map(Term::new).collect()),
        },
        preferred: preferred
            .into_iter()
            .flatten()
            .filter(|p| p.weight != 0 && !Term::is_empty(&p.preference))
            .map(|p| (p.weight.into(), Term::new(&p.preference)))
            .collect(),
        images: images.map(normal_image).collect(),
    }
}

/// A name of an image as nodes tell it: with a tag.
fn normal_image(image: &str) -> String {
    let has_tag = image.rfind(':') > image.rfind('/');
    if has_tag { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::pod;

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
        let info = pod(json!({"spec": {
            "containers": [{"name": "a", "ports": port(1)}, {"name": "b", "ports": [{"containerPort": 2}]}],
            "initContainers": [{"name": "c", "ports": port(3)}, {"name": "d", "ports": port(4), "restartPolicy": "Always"}],
        }}));
        assert_eq!(info.demands.ports.iter().map(|p| p.port).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn images_are_named_with_a_tag() {
        let rows = [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("localhost:5000/nginx", "localhost:5000/nginx:latest"),
            ("nginx@sha256:0", "nginx@sha256:0"),
        ];
        for (image, normal) in rows {
            assert_eq!(normal_image(image), normal);
        }
    }
}
