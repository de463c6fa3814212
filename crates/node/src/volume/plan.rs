//! Which volumes of a pod are made, where, and of what size.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, EnvVar, Pod, Volume, VolumeDevice, VolumeMount};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use sampan_model::quantity::Quantity;

/// Names of the volumes that a container mounts or reads variables from. The others are not made.
pub(super) fn used(pod: &Pod) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(spec) = &pod.spec else { return names };
    let mut take = |mounts: &Option<Vec<VolumeMount>>,
                    devices: &Option<Vec<VolumeDevice>>,
                    env: &Option<Vec<EnvVar>>| {
        names.extend(mounts.iter().flatten().map(|mount| mount.name.clone()));
        names.extend(devices.iter().flatten().map(|device| device.name.clone()));
        let sources = env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
        names.extend(sources.filter_map(|s| s.file_key_ref.as_ref()).map(|file| file.volume_name.clone()));
    };
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        take(&container.volume_mounts, &container.volume_devices, &container.env);
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        take(&container.volume_mounts, &container.volume_devices, &container.env);
    }
    names
}

/// The volumes of a pod that are made.
pub(super) fn volumes(pod: &Pod) -> Vec<Volume> {
    let used = used(pod);
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    all.filter(|volume| used.contains(&volume.name)).cloned().collect()
}

/// The directory of the plugin of a volume that has a directory of its own.
pub(super) fn plugin(volume: &Volume) -> Option<&'static str> {
    if volume.empty_dir.is_some() {
        Some("kubernetes.io~empty-dir")
    } else if volume.config_map.is_some() {
        Some("kubernetes.io~configmap")
    } else if volume.secret.is_some() {
        Some("kubernetes.io~secret")
    } else if volume.downward_api.is_some() {
        Some("kubernetes.io~downward-api")
    } else if volume.projected.is_some() {
        Some("kubernetes.io~projected")
    } else {
        None
    }
}

/// How much a volume in memory may hold: the least of what the node can give, of what all containers may use, and of its own limit. As
/// the kubelet's `calculateEmptyDirMemorySize`.
pub(super) fn memory_size(
    source: Option<&EmptyDirVolumeSource>,
    pod: &Pod,
    allocatable: &BTreeMap<String, Text>,
) -> Option<u64> {
    let positive = |text: &Text| bytes(text).filter(|bytes| *bytes > 0);
    let node = allocatable.get("memory").and_then(positive);
    let own = source.and_then(|source| source.size_limit.as_ref()).and_then(positive);
    [node, limit_of_pod(pod), own].into_iter().flatten().min()
}

fn bytes(text: &Text) -> Option<u64> {
    text.0.parse::<Quantity>().ok().and_then(|quantity| u64::try_from(quantity.value()).ok())
}

/// The memory that the containers may use together; `None` if one may use what it likes.
fn limit_of_pod(pod: &Pod) -> Option<u64> {
    let spec = pod.spec.as_ref()?;
    let limit = |resources: Option<&k8s_openapi::api::core::v1::ResourceRequirements>| {
        bytes(resources?.limits.as_ref()?.get("memory")?)
    };
    if let Some(own) = limit(spec.resources.as_ref()) {
        return Some(own);
    }
    let sum =
        spec.containers.iter().map(|container| limit(container.resources.as_ref())).sum::<Option<u64>>()?;
    let before = spec.init_containers.iter().flatten();
    let before = before.map(|c| limit(c.resources.as_ref())).collect::<Option<Vec<_>>>()?;
    Some(sum.max(before.into_iter().max().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    #[test]
    fn memory_of_a_volume_is_bounded_by_the_least_limit() {
        let container = |limit: Option<&str>| json!({"name": "c", "resources": {"limits": limit.map(|l| json!({"memory": l}))}});
        let rows = [
            ("nothing but the node", None, json!({"containers": [container(None)]}), Some(1 << 30)),
            ("its own", Some("1Mi"), json!({"containers": [container(Some("2Mi"))]}), Some(1 << 20)),
            ("more than the node has", Some("2Gi"), json!({"containers": [container(None)]}), Some(1 << 30)),
            (
                "its containers'",
                None,
                json!({"containers": [container(Some("2Mi")), container(Some("1Mi"))]}),
                Some(3 << 20),
            ),
            (
                "an init container's",
                None,
                json!({"containers": [container(Some("1Mi"))], "initContainers": [container(Some("4Mi"))]}),
                Some(4 << 20),
            ),
            (
                "one without",
                None,
                json!({"containers": [container(Some("1Mi")), container(None)]}),
                Some(1 << 30),
            ),
            (
                "the pod's",
                None,
                json!({"containers": [container(None)], "resources": {"limits": {"memory": "5Mi"}}}),
                Some(5 << 20),
            ),
        ];
        let allocatable = BTreeMap::from([("memory".to_owned(), Text("1Gi".into()))]);
        for (name, own, spec, expected) in rows {
            let size_limit = own.map(|text| Text(text.into()));
            let source = EmptyDirVolumeSource { size_limit, ..EmptyDirVolumeSource::default() };
            assert_eq!(memory_size(Some(&source), &pod(&spec), &allocatable), expected, "{name}");
        }
    }

    #[test]
    fn volumes_that_no_container_names_are_not_made() {
        let pod = pod(&json!({
            "initContainers": [{"name": "i", "volumeMounts": [{"name": "a", "mountPath": "/a"}]}],
            "containers": [{"name": "c", "volumeDevices": [{"name": "b", "devicePath": "/b"}], "env": [
                {"name": "X", "valueFrom": {"fileKeyRef": {"volumeName": "d", "path": "p", "key": "k"}}}]}],
            "ephemeralContainers": [{"name": "e", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
            "volumes": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}, {"name": "unused"}],
        }));
        let names: Vec<_> = volumes(&pod).into_iter().map(|volume| volume.name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }
}
