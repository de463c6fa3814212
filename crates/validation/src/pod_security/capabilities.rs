//! Capabilities: what may be added, and that all are dropped.

use sampan_model::Value;

use super::violation::{Values, Violation, bad_containers, is_windows, named_containers, quoted};
use crate::look::{Look, strings};

/// What container runtimes give by default, but for `NET_RAW`.
const DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn of(container: &Value) -> &Value {
    container.sub("securityContext").sub("capabilities")
}

/// The containers that add others than `allowed`, and which.
fn adding<'a>(spec: &'a Value, allowed: &[&str]) -> (Vec<&'a str>, Values) {
    let mut values = Values::new();
    let containers = bad_containers(spec, |container| {
        let forbidden: Vec<&str> =
            strings(of(container).list("add")).filter(|c| !allowed.contains(c)).collect();
        values.extend(forbidden.iter().map(|c| (*c).to_owned()));
        !forbidden.is_empty()
    });
    (containers, values)
}

fn must_not_add(containers: &[&str], values: Values) -> String {
    format!(
        "{} must not include {} in securityContext.capabilities.add",
        named_containers(containers),
        quoted(values)
    )
}

pub(super) fn baseline(_: &Value, spec: &Value) -> Option<Violation> {
    let (containers, values) = adding(spec, &DEFAULT);
    if containers.is_empty() {
        return None;
    }
    Violation::new("non-default capabilities", must_not_add(&containers, values))
}

pub(super) fn restricted(_: &Value, spec: &Value) -> Option<Violation> {
    let keeping = bad_containers(spec, |container| !strings(of(container).list("drop")).any(|c| c == "ALL"));
    let (adders, values) = adding(spec, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            named_containers(&keeping)
        ));
    }
    if !adders.is_empty() {
        details.push(must_not_add(&adders, values));
    }
    if details.is_empty() {
        return None;
    }
    Violation::new("unrestricted capabilities", details.join("; "))
}

pub(super) fn restricted_but_on_windows(metadata: &Value, spec: &Value) -> Option<Violation> {
    if is_windows(spec) { None } else { restricted(metadata, spec) }
}
