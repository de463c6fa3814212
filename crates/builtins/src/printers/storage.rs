//! The rows of volumes, claims, their classes and drivers, and of devices.

use jiff::Timestamp;
use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

use super::cells::*;

fn access_modes(list: &[Value]) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| list.iter().any(|m| m.as_str() == Some(mode));
    known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn phase(o: &Value) -> &str {
    if o.is_deleting() { "Terminating" } else { o.str_at(&["status", "phase"]) }
}

/// The storage class: an old annotation goes before the field.
fn class(o: &Value) -> String {
    match annotation(o, "volume.beta.kubernetes.io/storage-class") {
        "" => o.str_at(&["spec", "storageClassName"]).to_owned(),
        old => old.to_owned(),
    }
}

pub(super) fn volume(o: &Value, now: Timestamp) -> Vec<Value> {
    let claim = o
        .at(&["spec", "claimRef"])
        .filter(|c| !c.is_null())
        .map_or_else(String::new, |c| format!("{}/{}", c.str_at(&["namespace"]), c.str_at(&["name"])));
    row![
        o.name(),
        scalar(o, &["spec", "capacity", "storage"]).unwrap_or_else(|| "0".into()),
        access_modes(o.array_at(&["spec", "accessModes"])),
        o.str_at(&["spec", "persistentVolumeReclaimPolicy"]),
        phase(o),
        claim,
        class(o),
        text_or(o, &["spec", "volumeAttributesClassName"], UNSET),
        o.str_at(&["status", "reason"]),
        age(o, now),
        text_or(o, &["spec", "volumeMode"], UNSET),
    ]
}

pub(super) fn claim(o: &Value, now: Timestamp) -> Vec<Value> {
    let volume = o.str_at(&["spec", "volumeName"]);
    let (capacity, modes) = if volume.is_empty() {
        (String::new(), String::new())
    } else {
        let capacity = scalar(o, &["status", "capacity", "storage"]).unwrap_or_else(|| "0".into());
        (capacity, access_modes(o.array_at(&["status", "accessModes"])))
    };
    row![
        o.name(),
        phase(o),
        volume,
        capacity,
        modes,
        class(o),
        text_or(o, &["spec", "volumeAttributesClassName"], UNSET),
        age(o, now),
        text_or(o, &["spec", "volumeMode"], UNSET),
    ]
}

/// The name of a class, with a note at the one that is taken when none is named.
fn class_name(o: &Value, annotations: &[&str]) -> String {
    if annotations.iter().any(|key| annotation(o, key) == "true") {
        format!("{} (default)", o.name())
    } else {
        o.name().to_owned()
    }
}

pub(super) fn storage_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    row![
        class_name(o, &default),
        o.str_at(&["provisioner"]),
        text_or(o, &["reclaimPolicy"], "Delete"),
        text_or(o, &["volumeBindingMode"], "Immediate"),
        flag(o, &["allowVolumeExpansion"]).unwrap_or(false),
        age(o, now),
    ]
}

pub(super) fn attributes_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let default = ["volumeattributesclass.kubernetes.io/is-default-class"];
    row![class_name(o, &default), o.str_at(&["driverName"]), age(o, now)]
}

pub(super) fn attachment(o: &Value, now: Timestamp) -> Vec<Value> {
    row![
        o.name(),
        o.str_at(&["spec", "attacher"]),
        o.str_at(&["spec", "source", "persistentVolumeName"]),
        o.str_at(&["spec", "nodeName"]),
        flag(o, &["status", "attached"]).unwrap_or(false),
        age(o, now),
    ]
}

pub(super) fn driver(o: &Value, now: Timestamp) -> Vec<Value> {
    let spec = |field, default| flag(o, &["spec", field]).unwrap_or(default);
    let modes: Vec<&str> =
        o.array_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str).collect();
    let requests = match o.at(&["spec", "tokenRequests"]).and_then(Value::as_array) {
        Some(list) => names(list, "audience").join(","),
        None => UNSET.into(),
    };
    row![
        o.name(),
        spec("attachRequired", true),
        spec("podInfoOnMount", false),
        spec("storageCapacity", false),
        requests,
        spec("requiresRepublish", false),
        if modes.is_empty() { NONE.to_owned() } else { modes.join(",") },
        age(o, now),
    ]
}

pub(super) fn csi_node(o: &Value, now: Timestamp) -> Vec<Value> {
    let drivers = i64::try_from(o.array_at(&["spec", "drivers"]).len()).unwrap_or(i64::MAX);
    row![o.name(), drivers, age(o, now)]
}

pub(super) fn resource_claim(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut states = Vec::new();
    if o.is_deleting() {
        states.push("deleted");
    }
    if o.at(&["status", "allocation"]).is_some_and(|a| !a.is_null()) {
        states.push("allocated");
        if !o.array_at(&["status", "reservedFor"]).is_empty() {
            states.push("reserved");
        }
    } else if !o.is_deleting() {
        states.push("pending");
    }
    row![o.name(), states.join(","), age(o, now)]
}

pub(super) fn resource_slice(o: &Value, now: Timestamp) -> Vec<Value> {
    row![
        o.name(),
        o.str_at(&["spec", "nodeName"]),
        o.str_at(&["spec", "driver"]),
        o.str_at(&["spec", "pool", "name"]),
        age(o, now),
    ]
}
