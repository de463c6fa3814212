//! What of claims of volumes and of devices is counted.

use sampan_model::{Quantity, Value};

use super::super::amounts::Amounts;
use super::super::claim_class;
use super::scopes::Requirement;

const NAMES: [&str; 3] = ["count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"];
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const DEVICE_CLAIMS: &str = "count/resourceclaims.resource.k8s.io";
const OF_DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// As many devices as one claim can get; a claim of all devices counts as so many.
const MAX_DEVICES: i64 = 32;

pub(super) fn tracks(name: &str) -> bool {
    let of_class = name.split_once(OF_CLASS).map(|(_, resource)| resource);
    NAMES.contains(&name) || of_class.is_some_and(|r| r == NAMES[1] || r == NAMES[2])
}

pub(super) fn tracks_devices(name: &str) -> bool {
    name == DEVICE_CLAIMS || name.ends_with(OF_DEVICE_CLASS)
}

pub(super) fn usage(claim: &Value) -> Amounts {
    let one = Quantity::from_int(1);
    let class = claim_class(claim);
    let mut usage = Amounts::from([(NAMES[0].to_owned(), one), (NAMES[1].to_owned(), one)]);
    if !class.is_empty() {
        usage.insert(format!("{class}{OF_CLASS}{}", NAMES[1]), one);
    }
    if let Some(storage) = storage(claim) {
        usage.insert(NAMES[2].to_owned(), storage);
        if !class.is_empty() {
            usage.insert(format!("{class}{OF_CLASS}{}", NAMES[2]), storage);
        }
    }
    usage
}

/// Whole bytes: of what is asked for, or of what is still set aside while a volume shrinks back from an expansion.
fn storage(claim: &Value) -> Option<Quantity> {
    let at = |path: &[&str]| claim.at(path).and_then(|v| Quantity::from_value(v).ok());
    let asked = at(&["spec", "resources", "requests", "storage"])?;
    let held = at(&["status", "allocatedResources", "storage"]).filter(|held| *held > asked);
    Some(held.unwrap_or(asked).round_up(0))
}

/// The classes of volume attributes that a claim has, is to have, or is on its way to.
pub(super) fn fulfils(requirement: &Requirement, claim: &Value) -> bool {
    if requirement.scope != "VolumeAttributesClass" {
        return false;
    }
    let classes = [
        claim.str_at(&["spec", "volumeAttributesClassName"]),
        claim.str_at(&["status", "currentVolumeAttributesClassName"]),
        claim.str_at(&["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"]),
    ];
    let mut named = classes.into_iter().filter(|c| !c.is_empty()).peekable();
    if named.peek().is_none() {
        return requirement.accepts(None);
    }
    named.any(|class| requirement.accepts(Some(class)))
}

pub(super) fn device_usage(claim: &Value) -> Amounts {
    let mut usage = Amounts::from([(DEVICE_CLAIMS.to_owned(), Quantity::from_int(1))]);
    for request in claim.array_at(&["spec", "devices", "requests"]) {
        let alternatives = request.array_at(&["firstAvailable"]);
        let mut most = Amounts::new();
        let chosen = if alternatives.is_empty() {
            request.get("exactly").map_or(&[][..], std::slice::from_ref)
        } else {
            alternatives
        };
        // Of alternatives of one class the largest counts.
        for one in chosen {
            let number = match one.str_at(&["allocationMode"]) {
                "All" => MAX_DEVICES,
                _ => one.get("count").and_then(Value::as_i64).unwrap_or(1),
            };
            let name = format!("{}{OF_DEVICE_CLASS}", one.str_at(&["deviceClassName"]));
            let entry = most.entry(name).or_default();
            *entry = (*entry).max(Quantity::from_int(number));
        }
        super::super::amounts::add(&mut usage, &most);
    }
    usage
}
