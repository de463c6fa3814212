//! The volumes of a pod: exactly one source each, and names that containers can mount.

use std::collections::HashMap;

use sampan_model::name::{is_dns1123_label, name_is_dns_subdomain};
use sampan_model::{FieldError, FieldPath, Value};

use super::projected::{config_map_volume, downward_api_volume, projected_volume, secret_volume};
use super::volume_source::{self as source, Owner};
use crate::amount::quantity;
use crate::look::{Errors, Look, complain};
use crate::seen::Seen;

/// The volumes of a pod that are sound, by name.
#[derive(Default)]
pub(crate) struct Volumes<'a>(HashMap<&'a str, &'a Value>);

impl<'a> Volumes<'a> {
    /// The volume of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).copied()
    }
}

/// Whose volumes they are.
#[derive(Clone, Copy)]
pub(crate) struct VolumeContext<'a> {
    /// The name of the pod; empty in a template.
    pub(crate) pod_name: &'a str,
    /// A pod, not a template.
    pub(crate) is_pod: bool,
}

/// The kinds of sources in the order in which they are looked at; for each the name under which its own errors
/// stand, and the one under which a second source is refused, where they differ from the field's.
const KINDS: [(&str, &str, &str); 30] = [
    ("emptyDir", "emptyDir", "emptyDir"),
    ("hostPath", "hostPath", "hostPath"),
    ("gitRepo", "gitRepo", "gitRepo"),
    ("gcePersistentDisk", "persistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret", "secret"),
    ("nfs", "nfs", "nfs"),
    ("iscsi", "iscsi", "iscsi"),
    ("glusterfs", "glusterfs", "glusterfs"),
    ("flocker", "flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd", "rbd"),
    ("cinder", "cinder", "cinder"),
    ("cephfs", "cephfs", "cephFS"),
    ("quobyte", "quobyte", "quobyte"),
    ("downwardAPI", "downwardAPI", "downwarAPI"),
    ("fc", "fc", "fc"),
    ("flexVolume", "flexVolume", "flexVolume"),
    ("configMap", "configMap", "configMap"),
    ("azureFile", "azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk", "azureDisk"),
    ("storageos", "storageos", "storageos"),
    ("projected", "projected", "projected"),
    ("scaleIO", "scaleIO", "scaleIO"),
    ("csi", "csi", "csi"),
    ("ephemeral", "ephemeral", "ephemeral"),
    ("image", "image", "image"),
];

/// Checks `volumes`, and gathers those that can be mounted.
pub(crate) fn volumes<'a>(
    e: &mut Errors,
    p: FieldPath<'_>,
    list: &'a [Value],
    cx: VolumeContext<'_>,
) -> Volumes<'a> {
    let mut sound = Volumes(HashMap::with_capacity(list.len()));
    let ephemeral = list.iter().filter(|v| v.has("ephemeral")).map(|v| v.s("name"));
    let ephemeral: Seen<_> = ephemeral.collect();
    for (i, volume) in list.iter().enumerate() {
        let p = p.index(i);
        let before = e.len();
        let name = volume.s("name");
        one_source(e, p, volume, name, cx);
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
        } else {
            complain(e, p.child("name"), name, is_dns1123_label(name));
        }
        if sound.get(name).is_some() {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
        if e.len() == before {
            sound.0.insert(name, volume);
        }
        if let Some(claim) = volume.opt("persistentVolumeClaim") {
            let claim_name = claim.s("claimName");
            let created = !cx.pod_name.is_empty()
                && claim_name
                    .strip_prefix(cx.pod_name)
                    .and_then(|rest| rest.strip_prefix('-'))
                    .is_some_and(|rest| ephemeral.has(&rest));
            if created {
                e.push(FieldError::invalid(
                    p.child("persistentVolumeClaim").child("claimName"),
                    claim_name,
                    "must not reference a PVC that gets created for an ephemeral volume",
                ));
            }
        }
    }
    sound
}

fn one_source(e: &mut Errors, p: FieldPath<'_>, volume: &Value, name: &str, cx: VolumeContext<'_>) {
    let mut found = 0;
    for (kind, at, refused_at) in KINDS {
        let Some(source) = volume.opt(kind) else { continue };
        if found > 0 {
            e.push(FieldError::forbidden(p.child(refused_at), "may not specify more than 1 volume type"));
        } else {
            source_of(e, p, p.child(at), kind, source, name, cx);
        }
        found += 1;
        if kind == "iscsi"
            && source.has("initiatorName")
            && name.len() + 1 + source.s("targetPortal").len() > 64
        {
            e.push(FieldError::invalid(p.child("name"), name, source::ISCSI_TOO_LONG));
        }
    }
    if found == 0 {
        e.push(FieldError::required(p, "must specify a volume type"));
    }
}

fn source_of(
    e: &mut Errors,
    volume_at: FieldPath<'_>,
    p: FieldPath<'_>,
    kind: &str,
    source: &Value,
    name: &str,
    cx: VolumeContext<'_>,
) {
    match kind {
        "emptyDir" => {
            if source.has("sizeLimit") && quantity(source.sub("sizeLimit")).sign() < 0 {
                let detail = "SizeLimit field must be a valid resource quantity";
                e.push(FieldError::forbidden(p.child("sizeLimit"), detail));
            }
        }
        "secret" => secret_volume(e, p, source),
        "configMap" => config_map_volume(e, p, source),
        "downwardAPI" => downward_api_volume(e, p, source),
        "projected" => projected_volume(e, p, source),
        "persistentVolumeClaim" => source::required(e, p, source, &["claimName"]),
        "gitRepo" => {
            source::required(e, p, source, &["repository"]);
            super::paths::local_descending_path(e, p.child("directory"), source.s("directory"));
        }
        "csi" => source::csi_volume(e, p, source),
        "ephemeral" => {
            match source.opt("volumeClaimTemplate") {
                None => e.push(FieldError::required(p.child("volumeClaimTemplate"), "")),
                Some(template) => crate::core::claim::template(e, p.child("volumeClaimTemplate"), template),
            }
            if !cx.pod_name.is_empty() && !name.is_empty() {
                let claim = format!("{}-{name}", cx.pod_name);
                for text in name_is_dns_subdomain(&claim, false) {
                    let detail = format!("PVC name {claim:?}: {text}");
                    e.push(FieldError::invalid(volume_at.child("name"), name, detail));
                }
            }
        }
        "image" => {
            if cx.is_pod && source.s("reference").is_empty() {
                e.push(FieldError::required(p.child("reference"), ""));
            }
            super::container::pull_policy(e, p.child("pullPolicy"), source.s("pullPolicy"));
        }
        kind => source::common(e, p, kind, source, Owner::Pod),
    }
}
