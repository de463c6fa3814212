//! Which user containers run as: not root.

use sampan_model::Value;

use super::violation::{Violation, bad_containers, has_user_namespace, named_containers, setters};
use crate::look::Look;

pub(super) fn non_root(_: &Value, spec: &Value) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let setting = |holder: &Value| holder.sub("securityContext").opt_flag("runAsNonRoot");
    let pod = setting(spec);
    let bad = bad_containers(spec, |c| setting(c) == Some(false));
    if let Some(setters) = setters(pod == Some(false), &bad) {
        return Violation::new(REASON, format!("{setters} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = bad_containers(spec, |c| setting(c).is_none());
    if pod == Some(true) || silent.is_empty() {
        return None;
    }
    Violation::new(
        REASON,
        format!("pod or {} must set securityContext.runAsNonRoot=true", named_containers(&silent)),
    )
}

pub(super) fn not_user_0(_: &Value, spec: &Value) -> Option<Violation> {
    let is_root = |holder: &Value| holder.sub("securityContext").opt_num("runAsUser") == Some(0);
    let setters = setters(is_root(spec), &bad_containers(spec, is_root))?;
    Violation::new("runAsUser=0", format!("{setters} must not set runAsUser=0"))
}

/// From v1.35: root in a user namespace is nobody outside of it.
pub(super) fn non_root_outside_user_namespaces(metadata: &Value, spec: &Value) -> Option<Violation> {
    if has_user_namespace(spec) { None } else { non_root(metadata, spec) }
}

/// From v1.35, as above.
pub(super) fn not_user_0_outside_user_namespaces(metadata: &Value, spec: &Value) -> Option<Violation> {
    if has_user_namespace(spec) { None } else { not_user_0(metadata, spec) }
}
