//! CSI drivers, the nodes that have them, and how much room they have left.

use sampan_model::name::{is_qualified_name, name_is_dns_subdomain};
use sampan_model::{FieldError, FieldPath, Value};

use super::class::chosen;
use crate::amount::quantity;
use crate::core::pod::volume_source::csi_driver_name;
use crate::look::{
    Errors, IMMUTABLE, Look, NEGATIVE, Put, bump_generation, complain, immutable, not_supported, same,
    spec_mut, strings,
};
use crate::seen::Seen;
use crate::selector::label_selector;
use crate::{KindRules, Params};

/// The rules of CSI drivers.
pub(crate) const DRIVER: KindRules = KindRules {
    default: Some(default_driver),
    prepare_update: Some(prepare_driver_for_update),
    validate: Some(validate_driver),
    validate_update: Some(validate_driver_update),
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// The rules of nodes' CSI drivers.
pub(crate) const NODE: KindRules = KindRules {
    validate: Some(validate_node_drivers),
    validate_update: Some(validate_node_drivers_update),
    ..KindRules::PLAIN
};

/// The rules of storage capacities.
pub(crate) const CAPACITY: KindRules = KindRules {
    validate: Some(validate_capacity),
    validate_update: Some(|new, old| {
        let mut e = validate_capacity(new);
        for field in ["nodeTopology", "storageClassName"] {
            immutable(&mut e, FieldPath::field(field), new.sub(field), old.sub(field));
        }
        e
    }),
    ..KindRules::PLAIN
};

/// Sets a driver's defaults.
pub fn default_driver(driver: &mut Value) {
    let spec = spec_mut(driver);
    spec.default_ptr("attachRequired", true);
    spec.default_ptr("podInfoOnMount", false);
    spec.default_ptr("storageCapacity", false);
    spec.default_ptr("fsGroupPolicy", "ReadWriteOnceWithFSType");
    spec.default_to("volumeLifecycleModes", vec!["Persistent"]);
    spec.default_ptr("requiresRepublish", false);
    spec.default_ptr("seLinuxMount", false);
}

/// Only what may change counts as a new generation.
pub fn prepare_driver_for_update(driver: &mut Value, old: &Value, _: &Params<'_>) {
    let changed =
        ["tokenRequests", "requiresRepublish", "seLinuxMount", "nodeAllocatableUpdatePeriodSeconds"]
            .iter()
            .any(|field| !same(driver.sub("spec").sub(field), old.sub("spec").sub(field)));
    bump_generation(driver, old, changed);
}

/// What is wrong with a new driver.
pub fn validate_driver(driver: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    csi_driver_name(e, FieldPath::field("metadata").child("name"), driver.sub("metadata").s("name"));
    let (spec, p) = (driver.sub("spec"), FieldPath::field("spec"));
    for (field, shown) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if !spec.has(field) {
            e.push(FieldError::required(p.child(shown), ""));
        }
    }
    let policies = ["ReadWriteOnceWithFSType", "File", "None"];
    chosen(e, p.child("fsGroupPolicy"), spec.opt_s("fsGroupPolicy"), &policies);
    mutable_fields(e, p, spec);
    for mode in strings(spec.list("volumeLifecycleModes")) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            e.push(not_supported(p.child("volumeLifecycleModes"), mode, &["Ephemeral", "Persistent"]));
        }
    }
    errors
}

