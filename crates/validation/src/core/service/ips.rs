//! Addresses and ports that a service keeps, and the two fields that name its address.

use sampan_model::Value;

use super::{needs_cluster_ip, needs_health_check, needs_node_port};
use crate::look::{Look, items_mut, spec_mut};

/// Gives a service that was sent without them the addresses and ports that it has, so that a client need not know
/// what the server allocated.
pub fn patch_allocated(service: &mut Value, old: &Value) {
    let (new_spec, old_spec) = (service.sub("spec").clone(), old.sub("spec"));
    let spec = spec_mut(service);
    if needs_cluster_ip(old_spec) && needs_cluster_ip(&new_spec) {
        if new_spec.s("clusterIP").is_empty() && !old_spec.s("clusterIP").is_empty() {
            spec.insert("clusterIP", old_spec.s("clusterIP"));
        }
        if new_spec.list("clusterIPs").is_empty()
            && spec.s("clusterIP") == old_spec.s("clusterIP")
            && let Some(ips) = old_spec.opt("clusterIPs")
        {
            spec.insert("clusterIPs", ips.clone());
        }
    }
    if needs_node_port(old_spec) && needs_node_port(&new_spec) {
        let mut used: Vec<i64> = new_spec.list("ports").iter().map(|p| p.num("nodePort")).collect();
        for port in items_mut(spec, "ports").filter(|p| p.num("nodePort") == 0) {
            let kept = old_spec
                .list("ports")
                .iter()
                .find(|o| o.s("protocol") == port.s("protocol") && o.num("port") == port.num("port"))
                .map_or(0, |o| o.num("nodePort"));
            if kept != 0 && !used.contains(&kept) {
                used.push(kept);
                port.insert("nodePort", kept);
            }
        }
    }
    if needs_health_check(old_spec)
        && needs_health_check(&new_spec)
        && new_spec.num("healthCheckNodePort") == 0
    {
        let kept = old_spec.num("healthCheckNodePort");
        if kept != 0 {
            spec.insert("healthCheckNodePort", kept);
        }
    }
}

/// Makes `clusterIP` and `clusterIPs` agree where a client changed only one of them.
pub fn normalize_cluster_ips(service: &mut Value, old: Option<&Value>) {
    let spec = service.sub("spec");
    let one = spec.s("clusterIP").to_owned();
    let none_listed = spec.list("clusterIPs").is_empty();
    let Some(old) = old.map(|old| old.sub("spec")) else {
        if !one.is_empty() && none_listed {
            spec_mut(service).insert("clusterIPs", vec![one]);
        }
        return;
    };
    let list_kept = spec.list("clusterIPs") == old.list("clusterIPs");
    let before = old.s("clusterIP");
    let cleared = one.is_empty() && !before.is_empty();
    let changed = !one.is_empty() && one != before;
    let spec = spec_mut(service);
    if cleared && list_kept {
        spec.remove("clusterIPs");
    } else if !one.is_empty() && (none_listed || (changed && list_kept)) {
        spec.insert("clusterIPs", vec![one]);
    }
}
