//! Probes and lifecycle hooks that the node would send elsewhere than to the pod (from v1.34).

use std::collections::BTreeSet;

use sampan_model::Value;

use super::violation::{Values, Violation, containers, plural, quoted};
use crate::look::Look;

/// The hosts that a probe or a hook names.
fn named_hosts(handler: &Value) -> impl Iterator<Item = &str> {
    ["httpGet", "tcpSocket"]
        .into_iter()
        .map(|kind| handler.sub(kind).s("host"))
        .filter(|host| !host.is_empty())
}

pub(super) fn hosts(_: &Value, spec: &Value) -> Option<Violation> {
    let (mut names, mut values) = (BTreeSet::new(), Values::new());
    for container in containers(spec) {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| container.sub(probe));
        let hooks = ["postStart", "preStop"].map(|hook| container.sub("lifecycle").sub(hook));
        for host in probes.into_iter().chain(hooks).flat_map(named_hosts) {
            names.insert(container.s("name"));
            values.insert(host.to_owned());
        }
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {} {}",
        plural("container", "containers", names.len()),
        quoted(&names),
        plural("uses", "use", names.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", values.len()),
        quoted(&values)
    );
    Violation::new("probe or lifecycle host", detail)
}
