//! What several plug-ins look for in a pod: its containers, its tolerations, the secrets and config maps that it uses.

use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

/// Marks a pod that a node made from a file.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The lists of containers, in the order in which upstream visits them.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Whether a node made the pod from a file.
pub(super) fn is_mirror(pod: &Value) -> bool {
    pod.annotations().is_some_and(|a| a.contains_key(MIRROR))
}

/// All containers, with their list and their place in it.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    LISTS
        .into_iter()
        .flat_map(|list| pod.array_at(&["spec", list]).iter().enumerate().map(move |(i, c)| (list, i, c)))
}

/// All containers, to be changed.
pub(super) fn containers_mut(pod: &mut Value) -> impl Iterator<Item = &mut Map> {
    let spec = pod.as_object_mut().and_then(|p| p.get_mut("spec")).and_then(Value::as_object_mut);
    let fields = spec.into_iter().flat_map(Map::iter_mut);
    let lists = fields.filter(|(name, _)| LISTS.contains(&name.as_str()));
    lists.filter_map(|(_, list)| list.as_array_mut()).flatten().filter_map(Value::as_object_mut)
}

/// The name that a reference below `path` holds, if the reference is there.
fn name_at<'a>(node: &'a Value, path: &[&str]) -> Option<&'a str> {
    node.at(path).filter(|n| !n.is_null()).and_then(Value::as_str)
}

/// Whether a pod uses a secret in any way.
pub(super) fn uses_secrets(pod: &Value) -> bool {
    const VOLUMES: [[&str; 3]; 9] = [
        ["azureFile", "secretName", ""],
        ["cephfs", "secretRef", "name"],
        ["cinder", "secretRef", "name"],
        ["flexVolume", "secretRef", "name"],
        ["rbd", "secretRef", "name"],
        ["scaleIO", "secretRef", "name"],
        ["iscsi", "secretRef", "name"],
        ["storageos", "secretRef", "name"],
        ["csi", "nodePublishSecretRef", "name"],
    ];
    let in_volume = |volume: &Value| {
        volume.at(&["secret"]).is_some_and(|s| !s.is_null())
            || VOLUMES.iter().any(|path| {
                let path: Vec<&str> = path.iter().copied().filter(|p| !p.is_empty()).collect();
                name_at(volume, &path).is_some()
            })
            || volume.array_at(&["projected", "sources"]).iter().any(|s| s.get("secret").is_some())
    };
    !pod.array_at(&["spec", "imagePullSecrets"]).is_empty()
        || containers(pod).any(|(_, _, c)| refers_to(c, "secretRef", "secretKeyRef"))
        || pod.array_at(&["spec", "volumes"]).iter().any(in_volume)
}

/// Whether a pod uses a config map in any way.
pub(super) fn uses_config_maps(pod: &Value) -> bool {
    let in_volume = |volume: &Value| {
        volume.get("configMap").is_some()
            || volume.array_at(&["projected", "sources"]).iter().any(|s| s.get("configMap").is_some())
    };
    containers(pod).any(|(_, _, c)| refers_to(c, "configMapRef", "configMapKeyRef"))
        || pod.array_at(&["spec", "volumes"]).iter().any(in_volume)
}

fn refers_to(container: &Value, from: &str, key: &str) -> bool {
    container.array_at(&["envFrom"]).iter().any(|e| e.get(from).is_some())
        || container.array_at(&["env"]).iter().any(|e| e.at(&["valueFrom", key]).is_some())
}
