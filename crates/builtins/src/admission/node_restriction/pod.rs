//! The pods of a node: it makes mirrors of those it has from files, tells the status of its own, and ends them.

use sampan_apiserver::Verb;
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::super::core;
use super::super::pods::{MIRROR, is_mirror, uses_config_maps, uses_secrets};
use super::super::rule::Write;
use super::operation;

pub(super) fn judge(w: Write<'_>, node: &str, object: &Value) -> Result<(), Status> {
    let quoted = go_quote(node);
    let refuse = |why: String| Err(w.forbidden(object, why));
    match (w.cx.subresource, w.verb) {
        ("", Verb::Create) => create(w, node, object),
        ("", Verb::Delete) => {
            if object.str_at(&["spec", "nodeName"]) == node {
                return Ok(());
            }
            refuse(format!("node {quoted} can only delete pods with spec.nodeName set to itself"))
        }
        ("", verb) => refuse(format!(
            "unexpected operation {:?}, node {quoted} can only create and delete mirror pods",
            operation(verb)
        )),
        ("status", Verb::Update) => status(w, node, object).map_or(Ok(()), refuse),
        ("status", verb) => refuse(format!("unexpected operation {:?}", operation(verb))),
        ("eviction", Verb::Create) => {
            let name = if w.cx.name.is_empty() { object.name() } else { w.cx.name };
            let pod = w.cx.lookup.get(&core("pods"), w.cx.namespace, name);
            let pod = pod.ok_or_else(|| Status::not_found(&core("pods"), name))?;
            if pod.str_at(&["spec", "nodeName"]) == node {
                return Ok(());
            }
            refuse(format!("node {node} can only evict pods with spec.nodeName set to itself"))
        }
        ("eviction", verb) => refuse(format!("unexpected operation {}", operation(verb))),
        (other, _) => refuse(format!(
            "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
            go_quote(other)
        )),
    }
}

fn create(w: Write<'_>, node: &str, pod: &Value) -> Result<(), Status> {
    let quoted = go_quote(node);
    let refuse = |why: String| Err(w.forbidden(pod, why));
    if !is_mirror(pod) {
        return refuse(format!(
            "pod does not have {MIRROR:?} annotation, node {quoted} can only create mirror pods"
        ));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        return refuse(format!("node {quoted} can only create pods with spec.nodeName set to itself"));
    }
    let owner = match pod.array_at(&["metadata", "ownerReferences"]) {
        [] => {
            return refuse(format!(
                "node {quoted} can only create pods with an owner reference set to itself"
            ));
        }
        [one] => one,
        _ => {
            return refuse(format!(
                "node {quoted} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    let is = |field: &str, value: &str| owner.str_at(&[field]) == value;
    let flag = |field: &str| owner.get(field).and_then(Value::as_bool) == Some(true);
    if !is("apiVersion", "v1") || !is("kind", "Node") || !is("name", node) {
        return refuse(format!("node {quoted} can only create pods with an owner reference set to itself"));
    }
    if !flag("controller") {
        return refuse(format!(
            "node {quoted} can only create pods with a controller owner reference set to itself"
        ));
    }
    if flag("blockOwnerDeletion") {
        return refuse(format!("node {quoted} must not set blockOwnerDeletion on an owner reference"));
    }
    let found = w.cx.lookup.get(&core("nodes"), "", node);
    let found = found.ok_or_else(|| Status::not_found(&core("nodes"), node))?;
    if !is("uid", found.uid()) {
        let (given, uid) = (owner.str_at(&["uid"]), found.uid());
        return refuse(format!("node {node} UID mismatch: expected {given} got {uid}"));
    }
    match reference(pod) {
        Some(what) => refuse(format!("node {quoted} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

/// Another object that the pod refers to; it would let a node read that object.
fn reference(pod: &Value) -> Option<&'static str> {
    let volumes = pod.array_at(&["spec", "volumes"]);
    let projects = |source: &str| {
        let sources = volumes.iter().flat_map(|v| v.array_at(&["projected", "sources"]));
        sources.into_iter().any(|s| s.get(source).is_some())
    };
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        return Some("a service account");
    }
    let found = [
        (uses_secrets(pod), "secrets"),
        (uses_config_maps(pod), "configmaps"),
        (projects("clusterTrustBundle"), "clustertrustbundles"),
        (volumes.iter().any(|v| v.get("persistentVolumeClaim").is_some()), "persistentvolumeclaims"),
        (!pod.array_at(&["spec", "resourceClaims"]).is_empty(), "resourceclaims"),
    ];
    found.into_iter().find(|(refers, _)| *refers).map(|(_, what)| what)
}

fn status(w: Write<'_>, node: &str, pod: &Value) -> Option<String> {
    let old = w.old?;
    let quoted = go_quote(node);
    if old.str_at(&["spec", "nodeName"]) != node {
        return Some(format!(
            "node {quoted} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    let labels = |pod: &Value| pod.labels().cloned().unwrap_or_default();
    if labels(pod) != labels(old) {
        return Some(format!("node {quoted} cannot update labels through pod status"));
    }
    let claims = |pod: &Value| pod.array_at(&["status", "resourceClaimStatuses"]).to_vec();
    if claims(pod) != claims(old) {
        return Some(format!("node {quoted} cannot update resource claim statues"));
    }
    let extended =
        |pod: &Value| pod.at(&["status", "extendedResourceClaimStatus"]).cloned().unwrap_or_default();
    (extended(pod) != extended(old))
        .then(|| format!("node {quoted} cannot update extended resource claim status"))
}
