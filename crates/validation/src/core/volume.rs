//! Persistent volumes: one source of storage, how much it has, and where it can be reached.

use sampan_model::name::name_is_dns_subdomain;
use sampan_model::{FieldError, FieldPath, Map, Value};

use super::pod::affinity::node_selector;
use super::pod::defaults::default_source;
use super::pod::paths::{clean, no_backsteps};
use super::pod::volume_source::{Owner, access_modes, common, csi_persistent_volume};
use crate::amount::{basic_resource, positive_quantity};
use crate::diff::diff;
use crate::look::{
    Errors, Look, Put, complain, immutable, not_supported, one_of, restore, same, spec_mut, top,
};
use crate::{KindRules, Params, PartRules};

/// The rules of persistent volumes.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_volume),
    prepare_create: Some(prepare_volume_for_create),
    prepare_update: Some(prepare_volume_for_update),
    validate: Some(validate_volume),
    validate_update: Some(validate_volume_update),
    warnings: Some(volume_warnings),
    status: Some(PartRules {
        prepare_update: prepare_volume_status,
        validate_update: None,
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// The sources in the order in which they are looked at, and the name under which their own errors stand.
const KINDS: [(&str, &str); 22] = [
    ("hostPath", "hostPath"),
    ("gcePersistentDisk", "persistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("nfs", "nfs"),
    ("rbd", "rbd"),
    ("quobyte", "quobyte"),
    ("cephfs", "cephfs"),
    ("iscsi", "iscsi"),
    ("cinder", "cinder"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("scaleIO", "scaleIO"),
    ("local", "local"),
    ("storageos", "storageos"),
    ("csi", "csi"),
];

/// Sets a volume's defaults.
pub fn default_volume(volume: &mut Value) {
    top(volume).object_mut("status").default_to("phase", "Pending");
    let spec = spec_mut(volume);
    spec.default_to("persistentVolumeReclaimPolicy", "Retain");
    spec.default_ptr("volumeMode", "Filesystem");
    for (kind, source) in spec.iter_mut() {
        if let Some(source) = source.as_object_mut() {
            default_source(kind, source);
        }
    }
}

/// A new volume is pending since now.
pub fn prepare_volume_for_create(volume: &mut Value, params: &Params<'_>) {
    let mut status = Map::new();
    status.insert("phase", "Pending");
    status.insert("lastPhaseTransitionTime", sampan_model::time::format_time(params.now));
    top(volume).insert("status", status);
}

/// A client that writes a volume does not touch its status.
pub fn prepare_volume_for_update(volume: &mut Value, old: &Value, _: &Params<'_>) {
    restore(volume, old, "status");
}

/// Through `status` only the status changes; a new phase begins now.
pub fn prepare_volume_status(volume: &mut Value, old: &Value, params: &Params<'_>) {
    restore(volume, old, "spec");
    let old = old.sub("status");
    let status = top(volume).object_mut("status");
    let sent = status.s("lastPhaseTransitionTime");
    if status.s("phase") != old.s("phase") {
        if sent.is_empty() || sent == old.s("lastPhaseTransitionTime") {
            status.insert("lastPhaseTransitionTime", sampan_model::time::format_time(params.now));
        }
    } else if sent.is_empty()
        && let Some(time) = old.opt("lastPhaseTransitionTime")
    {
        status.insert("lastPhaseTransitionTime", time.clone());
    }
}

/// What is wrong with a volume.
pub fn validate_volume(volume: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    volume_spec(
        &mut e,
        FieldPath::field("spec"),
        volume.sub("spec"),
        volume.sub("metadata").s("name"),
        false,
    );
    e
}

/// Checks a volume's spec; `inline`: it stands in a volume attachment.
pub(crate) fn volume_spec(e: &mut Errors, p: FieldPath<'_>, spec: &Value, name: &str, inline: bool) {
    let refused = "may not be specified in the context of inline volumes";
    if inline {
        for field in ["claimRef", "capacity"] {
            if spec.has(field) && !spec.sub(field).is_empty() {
                e.push(FieldError::forbidden(p.child(field), refused));
            }
        }
        if !spec.has("csi") {
            let detail = "has to be specified in the context of inline volumes";
            e.push(FieldError::required(p.child("csi"), detail));
        }
    }
    if spec.list("accessModes").is_empty() {
        e.push(FieldError::required(p.child("accessModes"), ""));
    }
    access_modes(e, p.child("accessModes"), spec.list("accessModes"));
    let policy = spec.s("persistentVolumeReclaimPolicy");
    if inline {
        if !matches!(policy, "" | "Retain") {
            let detail = "may only be Retain in the context of inline volumes";
            e.push(FieldError::forbidden(p.child("persistentVolumeReclaimPolicy"), detail));
        }
        if spec.has("nodeAffinity") {
            e.push(FieldError::forbidden(p.child("nodeAffinity"), refused));
        }
    } else {
        capacity(e, p.child("capacity"), spec);
        if !policy.is_empty() {
            let at = p.child("persistentVolumeReclaimPolicy");
            one_of(e, at, Some(policy), &["Delete", "Recycle", "Retain"]);
        }
        if let Some(affinity) = spec.opt("nodeAffinity") {
            let at = p.child("nodeAffinity");
            let at = at.child("required");
            match affinity.opt("required") {
                Some(selector) => node_selector(e, at, selector),
                None => e.push(FieldError::required(at, "must specify required node constraints")),
            }
        }
    }
    sources(e, p, spec, name);
    if policy == "Recycle" && spec.has("hostPath") && clean(spec.sub("hostPath").s("path")) == "/" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        e.push(FieldError::forbidden(p.child("persistentVolumeReclaimPolicy"), detail));
    }
    classes(e, p, spec, inline);
}

fn capacity(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    let capacity = spec.sub("capacity");
    let count = spec.map("capacity").map_or(0, Map::len);
    if count == 0 {
        e.push(FieldError::required(p, ""));
    }
    if !capacity.has("storage") || count > 1 {
        e.push(not_supported(p, capacity.clone(), &["storage"]));
    }
    for (name, amount) in spec.entries("capacity") {
        basic_resource(e, p.key(name), amount);
        positive_quantity(e, p.key(name), amount);
    }
}

fn sources(e: &mut Errors, p: FieldPath<'_>, spec: &Value, name: &str) {
    let mut found = 0;
    for (kind, at) in KINDS {
        let Some(source) = spec.opt(kind) else { continue };
        found += 1;
        if found > 1 && kind != "flexVolume" {
            let refused_at = if kind == "cephfs" { "cephFS" } else { kind };
            e.push(FieldError::forbidden(p.child(refused_at), "may not specify more than 1 volume type"));
            continue;
        }
        let p_source = p.child(at);
        match kind {
            "local" => {
                let path = source.s("path");
                if path.is_empty() {
                    e.push(FieldError::required(p_source.child("path"), ""));
                } else {
                    no_backsteps(e, p_source.child("path"), path);
                }
                if !spec.has("nodeAffinity") {
                    let detail = "Local volume requires node affinity";
                    e.push(FieldError::required(p.child("nodeAffinity"), detail));
                }
            }
            "csi" => csi_persistent_volume(e, p_source, source),
            kind => common(e, p_source, kind, source, Owner::Volume(name)),
        }
    }
    if found == 0 {
        e.push(FieldError::required(p, "must specify a volume type"));
    }
}

fn classes(e: &mut Errors, p: FieldPath<'_>, spec: &Value, inline: bool) {
    let class = spec.s("storageClassName");
    if !class.is_empty() {
        if inline {
            let detail = "may not be specified in the context of inline volumes";
            e.push(FieldError::forbidden(p.child("storageClassName"), detail));
        } else {
            complain(e, p.child("storageClassName"), class, name_is_dns_subdomain(class, false));
        }
    }
    match spec.opt_s("volumeMode") {
        Some(mode) if inline => {
            if mode != "Filesystem" {
                let detail =
                    "may not specify volumeMode other than Filesystem in the context of inline volumes";
                e.push(FieldError::forbidden(p.child("volumeMode"), detail));
            }
        }
        mode => one_of(e, p.child("volumeMode"), mode, &["Block", "Filesystem"]),
    }
    if let Some(class) = spec.opt_s("volumeAttributesClassName") {
        let at = p.child("volumeAttributesClassName");
        if class.is_empty() {
            e.push(FieldError::required(at, "an empty string is disallowed"));
        } else {
            complain(e, at, class, name_is_dns_subdomain(class, false));
        }
        if !spec.has("csi") {
            let detail = "has to be specified when using volumeAttributesClassName";
            e.push(FieldError::required(p.child("csi"), detail));
        }
    }
}

/// What is wrong with a change of a volume: its source stays.
pub fn validate_volume_update(volume: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_volume(volume);
    let (spec, old_spec) = (volume.sub("spec"), old.sub("spec"));
    let source = |spec: &Value| -> Value {
        Value::Object(
            KINDS
                .iter()
                .filter_map(|(kind, _)| spec.opt(kind).map(|source| (*kind, source.clone())))
                .collect(),
        )
    };
    let (mut new_source, old_source) = (source(spec), source(old_spec));
    let secret = "controllerExpandSecretRef";
    if old_source.has("csi")
        && !old_source.sub("csi").has(secret)
        && let Some(csi) = crate::look::map_mut(&mut new_source, "csi")
    {
        csi.remove(secret);
    }
    if !same(&new_source, &old_source) {
        let shown = diff("core.PersistentVolumeSource", &old_source, &new_source);
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{shown}");
        e.push(FieldError::forbidden("spec.persistentvolumesource", detail));
    }
    immutable(&mut e, FieldPath::field("volumeMode"), spec.sub("volumeMode"), old_spec.sub("volumeMode"));
    let affinity = spec.sub("nodeAffinity");
    if let Some(old_affinity) = old_spec.opt("nodeAffinity")
        && !same(affinity, &with_new_labels(old_affinity, affinity))
    {
        let detail = "field is immutable, except for updating from beta label to GA";
        e.push(FieldError::invalid("nodeAffinity", affinity.clone(), detail));
    }
    if old_spec.has("volumeAttributesClassName") && !spec.has("volumeAttributesClassName") {
        let detail = "update from non-nil value to nil is forbidden";
        e.push(FieldError::forbidden("spec.volumeAttributesClassName", detail));
    }
    e
}

/// The old affinity with those labels renamed that the new one names by their newer names.
fn with_new_labels(old: &Value, new: &Value) -> Value {
    const RENAMED: [(&str, &str); 5] = [
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => Value::Object(
            old.iter()
                .map(|(key, value)| {
                    let newer = new.get(key).unwrap_or(&Value::Null);
                    let renamed = key == "key"
                        && RENAMED
                            .iter()
                            .any(|(from, to)| value.as_str() == Some(*from) && newer.as_str() == Some(*to));
                    (key.clone(), if renamed { newer.clone() } else { with_new_labels(value, newer) })
                })
                .collect(),
        ),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            Value::Array(old.iter().zip(new).map(|(old, new)| with_new_labels(old, new)).collect())
        }
        (old, _) => old.clone(),
    }
}

/// Warnings about a volume.
pub fn volume_warnings(volume: &Value, _: Option<&Value>) -> Vec<String> {
    use super::pod::warnings::node_term;
    let mut w = Vec::new();
    let (meta, spec, p) = (volume.sub("metadata"), volume.sub("spec"), FieldPath::field("spec"));
    let at = p.child("nodeAffinity");
    let at = at.child("required");
    let terms = spec.sub("nodeAffinity").sub("required").list("nodeSelectorTerms");
    for (i, term) in terms.iter().enumerate() {
        node_term(&mut w, at.child("nodeSelectorTerms").index(i), term);
    }
    for (key, text) in [
        (
            "volume.beta.kubernetes.io/storage-class",
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        (
            "volume.beta.kubernetes.io/mount-options",
            "deprecated since v1.31; use \"mountOptions\" attribute instead",
        ),
    ] {
        if crate::look::annotation(meta, key).is_some() {
            w.push(format!("metadata.annotations[{key}]: {text}"));
        }
    }
    if spec.s("persistentVolumeReclaimPolicy") == "Recycle" {
        w.push("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".to_owned());
    }
    for (kind, shown, text) in [
        ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ] {
        if spec.has(kind) {
            w.push(format!("{}: {text}", p.child(shown)));
        }
    }
    w
}
