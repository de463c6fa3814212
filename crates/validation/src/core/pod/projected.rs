//! Volumes whose files come from the API: config maps, secrets, the downward API, and projections of them.

use sampan_model::{FieldError, FieldPath, Value};

use super::env::{FILE_FIELDS, field_ref, resource_field_ref};
use super::paths::local_non_reserved_path;
use crate::certificates::signer_name;
use crate::look::{Errors, Look};
use crate::seen::Seen;
use crate::selector::label_selector;

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

fn mode(e: &mut Errors, p: FieldPath<'_>, mode: Option<i64>) {
    if let Some(mode) = mode
        && !(0..=0o777).contains(&mode)
    {
        e.push(FieldError::invalid(p, mode, FILE_MODE));
    }
}

pub(crate) fn secret_volume(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    files(e, p, source, "secretName");
}

pub(crate) fn config_map_volume(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    files(e, p, source, "name");
}

fn files(e: &mut Errors, p: FieldPath<'_>, source: &Value, name_field: &str) {
    if source.s(name_field).is_empty() {
        e.push(FieldError::required(p.child(name_field), ""));
    }
    mode(e, p.child("defaultMode"), source.opt_num("defaultMode"));
    for (i, item) in source.list("items").iter().enumerate() {
        key_to_path(e, p.child("items").index(i), item);
    }
}

fn key_to_path(e: &mut Errors, p: FieldPath<'_>, item: &Value) {
    if item.s("key").is_empty() {
        e.push(FieldError::required(p.child("key"), ""));
    }
    if item.s("path").is_empty() {
        e.push(FieldError::required(p.child("path"), ""));
    }
    local_non_reserved_path(e, p.child("path"), item.s("path"));
    mode(e, p.child("mode"), item.opt_num("mode"));
}

pub(crate) fn downward_api_volume(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    mode(e, p.child("defaultMode"), source.opt_num("defaultMode"));
    for file in source.list("items") {
        downward_api_file(e, p, file);
    }
}

fn downward_api_file(e: &mut Errors, p: FieldPath<'_>, file: &Value) {
    let path = file.s("path");
    if path.is_empty() {
        e.push(FieldError::required(p.child("path"), ""));
    }
    local_non_reserved_path(e, p.child("path"), path);
    let (field, resource) = (file.opt("fieldRef"), file.opt("resourceFieldRef"));
    if let Some(field) = field {
        field_ref(e, p.child("fieldRef"), field, &FILE_FIELDS);
        if resource.is_some() {
            let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
            e.push(FieldError::invalid(p, "resource", detail));
        }
    } else if let Some(resource) = resource {
        resource_field_ref(e, p.child("resourceFieldRef"), resource, true);
    } else {
        e.push(FieldError::required(p, "one of fieldRef and resourceFieldRef is required"));
    }
    mode(e, p.child("mode"), file.opt_num("mode"));
}

pub(crate) fn projected_volume(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    mode(e, p.child("defaultMode"), source.opt_num("defaultMode"));
    let mut paths = Seen::default();
    for (i, source) in source.list("sources").iter().enumerate() {
        projection(e, p, p.child("sources").index(i), source, &mut paths);
    }
}

/// Notes a path; a second file of that path is an error of `shown`.
fn claim<'a>(e: &mut Errors, p: FieldPath<'_>, paths: &mut Seen<&'a str>, path: &'a str, shown: &str) {
    if paths.again(path) {
        e.push(FieldError::invalid(p, shown, "conflicting duplicate paths"));
    }
}

