//! Seccomp profiles: in annotations up to v1.18, in fields from v1.19.

use sampan_model::Value;
use sampan_model::field_error::go_quote;

use super::violation::{
    Values, Violation, bad_containers, containers, is_windows, named_containers, plural, quoted, setters,
};
use crate::look::{Look, annotation};

const REASON: &str = "seccompProfile";
const POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(super) fn annotations(metadata: &Value, spec: &Value) -> Option<Violation> {
    let is_allowed =
        |v: &str| matches!(v, "runtime/default" | "docker/default") || v.starts_with("localhost/");
    let keys = containers(spec).map(|c| format!("{CONTAINER_ANNOTATION}{}", c.s("name")));
    let mut forbidden = Values::new();
    for key in std::iter::once(POD_ANNOTATION.to_owned()).chain(keys) {
        if let Some(value) = annotation(metadata, &key).filter(|v| !is_allowed(v)) {
            forbidden.insert(format!("{key}={}", go_quote(value)));
        }
    }
    if forbidden.is_empty() {
        return None;
    }
    let word = plural("annotation", "annotations", forbidden.len());
    let list = forbidden.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new(REASON, format!("forbidden {word} {list}"))
}

/// The type of a profile, if one is set.
fn profile_type(holder: &Value) -> Option<&str> {
    holder.sub("securityContext").opt("seccompProfile").map(|profile| profile.s("type"))
}

fn is_valid(profile_type: &str) -> bool {
    matches!(profile_type, "RuntimeDefault" | "Localhost")
}

pub(super) fn baseline(_: &Value, spec: &Value) -> Option<Violation> {
    let mut values = Values::new();
    let mut is_bad = |holder: &Value| {
        let bad = profile_type(holder).filter(|t| !is_valid(t));
        bad.map(|t| values.insert(t.to_owned())).is_some()
    };
    let pod = is_bad(spec);
    let setters = setters(pod, &bad_containers(spec, is_bad))?;
    Violation::new(
        REASON,
        format!("{setters} must not set securityContext.seccompProfile.type to {}", quoted(values)),
    )
}

pub(super) fn restricted(metadata: &Value, spec: &Value) -> Option<Violation> {
    if let Some(violation) = baseline(metadata, spec) {
        return Some(violation);
    }
    let silent = bad_containers(spec, |c| profile_type(c).is_none());
    if profile_type(spec).is_some() || silent.is_empty() {
        return None;
    }
    Violation::new(
        REASON,
        format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named_containers(&silent)
        ),
    )
}

pub(super) fn restricted_but_on_windows(metadata: &Value, spec: &Value) -> Option<Violation> {
    if is_windows(spec) { None } else { restricted(metadata, spec) }
}
