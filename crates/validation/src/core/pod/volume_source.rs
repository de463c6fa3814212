//! The sources of storage that pods and persistent volumes share.

use sampan_model::name::{
    inclusive_range_error, is_dns1123_label, is_dns1123_subdomain, name_is_dns_label, name_is_dns_subdomain,
};
use sampan_model::{FieldError, FieldPath, Value};

use super::paths::no_backsteps;
use crate::look::{Errors, Look, complain, not_supported, strings};

/// Why an iSCSI volume's name is too long.
pub(crate) const ISCSI_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";

/// Who has the volume; the references to secrets differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// A pod: secrets are in its namespace.
    Pod,
    /// The persistent volume of that name: references name a namespace.
    Volume(&'a str),
}

/// Fields that may not be empty.
pub(crate) fn required(e: &mut Errors, p: FieldPath<'_>, source: &Value, fields: &[&str]) {
    for &field in fields {
        if source.sub(field).is_empty() {
            e.push(FieldError::required(p.child(field), ""));
        }
    }
}

/// A source of one of the kinds that both have.
pub(crate) fn common(e: &mut Errors, p: FieldPath<'_>, kind: &str, source: &Value, owner: Owner<'_>) {
    match kind {
        "hostPath" => host_path(e, p, source),
        "gcePersistentDisk" => disk(e, p, source, "pdName"),
        "awsElasticBlockStore" => disk(e, p, source, "volumeID"),
        "nfs" => {
            required(e, p, source, &["server", "path"]);
            if !source.s("path").starts_with('/') {
                let detail = "must be an absolute path";
                e.push(FieldError::invalid(p.child("path"), source.s("path"), detail));
            }
        }
        "iscsi" => iscsi(e, p, source, owner),
        "glusterfs" => {
            required(e, p, source, &["endpoints", "path"]);
            if let Some(namespace) = source.opt_s("endpointsNamespace") {
                let p = p.child("endpointsNamespace");
                if namespace.is_empty() {
                    let detail = "if the endpointnamespace is set, it must be a valid namespace name";
                    e.push(FieldError::invalid(p, namespace, detail));
                } else {
                    complain(e, p, namespace, name_is_dns_label(namespace, false));
                }
            }
        }
        "flocker" => flocker(e, p, source),
        "rbd" => required(e, p, source, &["monitors", "image"]),
        "cinder" => {
            required(e, p, source, &["volumeID"]);
            secret_ref(e, p, source, owner);
        }
        "cephfs" => required(e, p, source, &["monitors"]),
        "quobyte" => quobyte(e, p, source),
        "fc" => fibre_channel(e, p, source),
        "flexVolume" => flex(e, p, source),
        "azureFile" => {
            required(e, p, source, &["secretName", "shareName"]);
            if source.opt_s("secretNamespace") == Some("") {
                e.push(FieldError::required(p.child("secretNamespace"), ""));
            }
        }
        "vsphereVolume" => required(e, p, source, &["volumePath"]),
        "photonPersistentDisk" => required(e, p, source, &["pdID"]),
        "portworxVolume" => required(e, p, source, &["volumeID"]),
        "azureDisk" => azure_disk(e, p, source),
        "storageos" => {
            required(e, p, source, &["volumeName"]);
            for field in ["volumeName", "volumeNamespace"] {
                let value = source.s(field);
                if !value.is_empty() {
                    complain(e, p.child(field), value, is_dns1123_label(value));
                }
            }
            secret_ref(e, p, source, owner);
        }
        "scaleIO" => required(e, p, source, &["gateway", "system", "volumeName"]),
        _ => {}
    }
}

fn secret_ref(e: &mut Errors, p: FieldPath<'_>, source: &Value, owner: Owner<'_>) {
    if let Some(secret) = source.opt("secretRef") {
        required(e, p.child("secretRef"), secret, &["name"]);
        if owner != Owner::Pod {
            required(e, p.child("secretRef"), secret, &["namespace"]);
        }
    }
}

fn host_path(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    const TYPES: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let path = source.s("path");
    if path.is_empty() {
        e.push(FieldError::required(p.child("path"), ""));
        return;
    }
    no_backsteps(e, p.child("path"), path);
    crate::look::one_of(e, p.child("type"), source.opt_s("type"), &TYPES);
}

