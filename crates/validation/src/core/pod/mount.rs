//! How containers use the volumes of their pod.

use sampan_model::{FieldError, FieldPath, Value};

use super::paths::{has_backsteps, local_descending_path};
use super::volume::Volumes;
use crate::look::{Errors, Look, not_supported};
use crate::seen::Seen;

/// `volumeMounts` of a container.
pub(crate) fn volume_mounts(e: &mut Errors, p: FieldPath<'_>, container: &Value, volumes: &Volumes<'_>) {
    let (mounts, devices) = (container.list("volumeMounts"), container.list("volumeDevices"));
    let device_names: Seen<_> = devices.iter().map(|d| d.s("name")).collect();
    let device_paths: Seen<_> = devices.iter().map(|d| d.s("devicePath")).collect();
    let mut paths = Seen::default();
    for (i, mount) in mounts.iter().enumerate() {
        let at = p.index(i);
        let (name, path) = (mount.s("name"), mount.s("mountPath"));
        let volume = volumes.get(name);
        if name.is_empty() {
            e.push(FieldError::required(at.child("name"), ""));
        }
        if volume.is_none() {
            e.push(FieldError::not_found(at.child("name"), name));
        }
        if path.is_empty() {
            e.push(FieldError::required(at.child("mountPath"), ""));
        }
        if paths.again(path) {
            e.push(FieldError::invalid(at.child("mountPath"), path, "must be unique"));
        }
        if device_names.has(&name) {
            let detail = "must not already exist in volumeDevices";
            e.push(FieldError::invalid(at.child("name"), name, detail));
        }
        if device_paths.has(&path) {
            let detail = "must not already exist as a path in volumeDevices";
            e.push(FieldError::invalid(at.child("mountPath"), path, detail));
        }
        let (sub_path, sub_path_expr) = (mount.s("subPath"), mount.s("subPathExpr"));
        if !sub_path.is_empty() {
            local_descending_path(e, p.child("subPath"), sub_path);
        }
        if !sub_path_expr.is_empty() {
            if !sub_path.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                e.push(FieldError::invalid(at.child("subPathExpr"), sub_path_expr, detail));
            }
            local_descending_path(e, p.child("subPathExpr"), sub_path_expr);
        }
        if let Some(propagation) = mount.opt_s("mountPropagation") {
            mount_propagation(e, p.child("mountPropagation"), propagation, container);
        }
        recursive_read_only(e, p.child("recursiveReadOnly"), mount);
    }
}

fn mount_propagation(e: &mut Errors, p: FieldPath<'_>, propagation: &str, container: &Value) {
    const MODES: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    if !MODES.contains(&propagation) {
        e.push(not_supported(p, propagation, &MODES));
    }
    if propagation == "Bidirectional" && !container.sub("securityContext").flag("privileged") {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        e.push(FieldError::forbidden(p, detail));
    }
}

fn recursive_read_only(e: &mut Errors, p: FieldPath<'_>, mount: &Value) {
    match mount.opt_s("recursiveReadOnly") {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.flag("readOnly") {
                e.push(FieldError::forbidden(p, "may only be specified when readOnly is true"));
            }
            if mount.opt_s("mountPropagation").is_some_and(|m| m != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                e.push(FieldError::forbidden(p, detail));
            }
        }
        Some(other) => e.push(not_supported(p, other, &["Disabled", "Enabled", "IfPossible"])),
    }
}

/// `volumeDevices` of a container.
pub(crate) fn volume_devices(
    e: &mut Errors,
    p: FieldPath<'_>,
    devices: &[Value],
    mounts: &[Value],
    volumes: &Volumes<'_>,
) {
    let mount_names: Seen<_> = mounts.iter().map(|m| m.s("name")).collect();
    let mount_paths: Seen<_> = mounts.iter().map(|m| m.s("mountPath")).collect();
    let mut names = Seen::default();
    let mut paths = Seen::default();
    for (i, device) in devices.iter().enumerate() {
        let p = p.index(i);
        let (name, path) = (device.s("name"), device.s("devicePath"));
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
        } else if names.again(name) {
            e.push(FieldError::invalid(p.child("name"), name, "must be unique"));
        }
        match volumes.get(name) {
            None => e.push(FieldError::not_found(p.child("name"), name)),
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                e.push(FieldError::invalid(p.child("name"), name, detail));
            }
            Some(_) => {}
        }
        if path.is_empty() {
            e.push(FieldError::required(p.child("devicePath"), ""));
        }
        if !has_backsteps(path) && paths.again(path) {
            e.push(FieldError::invalid(p.child("devicePath"), path, "must be unique"));
        }
        if has_backsteps(path) {
            let detail = "can not contain backsteps ('..')";
            e.push(FieldError::invalid(p.child("devicePath"), path, detail));
        }
        if mount_names.has(&name) {
            e.push(FieldError::invalid(p.child("name"), name, "must not already exist in volumeMounts"));
        }
        if mount_paths.has(&path) {
            let detail = "must not already exist as a path in volumeMounts";
            e.push(FieldError::invalid(p.child("devicePath"), path, detail));
        }
    }
}
