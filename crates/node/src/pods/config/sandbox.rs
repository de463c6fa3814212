//! What the containers of a pod share.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::qos::Class;
use super::{Error, dns, log_directory, resources};
use crate::container::{Namespaces, PodUid, PortMapping, Resources, SandboxConfig};
use crate::pods::parts::NodeFacts;

/// The longest name of a host.
const MOST_HOSTNAME: usize = 63;

/// The sandbox of a pod.
pub fn sandbox(pod: &Pod, node: &NodeFacts) -> Result<SandboxConfig, Error> {
    let spec = pod.spec.as_ref().ok_or(Error::Incomplete("spec"))?;
    let meta = &pod.metadata;
    let uid = meta.uid.as_deref().and_then(PodUid::new).ok_or(Error::Incomplete("UID"))?;
    let text = |value: &Option<String>, what| value.clone().ok_or(Error::Incomplete(what));
    let (namespace, name) = (text(&meta.namespace, "namespace")?, text(&meta.name, "name")?);
    let host_network = spec.host_network == Some(true);
    let security = spec.security_context.as_ref();
    let sysctls = security.and_then(|s| s.sysctls.as_ref()).into_iter().flatten();
    Ok(SandboxConfig {
        hostname: (!host_network).then(|| fqdn(pod, spec, node).unwrap_or_else(|| hostname(pod, spec))),
        namespaces: Namespaces {
            host_network,
            host_pid: spec.host_pid == Some(true),
            host_ipc: spec.host_ipc == Some(true),
            share_process: spec.share_process_namespace == Some(true),
            user: None,
        },
        sysctls: sysctls.map(|s| (s.name.clone(), s.value.clone())).collect(),
        ports: if host_network { Vec::new() } else { ports(spec)? },
        dns: dns::of(pod, spec, node),
        cgroup_parent: Class::of(pod).cgroup(uid.as_str()),
        resources: pod_resources(spec, node.pod_pids_limit)?,
        log_directory: node.logs.join(log_directory(pod)),
        labels: BTreeMap::from([
            ("io.kubernetes.pod.name".to_owned(), name.clone()),
            ("io.kubernetes.pod.namespace".to_owned(), namespace.clone()),
            ("io.kubernetes.pod.uid".to_owned(), uid.as_str().to_owned()),
        ]),
        uid,
        namespace,
        name,
    })
}

/// The limits of a pod as a whole.
pub fn pod_resources(spec: &PodSpec, pids_limit: Option<i64>) -> Result<Resources, Error> {
    Ok(Resources { pids_limit, ..resources::of_pod(spec)? })
}

/// The name of the host that a pod is to itself.
pub(super) fn hostname(pod: &Pod, spec: &PodSpec) -> String {
    let chosen = spec.hostname_override.as_deref().or(spec.hostname.as_deref()).filter(|h| !h.is_empty());
    let mut name = chosen.or(pod.metadata.name.as_deref()).unwrap_or_default().to_owned();
    // Names are ASCII; the API server has seen to it.
    name.truncate(MOST_HOSTNAME);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// `setHostnameAsFQDN`.
fn fqdn(pod: &Pod, spec: &PodSpec, node: &NodeFacts) -> Option<String> {
    let subdomain = spec.subdomain.as_deref().filter(|s| !s.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref()?;
    let name = format!("{}.{subdomain}.{namespace}.svc.{}", hostname(pod, spec), node.cluster_domain);
    (spec.set_hostname_as_fqdn == Some(true)).then_some(name)
}

fn ports(spec: &PodSpec) -> Result<Vec<PortMapping>, Error> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let ports = containers.flat_map(|c| c.ports.iter().flatten());
    let mapped = ports.filter_map(|port| Some((port, port.host_port.filter(|p| *p != 0)?)));
    mapped
        .map(|(port, host_port)| {
            let number = |value: i32| {
                u16::try_from(value).map_err(|_| Error::Range { what: "port", value: value.into() })
            };
            Ok(PortMapping {
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                container_port: number(port.container_port)?,
                host_port: number(host_port)?,
                host_ip: port.host_ip.clone().unwrap_or_default(),
            })
        })
        .collect()
}