fn disk(e: &mut Errors, p: FieldPath<'_>, source: &Value, name: &str) {
    required(e, p, source, &[name]);
    let partition = source.num("partition");
    if !(0..=255).contains(&partition) {
        e.push(FieldError::invalid(p.child("partition"), partition, inclusive_range_error(1, 255)));
    }
}

fn iscsi(e: &mut Errors, p: FieldPath<'_>, source: &Value, owner: Owner<'_>) {
    const NO_KIND: &str = "must be valid format starting with iqn, eui, or naa";
    required(e, p, source, &["targetPortal"]);
    if let Owner::Volume(name) = owner {
        let portal = source.s("targetPortal");
        if source.has("initiatorName") && name.len() + 1 + portal.len() > 64 {
            e.push(FieldError::invalid(p.child("targetportal"), portal, ISCSI_TOO_LONG));
        }
    }
    let no_kind = if owner == Owner::Pod { NO_KIND } else { "must be valid format" };
    let check = |e: &mut Errors, p: FieldPath<'_>, name: &str| {
        if !["iqn", "eui", "naa"].iter().any(|k| name.starts_with(k)) {
            e.push(FieldError::invalid(p, name, no_kind));
        } else if !is_iscsi_name(name) {
            e.push(FieldError::invalid(p, name, "must be valid format"));
        }
    };
    match source.s("iqn") {
        "" => e.push(FieldError::required(p.child("iqn"), "")),
        iqn => check(e, p.child("iqn"), iqn),
    }
    let lun = source.num("lun");
    if !(0..=255).contains(&lun) {
        e.push(FieldError::invalid(p.child("lun"), lun, inclusive_range_error(0, 255)));
    }
    if (source.flag("chapAuthDiscovery") || source.flag("chapAuthSession")) && !source.has("secretRef") {
        e.push(FieldError::required(p.child("secretRef"), ""));
    }
    if owner != Owner::Pod
        && let Some(secret) = source.opt("secretRef")
    {
        required(e, p.child("secretRef"), secret, &["name"]);
    }
    if let Some(initiator) = source.opt_s("initiatorName") {
        check(e, p.child("initiatorname"), initiator);
    }
}

/// `iqn.2001-04.com.example:disk`, `eui.` and 16 letters or digits, `naa.` and 32.
fn is_iscsi_name(name: &str) -> bool {
    let (kind, rest) = name.split_at(3);
    let Some(rest) = rest.strip_prefix('.') else { return false };
    let coded = |length| rest.len() == length && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    match kind {
        "eui" => coded(16),
        "naa" => coded(32),
        _ => {
            let Some((date, rest)) = rest.split_once('.') else { return false };
            let date = date.as_bytes();
            let dated = date.len() == 7
                && date.iter().enumerate().all(|(i, b)| if i == 4 { *b == b'-' } else { b.is_ascii_digit() });
            let Some((authority, unique)) = rest.split_once(':') else { return false };
            dated
                && !authority.is_empty()
                && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
                && !unique.is_empty()
                && unique.chars().all(|c| !c.is_whitespace() && !",;*&$|^".contains(c))
        }
    }
}

fn flocker(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    let (name, uuid) = (source.s("datasetName"), source.s("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        e.push(FieldError::required(p, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        e.push(FieldError::invalid(p, "resource", detail));
    }
    if name.contains('/') {
        e.push(FieldError::invalid(p.child("datasetName"), name, "must not contain '/'"));
    }
}

fn quobyte(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = source.s("registry");
    if registry.is_empty() {
        e.push(FieldError::required(p.child("registry"), PAIRS));
    } else if source.s("tenant").len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        e.push(FieldError::required(p.child("tenant"), detail));
    } else {
        for pair in registry.split(',') {
            if pair.rsplit_once(':').is_none() {
                e.push(FieldError::invalid(p.child("registry"), registry, PAIRS));
            }
        }
    }
    required(e, p, source, &["volume"]);
}

