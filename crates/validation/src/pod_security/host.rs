//! What a pod shares with its host: namespaces, ports, and on Windows the host itself.

use sampan_model::Value;

use super::violation::{Values, Violation, bad_containers, named_containers, plural, setters};
use crate::look::Look;

pub(super) fn namespaces(_: &Value, spec: &Value) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| spec.flag(field))
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() {
        return None;
    }
    Violation::new("host namespaces", shared.join(", "))
}

pub(super) fn ports(_: &Value, spec: &Value) -> Option<Violation> {
    let mut values = Values::new();
    let bad = bad_containers(spec, |container| {
        let ports: Vec<i64> = container
            .list("ports")
            .iter()
            .map(|port| port.num("hostPort"))
            .filter(|port| *port != 0)
            .collect();
        values.extend(ports.iter().map(ToString::to_string));
        !ports.is_empty()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {}",
        named_containers(&bad),
        plural("uses", "use", bad.len()),
        plural("hostPort", "hostPorts", values.len()),
        values.into_iter().collect::<Vec<_>>().join(", ")
    );
    Violation::new("hostPort", detail)
}

pub(super) fn windows_process(_: &Value, spec: &Value) -> Option<Violation> {
    let is_host_process =
        |holder: &Value| holder.sub("securityContext").sub("windowsOptions").flag("hostProcess");
    let setters = setters(is_host_process(spec), &bad_containers(spec, is_host_process))?;
    Violation::new(
        "hostProcess",
        format!("{setters} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}
