//! What a pod or a volume refers to, so that the node that runs it may read it.

use sampan_model::meta::ObjectMeta;
use sampan_model::{Str, Value};

use super::graph::Kind;

/// What an object refers to: kind, namespace (empty at cluster scope), name.
pub(super) type Reference = (Kind, Str, Str);

/// The field of a map that is not null.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|v| !v.is_null())
}

/// What a node that runs a pod may read.
pub(super) fn of_pod(pod: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    // A mirror pod was made by the node itself: it must not give the node rights on anything.
    if pod.annotations().is_some_and(|a| a.contains_key("kubernetes.io/config.mirror")) {
        return found;
    }
    let namespace: Str = pod.namespace().into();
    let mut add = |kind: Kind, name: &str| {
        if !name.is_empty() {
            found.push((kind, namespace.clone(), Str::from(name)));
        }
    };
    let Some(spec) = field(pod, "spec") else { return found };
    add(Kind::Account, spec.str_at(&["serviceAccountName"]));
    for secret in spec.array_at(&["imagePullSecrets"]) {
        add(Kind::Secret, secret.str_at(&["name"]));
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.array_at(&[containers]) {
            for source in container.array_at(&["envFrom"]) {
                add(Kind::Secret, source.str_at(&["secretRef", "name"]));
                add(Kind::ConfigMap, source.str_at(&["configMapRef", "name"]));
            }
            for variable in container.array_at(&["env"]) {
                add(Kind::Secret, variable.str_at(&["valueFrom", "secretKeyRef", "name"]));
                add(Kind::ConfigMap, variable.str_at(&["valueFrom", "configMapKeyRef", "name"]));
            }
        }
    }
    for volume in spec.array_at(&["volumes"]) {
        add(Kind::Secret, volume.str_at(&["secret", "secretName"]));
        add(Kind::Secret, volume.str_at(&["azureFile", "secretName"]));
        add(Kind::Secret, volume.str_at(&["csi", "nodePublishSecretRef", "name"]));
        for driver in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            add(Kind::Secret, volume.str_at(&[driver, "secretRef", "name"]));
        }
        add(Kind::ConfigMap, volume.str_at(&["configMap", "name"]));
        for source in volume.array_at(&["projected", "sources"]) {
            add(Kind::Secret, source.str_at(&["secret", "name"]));
            add(Kind::ConfigMap, source.str_at(&["configMap", "name"]));
        }
        add(Kind::Claim, volume.str_at(&["persistentVolumeClaim", "claimName"]));
        if field(volume, "ephemeral").is_some() {
            add(Kind::Claim, &format!("{}-{}", pod.name(), volume.str_at(&["name"])));
        }
    }
    let statuses = pod.array_at(&["status", "resourceClaimStatuses"]);
    for claim in spec.array_at(&["resourceClaims"]) {
        add(Kind::DeviceClaim, claim.str_at(&["resourceClaimName"]));
        // One that was made of a template has a name of its own, which the status tells.
        if !claim.str_at(&["resourceClaimTemplateName"]).is_empty() {
            let status = statuses.iter().find(|s| s.str_at(&["name"]) == claim.str_at(&["name"]));
            add(Kind::DeviceClaim, status.map_or("", |s| s.str_at(&["resourceClaimName"])));
        }
    }
    add(Kind::DeviceClaim, pod.str_at(&["status", "extendedResourceClaimStatus", "resourceClaimName"]));
    found.sort_unstable();
    found.dedup();
    found
}

/// The claim that a volume is bound to.
pub(super) fn claim_of_volume(volume: &Value) -> Option<(Str, Str)> {
    let claim = field(volume.get("spec")?, "claimRef")?;
    Some((claim.str_at(&["namespace"]).into(), claim.str_at(&["name"]).into()))
}

/// The secrets that the node needs to mount a volume (not those of the controllers that attach or resize it).
pub(super) fn secrets_of_volume(volume: &Value, claim_namespace: &str) -> Vec<(Str, Str)> {
    let Some(spec) = volume.get("spec") else { return Vec::new() };
    let mut found = Vec::new();
    let mut add = |namespace: &str, name: &str| {
        if !name.is_empty() {
            let namespace = if namespace.is_empty() { claim_namespace } else { namespace };
            found.push((Str::from(namespace), Str::from(name)));
        }
    };
    add(spec.str_at(&["azureFile", "secretNamespace"]), spec.str_at(&["azureFile", "secretName"]));
    let references = [
        ["cephfs", "secretRef"],
        ["cinder", "secretRef"],
        ["flexVolume", "secretRef"],
        ["rbd", "secretRef"],
        ["scaleIO", "secretRef"],
        ["iscsi", "secretRef"],
        ["storageos", "secretRef"],
        ["csi", "nodePublishSecretRef"],
        ["csi", "nodeStageSecretRef"],
        ["csi", "nodeExpandSecretRef"],
    ];
    for reference in references.iter().filter_map(|path| spec.at(path)) {
        add(reference.str_at(&["namespace"]), reference.str_at(&["name"]));
    }
    found.sort_unstable();
    found.dedup();
    found
}