fn fibre_channel(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    let (names, ids) = (source.list("targetWWNs"), source.list("wwids"));
    if names.is_empty() && ids.is_empty() {
        let detail = "must specify either targetWWNs or wwids, but not both";
        e.push(FieldError::required(p.child("targetWWNs"), detail));
    }
    if !names.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        e.push(FieldError::invalid(p.child("targetWWNs"), names.to_vec(), detail));
    }
    if !names.is_empty() {
        match source.opt_num("lun") {
            None => {
                e.push(FieldError::required(p.child("lun"), "lun is required if targetWWNs is specified"));
            }
            Some(lun) if !(0..=255).contains(&lun) => {
                e.push(FieldError::invalid(p.child("lun"), lun, inclusive_range_error(0, 255)));
            }
            Some(_) => {}
        }
    }
}

fn flex(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    required(e, p, source, &["driver"]);
    for (key, _) in source.entries("options") {
        let namespace = key.split('/').next().unwrap_or(key).to_lowercase();
        let dotted = format!(".{namespace}");
        if dotted.ends_with(".kubernetes.io") || dotted.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            e.push(FieldError::invalid(p.child("options").key(key), key, detail));
        }
    }
}

fn azure_disk(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    required(e, p, source, &["diskName", "diskURI"]);
    let one_of = crate::look::one_of;
    one_of(e, p.child("cachingMode"), source.opt_s("cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    one_of(e, p.child("kind"), source.opt_s("kind"), &["Dedicated", "Managed", "Shared"]);
    let uri = source.s("diskURI");
    match source.opt_s("kind") {
        Some("Managed") if !uri.starts_with("/subscriptions/") => e.push(not_supported(
            p.child("diskURI"),
            uri,
            &["/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"],
        )),
        Some("Managed") | None => {}
        Some(_) if !uri.starts_with("https://") => e.push(not_supported(
            p.child("diskURI"),
            uri,
            &["https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"],
        )),
        Some(_) => {}
    }
}

/// The name of a CSI driver.
pub(crate) fn csi_driver_name(e: &mut Errors, p: FieldPath<'_>, name: &str) {
    if name.is_empty() {
        e.push(FieldError::required(p, ""));
    }
    if name.len() > 63 {
        e.push(FieldError::too_long(p, 63));
    }
    complain(e, p, name, is_dns1123_subdomain(&name.to_lowercase()));
}

/// An inline CSI volume of a pod.
pub(crate) fn csi_volume(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    csi_driver_name(e, p.child("driver"), source.s("driver"));
    if let Some(secret) = source.opt("nodePublishSecretRef") {
        let name = secret.s("name");
        if name.is_empty() {
            e.push(FieldError::required(p.child("nodePublishSecretRef").child("name"), ""));
        } else {
            complain(e, p.child("name"), name, name_is_dns_subdomain(name, false));
        }
    }
}

/// A CSI volume behind a persistent volume.
pub(crate) fn csi_persistent_volume(e: &mut Errors, p: FieldPath<'_>, source: &Value) {
    csi_driver_name(e, p.child("driver"), source.s("driver"));
    required(e, p, source, &["volumeHandle"]);
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let Some(secret) = source.opt(field) else { continue };
        let p = p.child(field);
        let (name, namespace) = (secret.s("name"), secret.s("namespace"));
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
        } else {
            complain(e, p.child("name"), name, is_dns1123_subdomain(name));
        }
        if namespace.is_empty() {
            e.push(FieldError::required(p.child("namespace"), ""));
        } else {
            complain(e, p.child("namespace"), namespace, is_dns1123_label(namespace));
        }
    }
}

/// The access modes of a claim or a volume.
pub(crate) fn access_modes(e: &mut Errors, p: FieldPath<'_>, modes: &[Value]) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let (mut alone, mut others) = (false, false);
    for mode in strings(modes) {
        if !MODES.contains(&mode) {
            e.push(not_supported(p, mode, &MODES));
        } else if mode == "ReadWriteOncePod" {
            alone = true;
        } else {
            others = true;
        }
    }
    if alone && others {
        e.push(FieldError::forbidden(p, "may not use ReadWriteOncePod with other access modes"));
    }
}
