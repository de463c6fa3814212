//! What a cluster needs besides its first objects so that a bootstrap token suffices to join it: kubeadm's objects, under their names.
//!
//! Whoever has a bootstrap token may ask for a node's client certificate, which is approved; so is a node's own next one. `kube-public/cluster-info` tells everybody where the cluster
//! is, and by which certificate it is known. Every token will do, where kubeadm gives these rights to those of its own group only.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sampan_apiserver::registry::Existing;
use sampan_model::meta::ObjectMeta as _;
use sampan_model::{GroupVersionResource, Value};
use serde_json::json;

const RBAC: &str = "rbac.authorization.k8s.io";
const TOKENS: &str = "system:bootstrappers";
const NODES: &str = "system:nodes";
const CLUSTER_INFO: &str = "cluster-info";
const CLUSTER_INFO_ROLE: &str = "kubeadm:bootstrap-signer-clusterinfo";

/// These objects. `url` is where newcomers reach the server.
pub(super) fn objects(url: &str, authority: &str) -> Result<Vec<(GroupVersionResource, Value)>> {
    let requests = "system:certificates.k8s.io:certificatesigningrequests";
    let bind = |name: &str, role: &str, group: &str| {
        let object = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}]});
        (GroupVersionResource::new(RBAC, "v1", "clusterrolebindings"), object)
    };
    let place = |name: &str| json!({"name": name, "namespace": "kube-public"});
    let role = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": place(CLUSTER_INFO_ROLE),
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [CLUSTER_INFO], "verbs": ["get"]}]});
    let binding = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": place(CLUSTER_INFO_ROLE),
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": CLUSTER_INFO_ROLE},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:anonymous"}]});
    let info = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": place(CLUSTER_INFO),
        "data": {"kubeconfig": kubeconfig(url, authority)}});
    let objects = [
        bind("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", TOKENS),
        bind("kubeadm:node-autoapprove-bootstrap", &format!("{requests}:nodeclient"), TOKENS),
        bind("kubeadm:node-autoapprove-certificate-rotation", &format!("{requests}:selfnodeclient"), NODES),
        (GroupVersionResource::new(RBAC, "v1", "roles"), role),
        (GroupVersionResource::new(RBAC, "v1", "rolebindings"), binding),
        (GroupVersionResource::new("", "v1", "configmaps"), info),
    ];
    let read = |(gvr, object): (GroupVersionResource, serde_json::Value)| {
        let object = serde_json::from_value(object).context("an object for those who join cannot be read")?;
        Ok((gvr, object))
    };
    objects.into_iter().map(read).collect()
}

/// A kubeconfig of nobody.
fn kubeconfig(url: &str, authority: &str) -> String {
    let authority = BASE64_STANDARD.encode(authority);
    format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {authority}
    server: {url}
  name: \"\"
contexts: null
current-context: \"\"
kind: Config
preferences: {{}}
users: null
"
    )
}

/// What becomes of the map that is there: it says what this server is. Signatures that others put beside that are of another text, and go.
/// `None`: it is another object.
pub(super) fn reconcile(existing: &Value, wanted: &Value) -> Option<Existing> {
    let is_it = wanted.str_at(&["kind"]) == "ConfigMap" && wanted.name() == CLUSTER_INFO;
    if !is_it {
        return None;
    }
    if existing.str_at(&["data", "kubeconfig"]) == wanted.str_at(&["data", "kubeconfig"]) {
        return Some(Existing::Keep);
    }
    let mut updated = existing.clone();
    if let (Value::Object(map), Some(data)) = (&mut updated, wanted.at(&["data"])) {
        map.insert("data", data.clone());
    }
    Some(Existing::Update(updated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_has_moved_says_so() {
        let info = |url: &str| objects(url, "PEM").unwrap().pop().unwrap().1;
        let (old, new) = (info("https://192.0.2.1:6443"), info("https://192.0.2.2:6443"));
        assert_eq!(reconcile(&old, &old), Some(Existing::Keep));
        assert_eq!(reconcile(&old, &new), Some(Existing::Update(new.clone())));
        let (_, binding) = objects("https://192.0.2.1:6443", "PEM").unwrap().remove(0);
        assert_eq!(reconcile(&binding, &binding), None, "bindings are others' business");
    }
}
