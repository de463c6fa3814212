//! The masks over parts of `/proc`, which must be there.

use sampan_model::Value;

use super::violation::{Values, Violation, bad_containers, has_user_namespace, named_containers, quoted};
use crate::look::Look;

pub(super) fn default_only(_: &Value, spec: &Value) -> Option<Violation> {
    let mut values = Values::new();
    let bad = bad_containers(spec, |container| {
        let mount = container.sub("securityContext").opt_s("procMount").filter(|mount| *mount != "Default");
        mount.map(|mount| values.insert(mount.to_owned())).is_some()
    });
    if bad.is_empty() {
        return None;
    }
    Violation::new(
        "procMount",
        format!("{} must not set securityContext.procMount to {}", named_containers(&bad), quoted(values)),
    )
}

/// From v1.35 the baseline lets a pod do as it likes in its own user namespace.
pub(super) fn outside_user_namespaces(metadata: &Value, spec: &Value) -> Option<Violation> {
    if has_user_namespace(spec) { None } else { default_only(metadata, spec) }
}
