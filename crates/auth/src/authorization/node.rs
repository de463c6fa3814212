//! The node authorizer: a node reads what its own pods refer to, and nothing else of the sort.
//!
//! Which object belongs to which node is the [`Graph`], a mirror of pods, volumes, attachments and slices. What is not
//! subdivided among nodes is allowed by the rules of the cluster role `system:node`. Sentences are upstream's.

pub mod graph;
mod references;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use sampan_apiserver::User;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer, Decision, Rules, Verdict};
use sampan_apiserver::mirror::{Mirror, Owner};
use sampan_store::Store;

use super::rbac::rule::PolicyRule;
use graph::{Graph, Kind};

/// The authorizer.
#[derive(Debug)]
pub struct Node {
    graph: Arc<Mirror<Graph>>,
    /// Keeps the graph up when nodes are quiet and pods are not; there is none before a node has come.
    owner: OnceLock<Owner>,
    rules: Vec<PolicyRule>,
}

/// The name of the node that a user is.
pub fn node_of(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    user.in_group("system:nodes").then_some(name)
}

fn allow() -> Verdict {
    Verdict::allow()
}

fn no(reason: impl Into<String>) -> Verdict {
    Verdict::new(Decision::NoOpinion, reason)
}

impl Node {
    /// An authorizer by the objects of a store; `rules` are those of `system:node`.
    pub fn new(store: Arc<dyn Store>, rules: Vec<PolicyRule>) -> Self {
        let prefixes = graph::PREFIXES.map(str::to_owned).to_vec();
        let graph = Arc::new(Mirror::new(store, prefixes, Graph::default()));
        Self { graph, owner: OnceLock::new(), rules }
    }

    fn graph(&self) -> Arc<Graph> {
        self.owner.get_or_init(|| Mirror::keep_up(&self.graph));
        self.graph.read()
    }

    /// Whether the object that is named belongs to the node.
    fn related(&self, node: &str, kind: Kind, a: &Attributes<'_>) -> Verdict {
        if a.info.name.is_empty() {
            return no("No Object name found");
        }
        if self.graph().belongs(kind, &a.info.namespace, &a.info.name, node) {
            return allow();
        }
        no(format!("no relationship found between node '{node}' and this object"))
    }

    fn get(&self, node: &str, kind: Kind, a: &Attributes<'_>) -> Verdict {
        if a.info.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !a.info.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(node, kind, a)
    }

    fn read(&self, node: &str, kind: Kind, a: &Attributes<'_>) -> Verdict {
        if !matches!(a.info.verb.as_str(), "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !a.info.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if a.info.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(node, kind, a)
    }

    fn claim(&self, node: &str, a: &Attributes<'_>) -> Verdict {
        if a.info.subresource != "status" {
            return self.get(node, Kind::Claim, a);
        }
        if !matches!(a.info.verb.as_str(), "update" | "patch") {
            return no("can only get/update/patch this type");
        }
        self.related(node, Kind::Claim, a)
    }

    fn account(&self, node: &str, a: &Attributes<'_>) -> Verdict {
        let info = a.info;
        if info.verb == "get" && info.subresource.is_empty() {
            return self.get(node, Kind::Account, a);
        }
        if info.verb != "create" || info.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if info.subresource != "token" {
            return no("can only create token subresource of service account");
        }
        self.related(node, Kind::Account, a)
    }

    fn pod(&self, node: &str, a: &Attributes<'_>) -> Verdict {
        let info = a.info;
        match (info.subresource.as_str(), info.verb.as_str()) {
            ("", "get") => self.get(node, Kind::Pod, a),
            ("", "list" | "watch") if selects_node(a, node) => allow(),
            ("", "list" | "watch") if !info.name.is_empty() => self.related(node, Kind::Pod, a),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            // NodeRestriction sees to it that these are mirror pods, statuses and evictions of the node's own.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => allow(),
            _ => no(""),
        }
    }

    fn slice(&self, node: &str, a: &Attributes<'_>) -> Verdict {
        if !a.info.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match a.info.verb.as_str() {
            // NodeRestriction sees the new object; here it is not known.
            "create" => allow(),
            "get" | "update" | "patch" | "delete" => self.related(node, Kind::Slice, a),
            "watch" | "list" | "deletecollection" if selects_node(a, node) => allow(),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }
}

/// Whether the request is for objects of the node alone.
fn selects_node(a: &Attributes<'_>, node: &str) -> bool {
    let requirements = a.selectors.map_or(&[][..], |s| s.fields.requirements());
    requirements.iter().any(|r| !r.negated && r.field == "spec.nodeName" && r.value == node)
}

fn lease(node: &str, a: &Attributes<'_>) -> Verdict {
    const NAMESPACE: &str = "kube-node-lease";
    if !matches!(a.info.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if a.info.namespace != NAMESPACE {
        return no(format!("can only access leases in the \"{NAMESPACE}\" system namespace"));
    }
    // A new lease has no name here yet; NodeRestriction checks it.
    if a.info.verb != "create" && a.info.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    allow()
}

fn csi_node(node: &str, a: &Attributes<'_>) -> Verdict {
    if !matches!(a.info.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !a.info.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if a.info.verb != "create" && a.info.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    allow()
}

fn own_node(node: &str, a: &Attributes<'_>) -> Verdict {
    match (a.info.subresource.as_str(), a.info.verb.as_str()) {
        // NodeRestriction limits these to the node's own object.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => allow(),
        // By name, not by the graph: a node looks for its object before there is one.
        ("", "get" | "list" | "watch") => match a.info.name.as_str() {
            name if name == node => allow(),
            "" => no(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => no(format!("node '{node}' cannot read '{name}', only its own Node object")),
        },
        _ => no(""),
    }
}

#[async_trait]
impl Authorizer for Node {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let Some(node) = node_of(a.user) else { return no("") };
        if node.is_empty() {
            let name = sampan_model::field_error::go_quote(&a.user.name);
            return no(format!("unknown node for user {name}"));
        }
        if a.info.is_resource {
            match (a.info.group.as_str(), a.info.resource.as_str()) {
                ("", "secrets") => return self.read(node, Kind::Secret, a),
                ("", "configmaps") => return self.read(node, Kind::ConfigMap, a),
                ("", "persistentvolumeclaims") => return self.claim(node, a),
                ("", "persistentvolumes") => return self.get(node, Kind::Volume, a),
                ("", "serviceaccounts") => return self.account(node, a),
                ("", "nodes") => return own_node(node, a),
                ("", "pods") => return self.pod(node, a),
                ("resource.k8s.io", "resourceclaims") => return self.get(node, Kind::DeviceClaim, a),
                ("resource.k8s.io", "resourceslices") => return self.slice(node, a),
                ("storage.k8s.io", "volumeattachments") => return self.get(node, Kind::Attachment, a),
                ("storage.k8s.io", "csinodes") => return csi_node(node, a),
                ("coordination.k8s.io", "leases") => return lease(node, a),
                _ => {}
            }
        }
        if self.rules.iter().any(|rule| rule.allows(a.info)) { allow() } else { no("") }
    }

    fn rules(&self, user: &User, _namespace: &str) -> Rules {
        if node_of(user).is_none() {
            return Rules::default();
        }
        let error = "node authorizer does not support user rule resolution".to_owned();
        Rules { incomplete: true, errors: vec![error], ..Rules::default() }
    }
}

#[cfg(test)]
mod tests;
