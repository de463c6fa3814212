//! Admission plug-ins that are on by default, in upstream's order.
//!
//! Each knows one rule and the kinds that it is about. Those that judge users, quotas and policies join
//! the list with authorization.

mod default_storage_class;
mod default_toleration_seconds;
mod namespace_lifecycle;
pub mod pod_security;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use std::sync::Arc;

use sampan_apiserver::Context;
use sampan_apiserver::admission::{Admission, Plugins};
use sampan_model::{GroupResource, Status};

/// The plug-ins, in the order in which they run.
pub fn plugins() -> Plugins {
    let plugins: Vec<Arc<dyn Admission>> = vec![
        Arc::new(namespace_lifecycle::NamespaceLifecycle),
        Arc::new(service_account::ServiceAccount),
        Arc::new(taint_nodes_by_condition::TaintNodesByCondition),
        Arc::new(pod_security::PodSecurity::default()),
        Arc::new(priority::Priority),
        Arc::new(default_toleration_seconds::DefaultTolerationSeconds),
        Arc::new(default_storage_class::DefaultStorageClass),
        Arc::new(storage_object_in_use_protection::StorageObjectInUseProtection),
        Arc::new(runtime_class::RuntimeClass),
    ];
    Plugins::new(plugins)
}

/// Whether a write is about that resource itself, not a subresource of it.
fn is(cx: &Context<'_>, group: &str, resource: &str) -> bool {
    cx.subresource.is_empty() && cx.resource.gvr.group == group && cx.resource.gvr.resource == resource
}

/// 403 for the object that is written.
fn forbidden(cx: &Context<'_>, name: &str, why: impl std::fmt::Display) -> Status {
    Status::forbidden(&cx.resource.group_resource(), name, why)
}

fn core(resource: &str) -> GroupResource {
    GroupResource::new("", resource)
}
