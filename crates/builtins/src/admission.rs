//! Admission plug-ins: which there are and in which order is in `order`, which of them run in `choice`, how they are
//! configured in `configuration`. Each knows one rule and the kinds that it is about.

mod always;
mod always_pull_images;
mod amounts;
mod certificate_request;
mod certificates;
mod choice;
mod claim_status;
mod configuration;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod event_rate_limit;
mod extended_resource_toleration;
mod limit_pod_hard_anti_affinity_topology;
mod limit_ranger;
mod namespace_lifecycle;
mod namespaces;
mod node;
mod node_restriction;
mod order;
mod owner_references;
mod persistent_volume_claim_resize;
mod pod_node_selector;
pub mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
mod pods;
mod priority;
mod resource_names;
mod resource_quota;
mod rule;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use std::sync::Arc;

use sampan_apiserver::Context;
use sampan_apiserver::admission::{Admission, Plugins};
use sampan_apiserver::chain::authorization::Authorizer;
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};
use sampan_store::Store;

pub use choice::{Choice, Error};
pub use claim_status::claim_status;
pub use configuration::Configuration;

/// What plug-ins need to do their work.
#[derive(Clone)]
pub struct Deps {
    /// Says what a user may do besides the write itself.
    pub authorizer: Arc<dyn Authorizer>,
    /// Where objects are kept: quotas look at its newest state.
    pub store: Arc<dyn Store>,
}

/// The plug-ins that are chosen, in upstream's order, configured.
pub fn plugins(choice: &Choice, configuration: &Configuration, deps: &Deps) -> Result<Plugins, Error> {
    let mut plugins: Vec<Arc<dyn Admission>> = Vec::new();
    for known in choice.chosen()? {
        if let Some(build) = known.build {
            let made = build(deps, configuration.of(known.name));
            plugins.push(made.map_err(|why| Error::Configuration { name: known.name, why })?);
        }
    }
    Ok(Plugins::new(plugins))
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

/// The class of a claim: the annotation from before there was a field goes first.
fn claim_class(claim: &Value) -> &str {
    let annotation = claim.annotations().and_then(|a| a.get("volume.beta.kubernetes.io/storage-class"));
    match annotation.and_then(Value::as_str) {
        Some(class) => class,
        None => claim.str_at(&["spec", "storageClassName"]),
    }
}

/// Of the classes that one of these annotations marks as default: the newest, of several the first by name.
fn newest_marked<'a>(classes: &'a [Value], marks: &[&str]) -> Option<&'a Value> {
    let marked = |c: &&Value| c.annotations().is_some_and(|a| marks.iter().any(|m| a.str(m) == "true"));
    classes.iter().filter(marked).max_by(|a, b| {
        let time = |c: &Value| c.meta_str("creationTimestamp").to_owned();
        time(a).cmp(&time(b)).then_with(|| b.name().cmp(a.name()))
    })
}
