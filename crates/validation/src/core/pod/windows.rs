//! What concerns Windows: its own options, and what may not be said of one system on the other.

use sampan_model::name::is_dns1123_subdomain;
use sampan_model::{FieldError, FieldPath, Value};

use super::visit_containers;
use crate::look::{Errors, Look, complain, not_supported};

/// `windowsOptions` of a security context.
pub(crate) fn options(e: &mut Errors, p: FieldPath<'_>, options: &Value) {
    const SPEC_KIB: usize = 64;
    if options.is_null() {
        return;
    }
    if let Some(name) = options.opt_s("gmsaCredentialSpecName") {
        complain(e, p.child("gmsaCredentialSpecName"), name, is_dns1123_subdomain(name));
    }
    if let Some(spec) = options.opt_s("gmsaCredentialSpec") {
        let p = p.child("gmsaCredentialSpec");
        if spec.is_empty() {
            e.push(FieldError::invalid(p, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > SPEC_KIB * 1024 {
            let detail = format!("gmsaCredentialSpec size must be under {SPEC_KIB} KiB");
            e.push(FieldError::invalid(p, spec, detail));
        }
    }
    if let Some(name) = options.opt_s("runAsUserName") {
        user_name(e, p.child("runAsUserName"), name);
    }
}

fn user_name(e: &mut Errors, p: FieldPath<'_>, name: &str) {
    let mut wrong = |detail: &str| e.push(FieldError::invalid(p, name, detail));
    if name.is_empty() {
        return wrong("runAsUserName cannot be an empty string");
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return wrong("runAsUserName cannot contain control characters");
    }
    let (domain, user) = match name.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return wrong("runAsUserName cannot contain more than one backslash"),
    };
    if domain.is_some_and(|d| d.len() >= 256) {
        wrong("runAsUserName's Domain length must be under 256 characters");
    }
    if domain.is_some_and(|d| !is_net_bios(d) && !is_dns(d)) {
        wrong("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        wrong("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        wrong("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        wrong("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        wrong("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
}

fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count())
        && !domain.starts_with('.')
        && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// Containers that are host processes: all of them or none, and in the host's network.
pub(crate) fn host_process(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let setting = |context: &Value| context.sub("windowsOptions").opt_flag("hostProcess");
    let pod = setting(spec.sub("securityContext"));
    let (mut count, mut host_processes) = (0, 0);
    visit_containers(spec, p, &mut |container, p| {
        count += 1;
        let own = setting(container.sub("securityContext"));
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let p = p.child("securityContext");
            let p = p.child("windowsOptions");
            let p = p.child("hostProcess");
            let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            e.push(FieldError::invalid(p, own, detail));
        }
        if own.or(pod) == Some(true) {
            host_processes += 1;
        }
    });
    if host_processes == 0 {
        return;
    }
    if host_processes != count {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        e.push(FieldError::invalid(p, "", detail));
    }
    if !spec.flag("hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        e.push(FieldError::invalid(p.child("hostNetwork"), false, detail));
    }
}

/// `spec.os`, and the fields that the other system has no meaning for.
pub(crate) fn os(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    const LINUX_ONLY: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    const LINUX_ONLY_OF_POD: [(bool, &str); 15] = [
        (true, "appArmorProfile"),
        (true, "seLinuxOptions"),
        (false, "hostUsers"),
        (false, "hostPID"),
        (false, "hostIPC"),
        (true, "seccompProfile"),
        (true, "fsGroup"),
        (true, "fsGroupChangePolicy"),
        (true, "sysctls"),
        (false, "shareProcessNamespace"),
        (true, "runAsUser"),
        (true, "runAsGroup"),
        (true, "supplementalGroups"),
        (true, "supplementalGroupsPolicy"),
        (true, "seLinuxChangePolicy"),
    ];
    let Some(os) = spec.opt("os") else { return };
    let context = spec.sub("securityContext");
    match os.s("name") {
        "" => e.push(FieldError::required(p.child("os").child("name"), "cannot be empty")),
        "linux" => {
            let detail = "windows options cannot be set for a linux pod";
            if context.has("windowsOptions") {
                e.push(FieldError::forbidden(p.child("securityContext").child("windowsOptions"), detail));
            }
            visit_containers(spec, p, &mut |container, p| {
                if container.sub("securityContext").has("windowsOptions") {
                    let p = p.child("securityContext");
                    let p = p.child("windowsOptions");
                    e.push(FieldError::forbidden(p, detail));
                }
            });
        }
        "windows" => {
            let detail = "cannot be set for a windows pod";
            for (in_context, field) in LINUX_ONLY_OF_POD {
                if in_context && context.has(field) {
                    e.push(FieldError::forbidden(p.child("securityContext").child(field), detail));
                } else if !in_context
                    && spec.has(field)
                    && (spec.flag(field) || matches!(field, "hostUsers" | "shareProcessNamespace"))
                {
                    e.push(FieldError::forbidden(p.child(field), detail));
                }
            }
            visit_containers(spec, p, &mut |container, p| {
                for field in LINUX_ONLY {
                    if container.sub("securityContext").has(field) {
                        let p = p.child("securityContext");
                        let p = p.child(field);
                        e.push(FieldError::forbidden(p, detail));
                    }
                }
            });
        }
        other => e.push(not_supported(p.child("os"), other, &["linux", "windows"])),
    }
}
