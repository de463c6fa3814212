//! Events of both groups. An object of `events.k8s.io` is checked under the names of the core group, as the
//! stored form has them.

use sampan_model::name::{is_dns1123_subdomain, is_qualified_name};
use sampan_model::{FieldError, FieldPath, Value};

use crate::KindRules;
use crate::look::{Errors, Look, Put, complain, immutable, top};

/// The rules of the core group's events.
pub(crate) const CORE: KindRules = KindRules {
    default: Some(|event| {
        let event = top(event);
        event.default_ptr("reportingComponent", "");
        event.default_ptr("reportingInstance", "");
    }),
    validate: Some(validate_event),
    validate_update: Some(|new, _| validate_event(new)),
    create_on_update: true,
    ..KindRules::PLAIN
};

/// The rules of events of `events.k8s.io`.
pub(crate) const NEW: KindRules = KindRules {
    validate: Some(validate_new_event),
    validate_update: Some(validate_new_event_update),
    create_on_update: true,
    ..KindRules::PLAIN
};

/// The names of one field in either group: what the object has is looked up under both.
fn either<'a>(event: &'a Value, core: &str, new: &str) -> &'a Value {
    event.opt(core).unwrap_or_else(|| event.sub(new))
}

/// What is wrong with an event of the core group.
pub fn validate_event(event: &Value) -> Vec<FieldError> {
    const MOST: usize = 128;
    const MOST_NOTE: usize = 1024;
    let mut e = Errors::new();
    let namespace = event.sub("metadata").s("namespace");
    let about = either(event, "involvedObject", "regarding").s("namespace");
    let at = "involvedObject.namespace";
    let mismatch = "does not match event.namespace";
    if event.has("eventTime") {
        if about.is_empty() && !matches!(namespace, "default" | "kube-system") {
            e.push(FieldError::invalid(at, about, mismatch));
        }
        let controller = either(event, "reportingComponent", "reportingController");
        let controller = controller.as_str().unwrap_or("");
        if controller.is_empty() {
            e.push(FieldError::required("reportingController", ""));
        }
        complain(&mut e, FieldPath::field("reportingController"), controller, is_qualified_name(controller));
        for field in ["reportingInstance", "action", "reason"] {
            let value = event.s(field);
            if value.is_empty() {
                e.push(FieldError::required(field, ""));
            }
            if value.len() > MOST {
                e.push(FieldError::invalid(field, "", format!("can have at most {MOST} characters")));
            }
        }
        let note = either(event, "message", "note").as_str().unwrap_or("");
        if note.len() > MOST_NOTE {
            e.push(FieldError::invalid("message", "", format!("can have at most {MOST_NOTE} characters")));
        }
    } else if (about.is_empty() && !matches!(namespace, "" | "default"))
        || (!about.is_empty() && about != namespace)
    {
        e.push(FieldError::invalid(at, about, mismatch));
    }
    complain(&mut e, FieldPath::field("namespace"), namespace, is_dns1123_subdomain(namespace));
    e
}

/// What is wrong with a new event of `events.k8s.io`.
pub fn validate_new_event(event: &Value) -> Vec<FieldError> {
    let mut e = validate_event(event);
    series(&mut e, event);
    if !event.has("eventTime") {
        e.push(FieldError::required("eventTime", ""));
    }
    let kind = event.s("type");
    if !matches!(kind, "Normal" | "Warning") {
        e.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
    }
    let source = either(event, "source", "deprecatedSource");
    for (core, unset) in [
        ("firstTimestamp", either(event, "firstTimestamp", "deprecatedFirstTimestamp").is_null()),
        ("lastTimestamp", either(event, "lastTimestamp", "deprecatedLastTimestamp").is_null()),
        ("count", either(event, "count", "deprecatedCount").is_empty()),
        ("source", source.s("component").is_empty() && source.s("host").is_empty()),
    ] {
        if !unset {
            e.push(FieldError::invalid(core, "", "needs to be unset"));
        }
    }
    e
}

fn series(e: &mut Errors, event: &Value) {
    let Some(series) = event.opt("series") else { return };
    if series.num("count") < 2 {
        e.push(FieldError::invalid("series.count", "", "should be at least 2"));
    }
    if !series.has("lastObservedTime") {
        e.push(FieldError::required("series.lastObservedTime", ""));
    }
}

/// What is wrong with a change of an event of `events.k8s.io`: only its series goes on.
pub fn validate_new_event_update(event: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = validate_event(event);
    if event.sub("series") != old.sub("series") {
        series(&mut e, event);
    }
    for (core, new) in [
        ("involvedObject", "regarding"),
        ("reason", "reason"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        let at = if core == "reportingComponent" { new } else { core };
        immutable(&mut e, FieldPath::field(at), either(event, core, new), either(old, core, new));
    }
    e
}
