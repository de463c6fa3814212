//! Environment variables, and the references to fields and resources that they share with downward API volumes.

use sampan_model::name::{
    is_config_map_key, is_qualified_name, is_relaxed_env_var_name, name_is_dns_subdomain,
};
use sampan_model::{FieldError, FieldPath, Value};

use super::paths::local_non_reserved_path;
use crate::amount::quantity;
use crate::look::{Errors, Look, complain, not_supported};

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// The fields that a file of a downward API volume can show.
pub(crate) const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const CONVERTIBLE: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const HUGE_PAGES: [&str; 2] = ["requests.hugepages-", "limits.hugepages-"];
const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `env` of a container.
pub(crate) fn env(e: &mut Errors, p: FieldPath<'_>, vars: &[Value]) {
    for (i, var) in vars.iter().enumerate() {
        let p = p.index(i);
        let name = var.s("name");
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
        } else {
            complain(e, p.child("name"), name, is_relaxed_env_var_name(name));
        }
        if let Some(from) = var.opt("valueFrom") {
            value_from(e, p.child("valueFrom"), from, var.s("value"));
        }
    }
}

fn value_from(e: &mut Errors, p: FieldPath<'_>, from: &Value, value: &str) {
    let mut sources = 0;
    if let Some(field) = from.opt("fieldRef") {
        sources += 1;
        field_ref(e, p.child("fieldRef"), field, &ENV_FIELDS);
    }
    if let Some(resource) = from.opt("resourceFieldRef") {
        sources += 1;
        resource_field_ref(e, p.child("resourceFieldRef"), resource, false);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(selector) = from.opt(kind) {
            sources += 1;
            let p = p.child(kind);
            let (name, key) = (selector.s("name"), selector.s("key"));
            complain(e, p.child("name"), name, name_is_dns_subdomain(name, false));
            if key.is_empty() {
                e.push(FieldError::required(p.child("key"), ""));
            } else {
                complain(e, p.child("key"), key, is_config_map_key(key));
            }
        }
    }
    if let Some(file) = from.opt("fileKeyRef") {
        sources += 1;
        file_key_ref(e, p.child("fileKeyRef"), file);
    }
    if sources == 0 {
        e.push(FieldError::invalid(
            p,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ));
    } else if !value.is_empty() {
        e.push(FieldError::invalid(p, "", "may not be specified when `value` is not empty"));
    } else if sources > 1 {
        e.push(FieldError::invalid(p, "", "may not have more than one field specified at a time"));
    }
}

fn file_key_ref(e: &mut Errors, p: FieldPath<'_>, file: &Value) {
    let (key, path, volume) = (file.s("key"), file.s("path"), file.s("volumeName"));
    if key.is_empty() {
        e.push(FieldError::required(p.child("key"), ""));
    } else {
        complain(e, p.child("key"), key, is_relaxed_env_var_name(key));
    }
    if path.is_empty() {
        e.push(FieldError::required(p.child("path"), ""));
    } else {
        local_non_reserved_path(e, p.child("path"), path);
    }
    if volume.is_empty() {
        e.push(FieldError::required(p.child("volumeName"), ""));
    }
}

/// A reference to a field of the pod.
pub(crate) fn field_ref(e: &mut Errors, p: FieldPath<'_>, selector: &Value, allowed: &[&str]) {
    let (version, path) = (selector.s("apiVersion"), selector.s("fieldPath"));
    if version.is_empty() {
        e.push(FieldError::required(p.child("apiVersion"), ""));
        return;
    }
    if path.is_empty() {
        e.push(FieldError::required(p.child("fieldPath"), ""));
        return;
    }
    let subscripted = split_subscript(path);
    let known = match subscripted {
        Some((base, _)) => matches!(base, "metadata.annotations" | "metadata.labels"),
        None => CONVERTIBLE.contains(&path),
    };
    if version != "v1" {
        let detail = format!("error converting fieldPath: unsupported pod version: {version}");
        e.push(FieldError::invalid(p.child("fieldPath"), path, detail));
    } else if !known {
        let detail = match subscripted {
            Some(_) => format!("error converting fieldPath: field label does not support subscript: {path}"),
            None => format!("error converting fieldPath: field label not supported: {path}"),
        };
        e.push(FieldError::invalid(p.child("fieldPath"), path, detail));
    } else if let Some((base, key)) = subscripted {
        let key = if base == "metadata.annotations" { key.to_lowercase() } else { key.to_owned() };
        complain(e, p, &key, is_qualified_name(&key));
    } else {
        let path = if path == "spec.host" { "spec.nodeName" } else { path };
        if !allowed.contains(&path) {
            e.push(not_supported(p.child("fieldPath"), path, allowed));
        }
    }
}

/// `metadata.labels['key']` as `metadata.labels` and `key`.
fn split_subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(base, _)| !base.is_empty())
}

/// A reference to a resource of a container; in a volume it must name the container.
pub(crate) fn resource_field_ref(e: &mut Errors, p: FieldPath<'_>, selector: &Value, volume: bool) {
    let resource = selector.s("resource");
    if volume && selector.s("containerName").is_empty() {
        e.push(FieldError::required(p.child("containerName"), ""));
    } else if resource.is_empty() {
        e.push(FieldError::required(p.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !HUGE_PAGES.iter().any(|h| resource.starts_with(h)) {
        e.push(not_supported(p.child("resource"), resource, &RESOURCES));
    }
    let divisor = selector.sub("divisor");
    if quantity(divisor).is_zero() {
        return;
    }
    let text = divisor.as_str().unwrap_or("");
    let (allowed, what): (&[&str], _) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&BYTE_DIVISORS, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            (&BYTE_DIVISORS, "local ephemeral storage")
        }
        other if HUGE_PAGES.iter().any(|h| other.starts_with(h)) => (&BYTE_DIVISORS, "hugepages"),
        _ => return,
    };
    if !allowed.contains(&text) {
        let list = if what == "cpu" { "1m and 1".to_owned() } else { BYTE_DIVISORS.join(", ") };
        let detail = format!("only divisor's values {list} are supported with the {what} resource");
        e.push(FieldError::invalid(p.child("divisor"), resource, detail));
    }
}

/// `envFrom` of a container.
pub(crate) fn env_from(e: &mut Errors, p: FieldPath<'_>, sources: &[Value]) {
    for (i, source) in sources.iter().enumerate() {
        let at = p.index(i);
        let prefix = source.s("prefix");
        if !prefix.is_empty() {
            complain(e, at.child("prefix"), prefix, is_relaxed_env_var_name(prefix));
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            if let Some(reference) = source.opt(kind) {
                count += 1;
                let name = reference.s("name");
                if name.is_empty() {
                    e.push(FieldError::required(at.child(kind).child("name"), ""));
                } else {
                    complain(e, at.child(kind).child("name"), name, name_is_dns_subdomain(name, true));
                }
            }
        }
        if count == 0 {
            e.push(FieldError::invalid(p, "", "must specify one of: `configMapRef` or `secretRef`"));
        } else if count > 1 {
            e.push(FieldError::invalid(p, "", "may not have more than one field specified at a time"));
        }
    }
}
