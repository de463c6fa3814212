//! What the subresources of the built-in kinds do.

mod binding;
mod connect;
mod connect_options;
mod eviction;
mod scale;
mod token;

use std::sync::Arc;

use sampan_apiserver::{Behaviour, Resource};
use sampan_model::time::format_time;
use sampan_model::{Status, Value};

pub(crate) use binding::Binding;
pub(crate) use scale::label_selector;

use crate::{Dependencies, Nodes, strategy};

/// The behaviour of a subresource of `parent`.
pub(crate) fn behaviour(parent: &Resource, name: &str) -> Behaviour {
    match (parent.gvr.resource.as_str(), name) {
        (_, "status" | "finalize" | "approval" | "resize" | "ephemeralcontainers") => {
            Behaviour::Part(strategy::of_part(&parent.gvk(), name))
        }
        (resource, "scale") => Behaviour::Projection(Arc::new(scale::Scale::of(resource))),
        (_, "binding") => Behaviour::Action(Arc::new(Binding)),
        (_, "eviction") => Behaviour::Action(Arc::new(eviction::Eviction)),
        (_, "token") => Behaviour::Action(Arc::new(token::Token(None))),
        (resource, other) => connection(resource, other, None),
    }
}

/// The behaviour of a subresource that connects to nodes, or to what runs on them.
fn connection(resource: &str, name: &str, nodes: Option<&Arc<Nodes>>) -> Behaviour {
    let nodes = nodes.cloned();
    match name {
        "log" => Behaviour::Connect(Arc::new(connect::Log(nodes))),
        "proxy" => Behaviour::Connect(Arc::new(connect::Proxy::of(resource, nodes))),
        other => Behaviour::Connect(Arc::new(connect::Stream::named(other, nodes))),
    }
}

/// The behaviour of a subresource once the server's parts are there; `None` leaves it as it is.
pub(crate) fn installed(resource: &str, name: &str, dependencies: &Dependencies) -> Option<Behaviour> {
    match (resource, name) {
        ("serviceaccounts", "token") => {
            let issuer = Arc::clone(dependencies.issuer.as_ref()?);
            Some(Behaviour::Action(Arc::new(token::Token(Some(issuer)))))
        }
        (_, "log" | "proxy" | "exec" | "attach" | "portforward") => {
            Some(connection(resource, name, Some(dependencies.nodes.as_ref()?)))
        }
        _ => None,
    }
}

/// What actions answer that have nothing to show: success, as something created.
fn done() -> Value {
    let mut status = Status::success(None).to_value();
    if let Value::Object(map) = &mut status {
        map.insert("code", 201);
    }
    status
}

/// Sets a condition of a pod, or leaves it alone when it says the same already.
fn set_pod_condition(
    pod: &mut Value,
    condition_type: &str,
    reason: &str,
    message: &str,
    now: jiff::Timestamp,
) {
    let generation = sampan_model::meta::ObjectMeta::generation(pod);
    let Some(status) = pod.as_object_mut().map(|o| o.object_mut("status")) else { return };
    let list = status.get_or_insert_with("conditions", || Value::Array(Vec::new()));
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let Some(list) = list.as_array_mut() else { return };
    let old = list.iter().position(|c| c.str_at(&["type"]) == condition_type);
    if old.is_some_and(|i| list[i].str_at(&["status"]) == "True" && list[i].str_at(&["reason"]) == reason) {
        return;
    }
    let mut condition = sampan_model::Map::new();
    condition.insert("type", condition_type);
    condition.insert("status", "True");
    condition.insert("lastProbeTime", Value::Null);
    condition.insert("lastTransitionTime", format_time(now));
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition.insert(field, text);
        }
    }
    if generation != 0 {
        condition.insert("observedGeneration", generation);
    }
    match old {
        Some(i) => list[i] = condition.into(),
        None => list.push(condition.into()),
    }
}