fn projection<'a>(
    e: &mut Errors,
    volume: FieldPath<'_>,
    p: FieldPath<'_>,
    source: &'a Value,
    paths: &mut Seen<&'a str>,
) {
    let mut found = 0;
    for kind in ["secret", "configMap"] {
        let Some(files) = source.opt(kind) else { continue };
        found += 1;
        let p = p.child(kind);
        if files.s("name").is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
        }
        for (i, item) in files.list("items").iter().enumerate() {
            key_to_path(e, p.child("items").index(i), item);
            if !item.s("path").is_empty() {
                claim(e, volume, paths, item.s("path"), files.s("name"));
            }
        }
    }
    if let Some(downward) = source.opt("downwardAPI") {
        found += 1;
        for file in downward.list("items") {
            downward_api_file(e, p.child("downwardAPI"), file);
            if !file.s("path").is_empty() {
                claim(e, volume, paths, file.s("path"), file.s("path"));
            }
        }
    }
    if let Some(token) = source.opt("serviceAccountToken") {
        found += 1;
        let p = p.child("serviceAccountToken");
        let seconds = token.num("expirationSeconds");
        if seconds < 600 {
            let detail = "may not specify a duration less than 10 minutes";
            e.push(FieldError::invalid(p.child("expirationSeconds"), seconds, detail));
        }
        if seconds > 1 << 32 {
            let detail = "may not specify a duration larger than 2^32 seconds";
            e.push(FieldError::invalid(p.child("expirationSeconds"), seconds, detail));
        }
        if token.s("path").is_empty() {
            e.push(FieldError::required(volume.child("path"), ""));
        } else {
            local_non_reserved_path(e, volume.child("path"), token.s("path"));
        }
    }
    if let Some(bundle) = source.opt("clusterTrustBundle") {
        found += 1;
        trust_bundle(e, p.child("clusterTrustBundle"), bundle);
        claim(e, volume, paths, bundle.s("path"), bundle.s("path"));
    }
    if let Some(certificate) = source.opt("podCertificate") {
        found += 1;
        pod_certificate(e, volume, p.child("podCertificate"), certificate, paths);
    }
    if found > 1 {
        e.push(FieldError::forbidden(p, "may not specify more than 1 volume type per source"));
    }
}

fn trust_bundle(e: &mut Errors, p: FieldPath<'_>, bundle: &Value) {
    match (bundle.opt_s("name"), bundle.opt_s("signerName")) {
        (Some(_), Some(_)) => {
            e.push(FieldError::invalid(p, bundle.clone(), "only one of name and signerName may be used"));
        }
        (Some(name), None) => {
            if name.is_empty() {
                e.push(FieldError::required(p.child("name"), "must be a valid object name"));
            }
            for text in crate::certificates::trust_bundle_name(name, false) {
                let detail = format!("not a valid clustertrustbundlename: {text}");
                e.push(FieldError::invalid(p.child("name"), name, detail));
            }
            if bundle.has("labelSelector") {
                let detail = "labelSelector must be unset if name is specified";
                let shown = bundle.sub("labelSelector").clone();
                e.push(FieldError::invalid(p.child("labelSelector"), shown, detail));
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                e.push(FieldError::required(p.child("signerName"), "must be a valid signer name"));
            }
            signer_name(e, p.child("signerName"), signer);
            label_selector(e, p.child("labelSelector"), bundle.sub("labelSelector"));
        }
        (None, None) => e.push(FieldError::required(p, "either name or signerName must be specified")),
    }
    if bundle.s("path").is_empty() {
        e.push(FieldError::required(p.child("path"), ""));
    }
    local_non_reserved_path(e, p.child("path"), bundle.s("path"));
}

fn pod_certificate<'a>(
    e: &mut Errors,
    volume: FieldPath<'_>,
    p: FieldPath<'_>,
    certificate: &'a Value,
    paths: &mut Seen<&'a str>,
) {
    const KEY_TYPES: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    signer_name(e, p.child("signerName"), certificate.s("signerName"));
    let key_type = certificate.s("keyType");
    if !KEY_TYPES.contains(&key_type) {
        e.push(crate::look::not_supported(p.child("keyType"), key_type, &KEY_TYPES));
    }
    let mut found = 0;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = certificate.s(field);
        if !path.is_empty() {
            found += 1;
            local_non_reserved_path(e, p.child(field), path);
            claim(e, volume, paths, path, path);
        }
    }
    if found == 0 {
        let detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        e.push(FieldError::required(p, detail));
    }
}
