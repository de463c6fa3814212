//! Volumes: nothing of the host, and at `restricted` only what the API and the node provide.

use sampan_model::Value;

use super::violation::{Values, Violation, plural, quoted};
use crate::look::Look;

pub(super) fn host_path(_: &Value, spec: &Value) -> Option<Violation> {
    let names: Vec<&str> =
        spec.list("volumes").iter().filter(|v| v.has("hostPath")).map(|v| v.s("name")).collect();
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names));
    Violation::new("hostPath volumes", detail)
}

/// `image` joined the list without a new version of the standards.
const ALLOWED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Those that messages name; any other is `unknown`.
const RESTRICTED: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn restricted(_: &Value, spec: &Value) -> Option<Violation> {
    let (mut names, mut types) = (Vec::new(), Values::new());
    for volume in spec.list("volumes") {
        if ALLOWED.iter().any(|kind| volume.has(kind)) {
            continue;
        }
        names.push(volume.s("name"));
        let kind = RESTRICTED.into_iter().find(|kind| volume.has(kind)).unwrap_or("unknown");
        types.insert(kind.to_owned());
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", names.len()),
        quoted(&names),
        plural("uses", "use", names.len()),
        plural("restricted volume type", "restricted volume types", types.len()),
        quoted(types)
    );
    Violation::new("restricted volume types", detail)
}
