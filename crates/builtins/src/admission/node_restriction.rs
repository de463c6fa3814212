//! NodeRestriction: a node changes itself and what runs on it, and nothing else. So whoever takes a node over does not have
//! the cluster.
//!
//! One file for each thing that a node may touch; the node authorizer has decided already that it may touch such things at all.

mod labels;
mod node_object;
mod pod;
mod token;

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::chain::authorization::Authorizer;
use sampan_apiserver::{Context, Verb};
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Status, Value};

use super::certificate_request;
use super::node::node_name;
use super::rule::{Judge, Write};

#[derive(Debug)]
pub(super) struct NodeRestriction {
    authorizer: Arc<dyn Authorizer>,
}

impl NodeRestriction {
    pub(super) fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Judge for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb != Verb::Connect && node_name(cx.user).is_some()
    }

    fn is_early(&self) -> bool {
        true
    }

    async fn judge(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        let node = node_name(w.cx.user).unwrap_or("");
        if node.is_empty() {
            let user = go_quote(&w.cx.user.name);
            return Err(w.forbidden(object, format_args!("could not determine node from user {user}")));
        }
        let refuse = |why: String| Err(w.forbidden(object, why));
        let gvr = &w.cx.resource.gvr;
        let what = match (gvr.group.as_str(), gvr.resource.as_str()) {
            ("", "pods") => return pod::judge(w, node, object),
            ("", "nodes") => node_object::judge(w, node, object),
            ("", "persistentvolumeclaims") => claim_status(w, node, object),
            ("", "serviceaccounts") => return token::judge(&*self.authorizer, w, node, object).await,
            ("coordination.k8s.io", "leases") => lease(w, node, object),
            ("storage.k8s.io", "csinodes") => own_name(w, node, object, "CSINode with the same name"),
            ("resource.k8s.io", "resourceslices") => slice(w, node, object),
            ("certificates.k8s.io", "certificatesigningrequests") => signing_request(w, node, object),
            _ => None,
        };
        what.map_or(Ok(()), refuse)
    }
}

/// The name of the object: that of the path, or on creates that of the object.
fn name_of<'a>(w: Write<'a>, object: &'a Value) -> &'a str {
    if w.verb == Verb::Create && w.cx.subresource.is_empty() { object.name() } else { w.cx.name }
}

fn operation(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "CREATE",
        Verb::Delete => "DELETE",
        _ => "UPDATE",
    }
}

fn own_name(w: Write<'_>, node: &str, object: &Value, what: &str) -> Option<String> {
    let own = name_of(w, object) == node;
    (!own).then(|| format!("can only access {what} as the requesting node"))
}

fn lease(w: Write<'_>, node: &str, object: &Value) -> Option<String> {
    const NAMESPACE: &str = "kube-node-lease";
    if w.cx.namespace != NAMESPACE {
        return Some(format!("can only access leases in the {NAMESPACE:?} system namespace"));
    }
    own_name(w, node, object, "node lease with the same name")
}

/// What the node authorizer cannot see: the content of a new slice, and each slice of a collection that is deleted.
fn slice(w: Write<'_>, node: &str, object: &Value) -> Option<String> {
    let done = match w.verb {
        Verb::Create => "create",
        Verb::Delete => "delete",
        _ => return None,
    };
    let own = object.str_at(&["spec", "nodeName"]) == node;
    (!own).then(|| format!("can only {done} ResourceSlice with the same NodeName as the requesting node"))
}

/// A request for a certificate by which a node is known must be for that node.
fn signing_request(w: Write<'_>, node: &str, object: &Value) -> Option<String> {
    const SIGNERS: [&str; 2] =
        ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
    if w.verb != Verb::Create || !SIGNERS.contains(&object.str_at(&["spec", "signerName"])) {
        return None;
    }
    match certificate_request::subject(object.str_at(&["spec", "request"])) {
        Err(error) => Some(format!("unable to parse csr: {error}")),
        Ok(subject) if subject.common_name == format!("system:node:{node}") => None,
        Ok(_) => Some(format!("can only create a node CSR with CN=system:node:{node}")),
    }
}

/// How far a volume is expanded, and nothing else of a claim.
fn claim_status(w: Write<'_>, node: &str, object: &Value) -> Option<String> {
    if w.cx.subresource != "status" {
        return Some("may only update PVC status".to_owned());
    }
    let Some(old) = w.old.filter(|_| w.verb == Verb::Update) else {
        return Some(format!("unexpected operation {:?}", operation(w.verb)));
    };
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        claim.meta_mut().remove("resourceVersion");
        claim.meta_mut().remove("managedFields");
        if let Value::Object(map) = &mut claim {
            let status = map.object_mut("status");
            for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                status.remove(field);
            }
        }
        claim
    };
    let (new, old) = (rest(object), rest(old));
    let changed = changed_fields(&new, &old);
    (!changed.is_empty()).then(|| {
        let fields = changed.join(", ");
        let node = go_quote(node);
        format!("node {node} is not allowed to update fields other than status.quantity and status.conditions: {fields}")
    })
}

/// The fields of the first two levels that differ.
fn changed_fields(new: &Value, old: &Value) -> Vec<String> {
    let none = Map::new();
    let map = |v: &Value| v.as_object().cloned().unwrap_or_default();
    let (new, old) = (map(new), map(old));
    let mut changed = Vec::new();
    let tops: std::collections::BTreeSet<_> = new.keys().chain(old.keys()).cloned().collect();
    for top in tops {
        let of = |m: &Map| m.get(&top).and_then(Value::as_object).unwrap_or(&none).clone();
        let (new_map, old_map) = (of(&new), of(&old));
        let fields: std::collections::BTreeSet<_> = new_map.keys().chain(old_map.keys()).cloned().collect();
        let differ = |f: &sampan_model::Str| new_map.get(f) != old_map.get(f);
        changed.extend(fields.into_iter().filter(|f| differ(f)).map(|f| format!("{top}.{f}")));
    }
    changed
}
