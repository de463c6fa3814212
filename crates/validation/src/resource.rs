//! Dynamic allocation of devices: claims, their templates, classes and slices.

use sampan_model::name::{is_c_identifier, is_dns1123_label, is_dns1123_subdomain, name_is_dns_subdomain};
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::look::{Errors, Look, Put, complain, immutable, items_mut, not_supported, spec_mut, strings};
use crate::seen::Seen;
use crate::strategy::{first_generation, keep_spec, keep_status, reset_status, spec_generation};
use crate::{KindRules, PartRules};

/// The rules of resource claims.
pub(crate) const CLAIM: KindRules = KindRules {
    default: Some(|claim| default_claim_spec(spec_mut(claim))),
    prepare_create: Some(reset_status),
    prepare_update: Some(keep_status),
    validate: Some(|claim| claim_spec(FieldPath::field("spec"), claim.sub("spec"))),
    validate_update: Some(same_spec),
    status: Some(PartRules {
        prepare_update: keep_spec,
        validate_update: Some(validate_claim_status_update),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// The rules of templates of claims.
pub(crate) const TEMPLATE: KindRules = KindRules {
    default: Some(|template| default_claim_spec(spec_mut(template).object_mut("spec"))),
    validate: Some(|template| {
        let p = FieldPath::field("spec");
        claim_spec(p.child("spec"), template.sub("spec").sub("spec"))
    }),
    validate_update: Some(same_spec),
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// The rules of device classes.
pub(crate) const CLASS: KindRules = KindRules {
    prepare_create: Some(first_generation),
    prepare_update: Some(spec_generation),
    validate: Some(validate_class),
    validate_update: Some(|new, _| validate_class(new)),
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// The rules of slices of a node's or a pool's devices.
pub(crate) const SLICE: KindRules = KindRules {
    default: Some(default_slice),
    prepare_create: Some(first_generation),
    prepare_update: Some(spec_generation),
    validate: Some(validate_slice),
    validate_update: Some(|new, old| {
        let mut e = validate_slice(new);
        for field in ["driver", "nodeName"] {
            let p = FieldPath::field("spec");
            immutable(&mut e, p.child(field), new.sub("spec").sub(field), old.sub("spec").sub(field));
        }
        e
    }),
    delete_returns_object: true,
    ..KindRules::PLAIN
};

const MOST: usize = 32;
const MOST_DEVICES: usize = 128;
const MOST_OPAQUE_BYTES: usize = 10 * 1024;
const COUNTED: &str = "ExactCount";

/// A request is for one device unless it says otherwise.
fn default_claim_spec(spec: &mut Map) {
    let Some(devices) = spec.get_mut("devices").and_then(Value::as_object_mut) else { return };
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = request.get_mut("exactly").and_then(Value::as_object_mut) {
            default_request(exactly);
        }
        for alternative in items_mut(request, "firstAvailable") {
            default_request(alternative);
        }
    }
}

fn default_request(request: &mut Map) {
    request.default_to("allocationMode", COUNTED);
    if request.s("allocationMode") == COUNTED {
        request.default_to("count", 1);
    }
    for toleration in items_mut(request, "tolerations") {
        toleration.default_to("operator", "Equal");
    }
}

/// A slice's pool is at its first generation; taints were set when the slice was written, by whoever knows the time.
fn default_slice(slice: &mut Value) {
    spec_mut(slice).object_mut("pool").default_ptr("generation", 0);
}

fn same_spec(new: &Value, old: &Value) -> Errors {
    let mut e = Errors::new();
    immutable(&mut e, FieldPath::field("spec"), new.sub("spec"), old.sub("spec"));
    e
}

fn claim_spec(p: FieldPath<'_>, spec: &Value) -> Errors {
    let mut e = Errors::new();
    let (devices, p) = (spec.sub("devices"), p.child("devices"));
    let requests = devices.list("requests");
    if requests.len() > MOST {
        e.push(FieldError::too_many(p.child("requests"), requests.len(), MOST));
    }
    let mut names = Seen::default();
    for (i, request) in requests.iter().enumerate() {
        let p = p.child("requests");
        let p = p.index(i);
        name(&mut e, p, request, &mut names);
        match (request.opt("exactly"), request.list("firstAvailable")) {
            (None, []) => {
                e.push(FieldError::required(p, "exactly one of `exactly` or `firstAvailable` is required"));
            }
            (Some(_), [_, ..]) => {
                let detail =
                    "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
                e.push(FieldError::invalid(p, Value::Null, detail));
            }
            (Some(exactly), []) => device_request(&mut e, p.child("exactly"), exactly),
            (None, alternatives) => {
                let mut names = Seen::default();
                for (j, alternative) in alternatives.iter().enumerate() {
                    let p = p.child("firstAvailable");
                    let p = p.index(j);
                    name(&mut e, p, alternative, &mut names);
                    device_request(&mut e, p, alternative);
                }
            }
        }
    }
    let known = |wanted: &str| {
        let (request, part) = wanted.split_once('/').map_or((wanted, None), |(r, s)| (r, Some(s)));
        requests
            .iter()
            .filter(|r| r.s("name") == request)
            .any(|r| part.is_none_or(|part| r.list("firstAvailable").iter().any(|s| s.s("name") == part)))
    };
    for field in ["constraints", "config"] {
        let list = devices.list(field);
        if list.len() > MOST {
            e.push(FieldError::too_many(p.child(field), list.len(), MOST));
        }
        for (i, entry) in list.iter().enumerate() {
            let p = p.child(field);
            let p = p.index(i);
            for (j, request) in strings(entry.list("requests")).enumerate().filter(|(_, r)| !known(r)) {
                let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
                e.push(FieldError::invalid(p.child("requests").index(j), request, detail));
            }
            if field == "config" {
                configuration(&mut e, p, entry);
            }
        }
    }
    e
}

fn name<'a>(e: &mut Errors, p: FieldPath<'_>, named: &'a Value, seen: &mut Seen<&'a str>) {
    let name = named.s("name");
    complain(e, p.child("name"), name, is_dns1123_label(name));
    if seen.again(name) {
        e.push(FieldError::duplicate(p.child("name"), name));
    }
}

fn device_request(e: &mut Errors, p: FieldPath<'_>, request: &Value) {
    let class = request.s("deviceClassName");
    if class.is_empty() {
        e.push(FieldError::required(p.child("deviceClassName"), ""));
    } else {
        complain(e, p.child("deviceClassName"), class, name_is_dns_subdomain(class, false));
    }
    selectors(e, p.child("selectors"), request.list("selectors"));
    let count = request.num("count");
    match request.s("allocationMode") {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            e.push(FieldError::invalid(p.child("count"), count, detail));
        }
        "All" => {}
        COUNTED if count <= 0 => {
            e.push(FieldError::invalid(p.child("count"), count, "must be greater than zero"));
        }
        COUNTED => {}
        other => e.push(not_supported(p.child("allocationMode"), other, &["All", COUNTED])),
    }
    for (i, toleration) in request.list("tolerations").iter().enumerate() {
        let p = p.child("tolerations");
        let p = p.index(i);
        match toleration.s("operator") {
            "Exists" if !toleration.s("value").is_empty() => {
                let detail = "must be empty for operator `Exists`";
                e.push(FieldError::invalid(p.child("value"), toleration.s("value"), detail));
            }
            "Exists" | "Equal" => {}
            "" => e.push(FieldError::required(p.child("operator"), "")),
            other => e.push(not_supported(p.child("operator"), other, &["Equal", "Exists"])),
        }
    }
}

fn selectors(e: &mut Errors, p: FieldPath<'_>, selectors: &[Value]) {
    if selectors.len() > MOST {
        e.push(FieldError::too_many(p, selectors.len(), MOST));
    }
    for (i, selector) in selectors.iter().enumerate() {
        if !selector.has("cel") {
            e.push(FieldError::required(p.index(i).child("cel"), ""));
        }
    }
}

fn configuration(e: &mut Errors, p: FieldPath<'_>, entry: &Value) {
    let Some(opaque) = entry.opt("opaque") else {
        e.push(FieldError::required(p.child("opaque"), ""));
        return;
    };
    let p = p.child("opaque");
    driver(e, p.child("driver"), opaque.s("driver"));
    let parameters = opaque.sub("parameters");
    if parameters.is_null() {
        e.push(FieldError::required(p.child("parameters"), ""));
    } else if parameters.to_json().len() > MOST_OPAQUE_BYTES {
        e.push(FieldError::too_long(p.child("parameters"), MOST_OPAQUE_BYTES));
    } else if parameters.as_object().is_none() {
        let detail = "error parsing data as JSON: must be a JSON object";
        e.push(FieldError::invalid(p.child("parameters"), parameters.clone(), detail));
    }
}

fn driver(e: &mut Errors, p: FieldPath<'_>, name: &str) {
    const LONGEST: usize = 63;
    if name.is_empty() {
        e.push(FieldError::required(p, ""));
        return;
    }
    if name.len() > LONGEST {
        e.push(FieldError::too_long(p, LONGEST));
    }
    complain(e, p, name, is_dns1123_subdomain(name));
}

/// What is wrong with a change of a claim's status: an allocation never changes, it comes and goes.
pub fn validate_claim_status_update(claim: &Value, old: &Value) -> Vec<FieldError> {
    const MOST_CONSUMERS: usize = 256;
    let mut e = Errors::new();
    let (status, before, p) = (claim.sub("status"), old.sub("status"), FieldPath::field("status"));
    let consumers = status.list("reservedFor");
    if consumers.len() > MOST_CONSUMERS {
        e.push(FieldError::too_many(p.child("reservedFor"), consumers.len(), MOST_CONSUMERS));
    }
    let mut seen = Seen::default();
    for (i, consumer) in consumers.iter().enumerate() {
        let p = p.child("reservedFor");
        let p = p.index(i);
        for field in ["resource", "name", "uid"] {
            if consumer.s(field).is_empty() {
                e.push(FieldError::required(p.child(field), ""));
            }
        }
        if seen.again(consumer.s("uid")) {
            e.push(FieldError::duplicate(p.child("uid"), consumer.s("uid")));
        }
    }
    if !consumers.is_empty() {
        if !status.has("allocation") {
            let detail = "may not be specified when `allocated` is not set";
            e.push(FieldError::forbidden(p.child("reservedFor"), detail));
        } else if claim.sub("metadata").has("deletionTimestamp")
            && consumers.len() > before.list("reservedFor").len()
        {
            let detail =
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            e.push(FieldError::forbidden(p.child("reservedFor"), detail));
        }
    }
    if before.has("allocation") && status.has("allocation") {
        immutable(&mut e, p.child("allocation"), status.sub("allocation"), before.sub("allocation"));
    }
    e
}

/// What is wrong with a device class.
pub fn validate_class(class: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (class.sub("spec"), FieldPath::field("spec"));
    selectors(&mut e, p.child("selectors"), spec.list("selectors"));
    let config = spec.list("config");
    if config.len() > MOST {
        e.push(FieldError::too_many(p.child("config"), config.len(), MOST));
    }
    for (i, entry) in config.iter().enumerate() {
        configuration(&mut e, p.child("config").index(i), entry);
    }
    e
}

/// What is wrong with a slice.
pub fn validate_slice(slice: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (slice.sub("spec"), FieldPath::field("spec"));
    driver(&mut e, p.child("driver"), spec.s("driver"));
    let (pool, at) = (spec.sub("pool"), p.child("pool"));
    if pool.s("name").is_empty() {
        e.push(FieldError::required(at.child("name"), ""));
    }
    if pool.num("resourceSliceCount") <= 0 {
        let count = pool.num("resourceSliceCount");
        e.push(FieldError::invalid(at.child("resourceSliceCount"), count, "must be greater than zero"));
    }
    if pool.num("generation") < 0 {
        let detail = "must be greater than or equal to zero";
        e.push(FieldError::invalid(at.child("generation"), pool.num("generation"), detail));
    }
    let places = [
        !spec.s("nodeName").is_empty(),
        spec.has("nodeSelector"),
        spec.flag("allNodes"),
        spec.flag("perDeviceNodeSelection"),
    ];
    let one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match places.iter().filter(|set| **set).count() {
        0 => e.push(FieldError::required(p, one)),
        1 => {}
        _ => e.push(FieldError::invalid(p, Value::Null, format!("{one}, but multiple fields are set"))),
    }
    let (devices, at) = (spec.list("devices"), p.child("devices"));
    if devices.len() > MOST_DEVICES {
        e.push(FieldError::too_many(at, devices.len(), MOST_DEVICES));
    }
    let mut names = Seen::default();
    for (i, device) in devices.iter().enumerate() {
        let p = at.index(i);
        name(&mut e, p, device, &mut names);
        let p = p.child("attributes");
        for (key, _) in device.entries("attributes") {
            let (domain, id) = key.split_once('/').map_or((None, key), |(d, id)| (Some(d), id));
            if let Some(domain) = domain {
                complain(&mut e, p, domain, is_dns1123_subdomain(domain));
            }
            complain(&mut e, p, id, is_c_identifier(id));
        }
    }
    e
}
