//! AppArmor profiles: the runtime's own and local ones, in fields and in the annotations that were before them.

use sampan_model::Value;
use sampan_model::field_error::go_quote;

use super::violation::{Values, Violation, bad_containers, plural, quoted, setters};
use crate::look::Look;

const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

fn is_allowed_annotation(profile: &str) -> bool {
    profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/")
}

/// The type of a profile that is set and not allowed.
fn bad_type(holder: &Value) -> Option<&str> {
    let profile = holder.sub("securityContext").opt("appArmorProfile")?;
    Some(profile.s("type")).filter(|t| !matches!(*t, "RuntimeDefault" | "Localhost"))
}

pub(super) fn profile(metadata: &Value, spec: &Value) -> Option<Violation> {
    let mut values = Values::new();
    let mut is_bad = |holder: &Value| bad_type(holder).map(|t| values.insert(t.to_owned())).is_some();
    let pod = is_bad(spec);
    let containers = bad_containers(spec, is_bad);
    let mut setters: Vec<String> = setters(pod, &containers).into_iter().collect();
    let mut values: Vec<String> = values.into_iter().collect();

    let annotations = metadata.sub("annotations");
    let mut forbidden: Vec<String> = annotations
        .as_object()
        .into_iter()
        .flat_map(sampan_model::Map::iter)
        .filter(|(key, profile)| {
            key.starts_with(ANNOTATION) && !is_allowed_annotation(profile.as_str().unwrap_or(""))
        })
        .map(|(key, profile)| format!("{key}={}", go_quote(profile.as_str().unwrap_or(""))))
        .collect();
    if !forbidden.is_empty() {
        forbidden.sort();
        setters.push(plural("annotation", "annotations", forbidden.len()).to_owned());
        values.extend(forbidden);
    }
    if setters.is_empty() {
        return None;
    }
    Violation::new(
        plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
        format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(values)),
    )
}
