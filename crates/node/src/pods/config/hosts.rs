//! A pod's `/etc/hosts`.

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::sandbox::hostname;

const OWN: &str = "# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";
const HOSTS: &str = "# Kubernetes-managed hosts file (host network).\n";

/// The file of a pod with these addresses; `host` is the host's own file, which pods on its network see.
pub(super) fn file(pod: &Pod, spec: &PodSpec, pod_ips: &[IpAddr], host: &str, domain: &str) -> String {
    let mut file = if spec.host_network == Some(true) { format!("{HOSTS}{host}") } else { OWN.to_owned() };
    if spec.host_network != Some(true) {
        let name = hostname(pod, spec);
        for ip in pod_ips {
            match spec.subdomain.as_deref().filter(|s| !s.is_empty()) {
                Some(subdomain) => {
                    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
                    writeln!(file, "{ip}\t{name}.{subdomain}.{namespace}.svc.{domain}\t{name}")
                }
                None => writeln!(file, "{ip}\t{name}"),
            }
            .expect("a string can be written to");
        }
    }
    let aliases: Vec<_> = spec.host_aliases.iter().flatten().collect();
    if !aliases.is_empty() {
        file.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\t");
        writeln!(file, "{}\t{names}", alias.ip).expect("a string can be written to");
    }
    file
}