fn mutable_fields(e: &mut Errors, p: FieldPath<'_>, spec: &Value) {
    const LEAST: i64 = 600;
    const MOST: i64 = 1 << 32;
    const LEAST_PERIOD: i64 = 10;
    let requests = spec.list("tokenRequests");
    let mut seen = Seen::default();
    for (i, request) in requests.iter().enumerate() {
        let p = p.child("tokenRequests");
        let p = p.index(i);
        let audience = request.s("audience");
        if seen.again(audience) {
            e.push(FieldError::duplicate(p.child("audience"), audience));
            continue;
        }
        let Some(seconds) = request.opt_num("expirationSeconds") else { continue };
        if seconds < LEAST {
            let detail = "may not specify a duration less than 10 minutes";
            e.push(FieldError::invalid(p.child("expirationSeconds"), seconds, detail));
        }
        if seconds > MOST {
            let detail = "may not specify a duration larger than 2^32 seconds";
            e.push(FieldError::invalid(p.child("expirationSeconds"), seconds, detail));
        }
    }
    if let Some(seconds) = spec.opt_num("nodeAllocatableUpdatePeriodSeconds")
        && seconds < LEAST_PERIOD
    {
        let detail = format!("must be greater than or equal to {LEAST_PERIOD} seconds");
        e.push(FieldError::invalid(p.child("nodeAllocatableUpdatePeriodSeconds"), seconds, detail));
    }
    if !spec.has("seLinuxMount") {
        e.push(FieldError::required(p.child("seLinuxMount"), ""));
    }
}

/// What is wrong with a change of a driver.
pub fn validate_driver_update(driver: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, before, p) = (driver.sub("spec"), old.sub("spec"), FieldPath::field("spec"));
    immutable(&mut e, p.child("attachedRequired"), spec.sub("attachRequired"), before.sub("attachRequired"));
    let modes = "volumeLifecycleModes";
    immutable(&mut e, p.child(modes), spec.sub(modes), before.sub(modes));
    mutable_fields(&mut e, p, spec);
    e
}

/// What is wrong with the drivers of a node.
pub fn validate_node_drivers(node: &Value) -> Vec<FieldError> {
    const LONGEST_ID: usize = 192;
    let mut e = Errors::new();
    let p = FieldPath::field("spec");
    let p = p.child("drivers");
    let drivers = node.sub("spec").list("drivers");
    let mut names = Seen::default();
    for (i, driver) in drivers.iter().enumerate() {
        let p = p.index(i);
        let (name, id) = (driver.s("name"), driver.s("nodeID"));
        csi_driver_name(&mut e, p.child("name"), name);
        if id.is_empty() {
            e.push(FieldError::required(p.child("nodeID"), ""));
        } else if id.len() > LONGEST_ID {
            let detail = format!("must be {LONGEST_ID} characters or less");
            e.push(FieldError::invalid(p.child("nodeID"), id, detail));
        }
        if let Some(count) = driver.sub("allocatable").opt_num("count")
            && count < 0
        {
            e.push(FieldError::invalid(p.child("allocatable").child("count"), count, NEGATIVE));
        }
        let keys = driver.list("topologyKeys");
        let mut seen = Seen::default();
        for key in strings(keys) {
            if seen.again(key) {
                e.push(FieldError::duplicate(p.child("topologyKeys"), key));
            }
            complain(&mut e, p.child("topologyKeys"), key, is_qualified_name(key));
        }
        if names.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        }
    }
    e
}

/// A driver that stays on a node stays as it is, except for what it can attach.
pub fn validate_node_drivers_update(node: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_node_drivers(node);
    let p = FieldPath::field("CSINode");
    let p = p.child("Spec");
    let before = old.sub("spec").list("drivers");
    for driver in node.sub("spec").list("drivers") {
        let Some(known) = before.iter().find(|d| d.s("name") == driver.s("name")) else { continue };
        let kept = ["nodeID", "topologyKeys"].iter().all(|f| same(driver.sub(f), known.sub(f)));
        if !kept {
            e.push(FieldError::invalid(p.child("Drivers"), driver.clone(), IMMUTABLE));
        }
    }
    e
}

/// What is wrong with a storage capacity.
pub fn validate_capacity(capacity: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    label_selector(&mut e, FieldPath::field("nodeTopology"), capacity.sub("nodeTopology"));
    let class = capacity.s("storageClassName");
    complain(&mut e, FieldPath::field("storageClassName"), class, name_is_dns_subdomain(class, false));
    for field in ["capacity", "maximumVolumeSize"] {
        let amount = capacity.sub(field);
        if !amount.is_null() && quantity(amount).sign() < 0 {
            e.push(FieldError::invalid(field, amount.clone(), NEGATIVE));
        }
    }
    e
}
