//! What some resources answer with, and only the wiring of a server has: put into the descriptors once it is there.
//!
//! The table of resources is read while the store is opened, and needs nothing of it; who may do what, and who signs
//! tokens, is known only afterwards. So [`crate::resources()`] leaves places free, and [`install`] fills them.

use std::sync::Arc;

use sampan_apiserver::Resource;
use sampan_apiserver::backend::Backend;
use sampan_apiserver::chain::authorization::Authorizer;
use sampan_auth::authentication::service_account::Issuer;
use sampan_auth::authentication::token::Tokens;

use crate::{subresources, virtuals};

/// The parts of a server that resources ask. What is not there is answered with 501.
#[derive(Debug, Clone, Default)]
pub struct Dependencies {
    /// Who may do what, for the access reviews.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Who knows tokens, for the token reviews.
    pub tokens: Option<Arc<Tokens>>,
    /// Who makes the tokens of service accounts.
    pub issuer: Option<Arc<Issuer>>,
    /// How nodes are reached, for logs, remote commands and proxies.
    pub nodes: Option<Arc<Nodes>>,
}

/// How nodes are reached.
#[derive(Debug)]
pub struct Nodes {
    /// What connects.
    pub backend: Backend,
    /// Types of node addresses, the preferred one first (`--kubelet-preferred-address-types`).
    pub address_types: Vec<String>,
}

/// Fills the free places of `resources`.
pub fn install(resources: &mut [Resource], dependencies: &Dependencies) {
    for resource in resources {
        if let Some(answer) = virtuals::installed(&resource.gvk(), dependencies) {
            resource.virtual_resource = Some(answer);
        }
        let plural = resource.gvr.resource.clone();
        for part in &mut resource.subresources {
            if let Some(behaviour) = subresources::installed(&plural, &part.name, dependencies) {
                part.behaviour = behaviour;
            }
        }
    }
}
