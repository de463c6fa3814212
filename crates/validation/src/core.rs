//! The core group: configuration, namespaces, nodes, pods, services, storage claims, quotas and events.

pub mod account;
pub mod claim;
pub mod config;
pub mod controller;
pub mod endpoints;
pub mod event;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod quota;
pub(crate) mod resource_name;
pub mod service;
pub mod volume;

use sampan_model::{FieldError, Value};

use crate::look::Look;

/// What is wrong with a binding of a pod to a node.
pub fn validate_binding(binding: &Value) -> Vec<FieldError> {
    let mut e = Vec::new();
    let target = binding.sub("target");
    if !matches!(target.s("kind"), "" | "Node") {
        e.push(crate::look::not_supported(
            sampan_model::FieldPath::field("target.kind"),
            target.s("kind"),
            &["Node", "<empty>"],
        ));
    }
    if target.s("name").is_empty() {
        e.push(FieldError::required("target.name", ""));
    }
    e
}
