//! Privileged containers, and processes that may gain more privileges than their parents.

use sampan_model::Value;

use super::violation::{Violation, bad_containers, is_windows, named_containers};
use crate::look::Look;

pub(super) fn privileged(_: &Value, spec: &Value) -> Option<Violation> {
    let bad = bad_containers(spec, |c| c.sub("securityContext").flag("privileged"));
    if bad.is_empty() {
        return None;
    }
    Violation::new(
        "privileged",
        format!("{} must not set securityContext.privileged=true", named_containers(&bad)),
    )
}

pub(super) fn denied(_: &Value, spec: &Value) -> Option<Violation> {
    let may = |c: &Value| c.sub("securityContext").opt_flag("allowPrivilegeEscalation") != Some(false);
    let bad = bad_containers(spec, may);
    if bad.is_empty() {
        return None;
    }
    Violation::new(
        "allowPrivilegeEscalation != false",
        format!("{} must set securityContext.allowPrivilegeEscalation=false", named_containers(&bad)),
    )
}

pub(super) fn denied_but_on_windows(metadata: &Value, spec: &Value) -> Option<Violation> {
    if is_windows(spec) { None } else { denied(metadata, spec) }
}
