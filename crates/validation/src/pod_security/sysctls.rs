//! Sysctls: those that concern the pod alone.

use sampan_model::Value;

use super::violation::Violation;
use crate::look::Look;

/// In the order in which they were found to be safe.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    // v1.27
    "net.ipv4.ip_local_reserved_ports",
    // v1.29
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    // v1.32
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn safe(spec: &Value, allowed: &[&str]) -> Option<Violation> {
    let sysctls = spec.sub("securityContext").list("sysctls");
    let bad: Vec<&str> = sysctls.iter().map(|s| s.s("name")).filter(|name| !allowed.contains(name)).collect();
    if bad.is_empty() {
        return None;
    }
    Violation::new("forbidden sysctls", bad.join(", "))
}

pub(super) fn safe_1_0(_: &Value, spec: &Value) -> Option<Violation> {
    safe(spec, &SAFE[..5])
}

pub(super) fn safe_1_27(_: &Value, spec: &Value) -> Option<Violation> {
    safe(spec, &SAFE[..6])
}

pub(super) fn safe_1_29(_: &Value, spec: &Value) -> Option<Violation> {
    safe(spec, &SAFE[..10])
}

pub(super) fn safe_1_32(_: &Value, spec: &Value) -> Option<Violation> {
    safe(spec, &SAFE)
}
