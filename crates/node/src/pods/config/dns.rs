//! What stands in a pod's `/etc/resolv.conf`.

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::container::DnsConfig;
use crate::pods::parts::NodeFacts;

/// `None`: what the host has.
pub(super) fn of(pod: &Pod, spec: &PodSpec, node: &NodeFacts) -> Option<DnsConfig> {
    let host_network = spec.host_network == Some(true);
    let cluster = || clusters(pod, node);
    let base = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "None" => Some(DnsConfig::default()),
        "ClusterFirstWithHostNet" => cluster(),
        "ClusterFirst" if !host_network => cluster(),
        _ => None,
    };
    let Some(own) = &spec.dns_config else { return base };
    // What the pod adds to the host's has to stand beside it, so it is read here.
    let mut made = base.unwrap_or_else(hosts);
    append(&mut made.servers, own.nameservers.iter().flatten().cloned());
    append(&mut made.searches, own.searches.iter().flatten().cloned());
    for option in own.options.iter().flatten() {
        let Some(name) = &option.name else { continue };
        made.options.retain(|known| known.split(':').next() != Some(name));
        made.options
            .push(option.value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}")));
    }
    Some(made)
}

fn append(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn clusters(pod: &Pod, node: &NodeFacts) -> Option<DnsConfig> {
    if node.cluster_dns.is_empty() {
        return None;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let domain = &node.cluster_domain;
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    append(&mut searches, hosts().searches.into_iter());
    let servers = node.cluster_dns.iter().map(ToString::to_string).collect();
    Some(DnsConfig { servers, searches, options: vec!["ndots:5".into()] })
}

fn hosts() -> DnsConfig {
    std::fs::read_to_string("/etc/resolv.conf").map(|text| parse(&text)).unwrap_or_default()
}

/// The three kinds of lines that matter (resolv.conf(5)); the last `search` line holds.
fn parse(text: &str) -> DnsConfig {
    let mut made = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => made.servers.extend(words.next().map(str::to_owned)),
            Some("search") => made.searches = words.map(str::to_owned).collect(),
            Some("options") => made.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_is_read_by_its_lines() {
        let text = "# x\nnameserver 192.0.2.1\nsearch a.example\nsearch b.example c.example\noptions ndots:2 rotate\nnameserver ::1\n";
        let made = parse(text);
        assert_eq!(made.servers, ["192.0.2.1", "::1"]);
        assert_eq!(made.searches, ["b.example", "c.example"]);
        assert_eq!(made.options, ["ndots:2", "rotate"]);
    }
}
