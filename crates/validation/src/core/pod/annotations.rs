//! Annotations of pods that once were fields: seccomp, AppArmor, mirror pods, deletion cost.

use sampan_model::{FieldError, FieldPath, Map, Value};

use super::paths::local_descending_path;
use super::visit_containers;
use crate::look::{Errors, Look, annotation};

/// Marks the API's copy of a static pod.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";
/// The prefix of the annotations that once chose AppArmor profiles.
pub(crate) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The annotation that once chose a pod's seccomp profile.
pub(crate) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// The prefix of those that once chose containers' profiles.
pub(crate) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// What the annotations of a pod or a template say must make sense.
pub(crate) fn annotations(e: &mut Errors, p: FieldPath<'_>, meta: &Value, spec: &Value) {
    let Some(all) = meta.map("annotations").filter(|m| !m.is_empty()) else { return };
    if let Some(value) = all.opt_s(MIRROR)
        && spec.s("nodeName").is_empty()
    {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        e.push(FieldError::invalid(p.key(MIRROR), value, detail));
    }
    if let Some(cost) = all.opt_s(DELETION_COST) {
        let sound = cost.parse::<i32>().is_ok()
            && !cost.starts_with('+')
            && (cost == "0" || !cost.trim_start_matches('-').starts_with('0'));
        if !sound {
            e.push(FieldError::invalid(p.key(DELETION_COST), cost, "must be a 32bit integer"));
        }
    }
    if let Some(profile) = all.opt_s(SECCOMP_POD) {
        seccomp_profile(e, p.child(SECCOMP_POD), profile);
    }
    for (key, value) in all.iter() {
        let value = value.as_str().unwrap_or("");
        if key.starts_with(SECCOMP_CONTAINER) {
            seccomp_profile(e, p.child(key), value);
        } else if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let mut found = false;
            visit_containers(spec, p, &mut |c, _| found |= c.s("name") == container);
            if !found {
                e.push(FieldError::invalid(p.key(key), container, "container not found"));
            }
            let known =
                matches!(value, "" | "runtime/default" | "unconfined") || value.starts_with("localhost/");
            if !known {
                let detail = format!("invalid AppArmor profile name: {value:?}");
                e.push(FieldError::invalid(p.key(key), value, detail));
            }
        }
    }
}

fn seccomp_profile(e: &mut Errors, p: FieldPath<'_>, profile: &str) {
    if matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
        return;
    }
    match profile.strip_prefix("localhost/") {
        Some(path) => local_descending_path(e, p, path),
        None => e.push(FieldError::invalid(p, profile, "must be a valid seccomp profile")),
    }
}

/// Where an annotation and the field that replaced it are both there, they must say the same.
pub(crate) fn match_fields(e: &mut Errors, p: FieldPath<'_>, meta: &Value, spec: &Value) {
    if meta.map("annotations").is_none_or(Map::is_empty) {
        return;
    }
    let context = spec.sub("securityContext");
    if let (Some(profile), Some(said)) = (context.opt("seccompProfile"), annotation(meta, SECCOMP_POD)) {
        seccomp_matches(e, p.child("securityContext").child("seccompProfile"), profile, said);
    }
    visit_containers(spec, p, &mut |container, p| {
        let key = format!("{SECCOMP_CONTAINER}{}", container.s("name"));
        if let (Some(profile), Some(said)) =
            (container.sub("securityContext").opt("seccompProfile"), annotation(meta, &key))
        {
            seccomp_matches(e, p.child("securityContext").child("seccompProfile"), profile, said);
        }
    });
    if spec.sub("os").s("name") == "windows" {
        return;
    }
    visit_containers(spec, p, &mut |container, p| {
        let own = container.sub("securityContext").opt("appArmorProfile");
        let Some(profile) = own.or_else(|| context.opt("appArmorProfile")) else { return };
        let key = format!("{APP_ARMOR}{}", container.s("name"));
        let Some(said) = annotation(meta, &key) else { return };
        let p = p.child("securityContext");
        let p = p.child("appArmorProfile");
        matches(e, p, profile, said, "apparmor", &["runtime/default"]);
    });
}

fn seccomp_matches(e: &mut Errors, p: FieldPath<'_>, profile: &Value, said: &str) {
    matches(e, p, profile, said, "seccomp", &["runtime/default", "docker/default"]);
}

fn matches(e: &mut Errors, p: FieldPath<'_>, profile: &Value, said: &str, what: &str, defaults: &[&str]) {
    let same_type = match profile.s("type") {
        "Unconfined" => said == "unconfined",
        "RuntimeDefault" => defaults.contains(&said),
        "Localhost" => said.starts_with("localhost/"),
        _ => true,
    };
    if !same_type {
        let detail = format!("{what} type in annotation and field must match");
        e.push(FieldError::forbidden(p.child("type"), detail));
    } else if profile.s("type") == "Localhost"
        && profile.opt_s("localhostProfile") != said.strip_prefix("localhost/")
    {
        let detail = format!("{what} profile in annotation and field must match");
        e.push(FieldError::forbidden(p.child("localhostProfile"), detail));
    }
}
