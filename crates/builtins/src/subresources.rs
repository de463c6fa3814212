//! What the subresources of the built-in kinds do.

mod scale;
mod unavailable;

use std::sync::Arc;

use sampan_apiserver::{Behaviour, Resource};

pub(crate) use scale::label_selector;

use crate::strategy;

/// The behaviour of a subresource of `parent`.
pub(crate) fn behaviour(parent: &Resource, name: &str) -> Behaviour {
    match (parent.gvr.resource.as_str(), name) {
        (_, "status" | "finalize" | "approval" | "resize" | "ephemeralcontainers") => {
            Behaviour::Part(strategy::of_part(&parent.gvr.group, &parent.kind, name))
        }
        (_, "scale") => Behaviour::Projection(Arc::new(scale::Scale::of(&parent.gvr.resource))),
        (_, "binding" | "eviction" | "token") => Behaviour::Action(Arc::new(unavailable::Unavailable)),
        _ => Behaviour::Connect(Arc::new(unavailable::Unavailable)),
    }
}
