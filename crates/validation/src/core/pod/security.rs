//! Security contexts of pods and containers.

use sampan_model::name::{is_valid_group_id, is_valid_user_id};
use sampan_model::{FieldError, FieldPath, Value};

use super::paths::local_descending_path;
use super::windows;
use crate::look::{Errors, Look, not_supported, one_of, strings};
use crate::seen::Seen;

fn user_id(e: &mut Errors, p: FieldPath<'_>, id: Option<i64>) {
    for (id, text) in id.into_iter().flat_map(|id| is_valid_user_id(id).into_iter().map(move |t| (id, t))) {
        e.push(FieldError::invalid(p, id, text));
    }
}

fn group_id(e: &mut Errors, p: FieldPath<'_>, id: Option<i64>) {
    for (id, text) in id.into_iter().flat_map(|id| is_valid_group_id(id).into_iter().map(move |t| (id, t))) {
        e.push(FieldError::invalid(p, id, text));
    }
}

/// `securityContext` of a container.
pub(crate) fn security_context(e: &mut Errors, p: FieldPath<'_>, context: &Value, host_users: bool) {
    user_id(e, p.child("runAsUser"), context.opt_num("runAsUser"));
    group_id(e, p.child("runAsGroup"), context.opt_num("runAsGroup"));
    if let Some(kind) = context.opt_s("procMount") {
        if !["Default", "Unmasked"].contains(&kind) {
            e.push(not_supported(p.child("procMount"), kind, &["Default", "Unmasked"]));
        }
        if host_users && kind == "Unmasked" {
            let detail = "`hostUsers` must be false to use `Unmasked`";
            e.push(FieldError::invalid(p.child("procMount"), kind, detail));
        }
    }
    seccomp(e, p.child("seccompProfile"), context);
    if context.opt_flag("allowPrivilegeEscalation") == Some(false) {
        if context.flag("privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            e.push(FieldError::invalid(p, context.clone(), detail));
        }
        for capability in strings(context.sub("capabilities").list("add")) {
            if capability == "CAP_SYS_ADMIN" {
                let detail =
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
                e.push(FieldError::invalid(p, context.clone(), detail));
            }
        }
    }
    windows::options(e, p.child("windowsOptions"), context.sub("windowsOptions"));
    app_armor(e, p.child("appArmorProfile"), context);
}

fn seccomp(e: &mut Errors, p: FieldPath<'_>, context: &Value) {
    let Some(profile) = context.opt("seccompProfile") else { return };
    match profile.s("type") {
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        "" => {
            let detail = "type is required when seccompProfile is set";
            e.push(FieldError::required(p.child("type"), detail));
        }
        other => {
            let types = ["Localhost", "RuntimeDefault", "Unconfined"];
            e.push(not_supported(p.child("type"), other, &types));
        }
    }
    let at = p.child("localhostProfile");
    match (profile.s("type"), profile.opt_s("localhostProfile")) {
        ("Localhost", None) => {
            e.push(FieldError::required(at, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(path)) => local_descending_path(e, at, path),
        (_, Some(_)) => {
            let detail = "can only be set when seccomp type is Localhost";
            e.push(FieldError::invalid(at, profile.clone(), detail));
        }
        (_, None) => {}
    }
}

fn app_armor(e: &mut Errors, p: FieldPath<'_>, context: &Value) {
    const MAX: usize = 4095;
    const LOCAL: &str = "must be set when AppArmor type is Localhost";
    let Some(profile) = context.opt("appArmorProfile") else { return };
    let at = p.child("localhostProfile");
    let local = profile.opt_s("localhostProfile");
    match profile.s("type") {
        "Localhost" => match local {
            None => e.push(FieldError::required(at, LOCAL)),
            Some(name) => {
                if name.trim() != name {
                    e.push(FieldError::invalid(at, name, "must not be padded with whitespace"));
                } else if name.is_empty() {
                    e.push(FieldError::required(at, LOCAL));
                }
                if name.len() > MAX {
                    e.push(FieldError::too_long(at, MAX));
                }
            }
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(name) = local {
                e.push(FieldError::invalid(at, name, "can only be set when AppArmor type is Localhost"));
            }
        }
        "" => {
            let detail = "type is required when appArmorProfile is set";
            e.push(FieldError::required(p.child("type"), detail));
        }
        other => {
            let types = ["Localhost", "RuntimeDefault", "Unconfined"];
            e.push(not_supported(p.child("type"), other, &types));
        }
    }
}

/// `securityContext` of a pod; `spec` has the fields about the host's namespaces.
pub(crate) fn pod_security_context(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let Some(context) = spec.opt("securityContext") else { return };
    group_id(e, p.child("fsGroup"), context.opt_num("fsGroup"));
    user_id(e, p.child("runAsUser"), context.opt_num("runAsUser"));
    group_id(e, p.child("runAsGroup"), context.opt_num("runAsGroup"));
    for (i, group) in context.list("supplementalGroups").iter().enumerate() {
        group_id(e, p.child("supplementalGroups").index(i), group.as_i64());
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        e.push(FieldError::invalid(p.child("shareProcessNamespace"), true, detail));
    }
    sysctls(e, p.child("sysctls"), context.list("sysctls"), spec);
    one_of(
        e,
        p.child("fsGroupChangePolicy"),
        context.opt_s("fsGroupChangePolicy"),
        &["Always", "OnRootMismatch"],
    );
    seccomp(e, p.child("seccompProfile"), context);
    windows::options(e, p.child("windowsOptions"), context.sub("windowsOptions"));
    app_armor(e, p.child("appArmorProfile"), context);
    let at = p.child("supplementalGroupsPolicy");
    one_of(e, at, context.opt_s("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    let at = p.child("seLinuxChangePolicy");
    one_of(e, at, context.opt_s("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
}

fn sysctls(e: &mut Errors, p: FieldPath<'_>, sysctls: &[Value], spec: &Value) {
    const RULE: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let mut seen = Seen::default();
    for (i, sysctl) in sysctls.iter().enumerate() {
        let p = p.index(i);
        let p = p.child("name");
        let name = sysctl.s("name");
        if name.is_empty() {
            e.push(FieldError::required(p, ""));
        } else if !is_sysctl_name(name) {
            e.push(FieldError::invalid(p, name, RULE));
        } else if seen.again(name) {
            e.push(FieldError::duplicate(p, name));
        }
        let dotted = name.replace('/', ".");
        let ipc = dotted.starts_with("kernel.shm")
            || dotted.starts_with("kernel.msg")
            || dotted.starts_with("fs.mqueue.")
            || dotted == "kernel.sem";
        if spec.flag("hostNetwork") && dotted.starts_with("net.") {
            e.push(FieldError::invalid(p, name, "may not be specified when 'hostNetwork' is true"));
        } else if spec.flag("hostIPC") && ipc {
            e.push(FieldError::invalid(p, name, "may not be specified when 'hostIPC' is true"));
        }
    }
}

fn is_sysctl_name(name: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 253
        && name.split(['.', '/']).all(|segment| {
            let bytes = segment.as_bytes();
            matches!((bytes.first(), bytes.last()), (Some(a), Some(z)) if edge(*a) && edge(*z))
                && bytes.iter().all(|b| edge(*b) || matches!(b, b'-' | b'_'))
        })
}

/// A pod in its own user namespace may share no other namespace with the host.
pub(crate) fn host_users(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    if spec.opt_flag("hostUsers") != Some(false) {
        return;
    }
    for (field, at) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.flag(field) {
            e.push(FieldError::forbidden(p.child(at), "when `pod.Spec.HostUsers` is false"));
        }
    }
}
