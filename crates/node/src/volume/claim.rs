//! PersistentVolumeClaims: from a claim to the path of the node that it stands for. `hostPath` and `local` volumes are known.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};

/// What a claim stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// A path, with its type.
    HostPath { path: String, kind: String },
    /// A directory or device that is this node's.
    Local { volume: String, path: String, is_block: bool },
}

/// The volume that a claim is bound to. `is_made_for` is the pod that a claim was made for, with an ephemeral volume.
pub(super) fn volume_name(
    claim: &PersistentVolumeClaim,
    is_made_for: Option<&Pod>,
) -> Result<String, String> {
    if let Some(pod) = is_made_for {
        owned(claim, pod)?;
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted".into());
    }
    let is_bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    name.filter(|_| is_bound).ok_or_else(|| "PVC is not bound".into())
}

fn owned(claim: &PersistentVolumeClaim, pod: &Pod) -> Result<(), String> {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    if owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pod.metadata.uid.as_ref()) {
        return Ok(());
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (claim, pod) = (&claim.metadata, &pod.metadata);
    Err(format!(
        "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
        text(&claim.namespace),
        text(&claim.name),
        text(&pod.namespace),
        text(&pod.name)
    ))
}

/// What `volume` is, which `claim` names.
pub(super) fn claimed(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<Claimed, String> {
    let name = volume.metadata.name.clone().unwrap_or_default();
    let spec = volume.spec.as_ref().ok_or_else(|| format!("PV {name} has no spec"))?;
    let uid = claim.metadata.uid.as_deref().unwrap_or_default();
    let Some(reference) = &spec.claim_ref else {
        return Err(format!(
            "found PV object {name} with nil pvc.spec.claimRef indicating it is not yet bound to the claim"
        ));
    };
    let bound = reference.uid.as_deref().unwrap_or_default();
    if bound != uid {
        return Err(format!(
            "found PV object {name} with unexpected pvc.spec.claimRef.UID {bound}; expected claim UID {uid}"
        ));
    }
    if let Some(source) = &spec.host_path {
        return Ok(Claimed::HostPath {
            path: source.path.clone(),
            kind: source.type_.clone().unwrap_or_default(),
        });
    }
    if let Some(source) = &spec.local {
        let is_block = spec.volume_mode.as_deref() == Some("Block");
        return Ok(Claimed::Local { volume: name, path: source.path.clone(), is_block });
    }
    Err("no volume plugin matched".into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_claim_leads_to_a_path_once_both_sides_are_bound() {
        let claim = |changes: Value| {
            let mut claim = json!({"metadata": {"name": "c", "namespace": "n", "uid": "c1"},
                "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
            merge(&mut claim, changes);
            claim
        };
        let volume = |spec: Value| {
            let mut volume = json!({"metadata": {"name": "v"}, "spec": {"claimRef": {"uid": "c1"}}});
            merge(&mut volume, json!({ "spec": spec }));
            volume
        };
        let local = |is_block| Ok(Claimed::Local { volume: "v".into(), path: "/mnt".into(), is_block });
        let rows: [(&str, Value, Value, Result<Claimed, &str>); 8] = [
            (
                "a path of the node",
                claim(json!({})),
                volume(json!({"hostPath": {"path": "/x", "type": "Directory"}})),
                Ok(Claimed::HostPath { path: "/x".into(), kind: "Directory".into() }),
            ),
            ("a local one", claim(json!({})), volume(json!({"local": {"path": "/mnt"}})), local(false)),
            (
                "a device",
                claim(json!({})),
                volume(json!({"local": {"path": "/mnt"}, "volumeMode": "Block"})),
                local(true),
            ),
            (
                "of another kind",
                claim(json!({})),
                volume(json!({"nfs": {}})),
                Err("no volume plugin matched"),
            ),
            (
                "not bound",
                claim(json!({"status": {"phase": "Pending"}})),
                volume(json!({})),
                Err("PVC is not bound"),
            ),
            (
                "on its way out",
                claim(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
                volume(json!({})),
                Err("PVC is being deleted"),
            ),
            (
                "bound to another",
                claim(json!({})),
                volume(json!({"claimRef": {"uid": "c2"}})),
                Err("found PV object v with unexpected pvc.spec.claimRef.UID c2; expected claim UID c1"),
            ),
            (
                "bound to none",
                claim(json!({})),
                json!({"metadata": {"name": "v"}, "spec": {}}),
                Err(
                    "found PV object v with nil pvc.spec.claimRef indicating it is not yet bound to the claim",
                ),
            ),
        ];
        for (name, claim, volume, expected) in rows {
            let mut volume = volume;
            if volume["spec"].get("nfs").is_some() {
                volume["spec"]["nfs"] = json!({"server": "s", "path": "/"});
            }
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
            let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
            let told = volume_name(&claim, None).and_then(|_| claimed(&claim, &volume));
            assert_eq!(told, expected.map_err(str::to_owned), "{name}");
        }
    }

    #[test]
    fn an_ephemeral_claim_has_to_be_the_pods_own() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "1"}})).unwrap();
        let claim = json!({"metadata": {"name": "p-v", "namespace": "n"}});
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        let told = volume_name(&claim, Some(&pod)).unwrap_err();
        assert_eq!(told, "PVC n/p-v was not created for pod n/p (pod is not owner)");
    }

    fn merge(into: &mut Value, changes: Value) {
        match (into, changes) {
            (Value::Object(into), Value::Object(changes)) => {
                for (key, value) in changes {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, changes) => *into = changes,
        }
    }
}
