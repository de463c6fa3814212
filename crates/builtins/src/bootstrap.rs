//! What a new cluster begins with.

use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupVersionResource, Map, Value};

use crate::descriptions::inflate;
use crate::services::DEFAULT_CIDR;

static OBJECTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bootstrap.z"));

/// The lists of the data file, in the order in which they are written: what others refer to goes first.
const LISTS: &[(&str, &str, &str, &str)] = &[
    ("namespaces", "", "v1", "Namespace"),
    ("priorityclasses", "scheduling.k8s.io", "v1", "PriorityClass"),
    ("prioritylevelconfigurations", "flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration"),
    ("flowschemas", "flowcontrol.apiserver.k8s.io", "v1", "FlowSchema"),
    ("clusterroles", "rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("clusterrolebindings", "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    ("roles", "rbac.authorization.k8s.io", "v1", "Role"),
    ("rolebindings", "rbac.authorization.k8s.io", "v1", "RoleBinding"),
];

/// The objects of a new cluster, each with the resource it belongs to, in the order in which they are
/// written. They are as a client would send them: names, but no uid, no times, no defaults. To be created
/// through the registry, which allocates the address of the service `kubernetes`.
pub fn objects() -> Vec<(GroupVersionResource, Value)> {
    let Value::Object(mut lists) = inflate(OBJECTS) else { return Vec::new() };
    let mut objects = Vec::with_capacity(180);
    for (resource, group, version, kind) in LISTS {
        let Some(Value::Array(list)) = lists.remove(resource) else { continue };
        for object in list {
            objects.push(typed(object, resource, group, version, kind));
        }
    }
    objects.push(service_cidr());
    objects.push(kubernetes_service());
    objects
}

fn typed(
    mut object: Value,
    resource: &str,
    group: &str,
    version: &str,
    kind: &str,
) -> (GroupVersionResource, Value) {
    let gvr = GroupVersionResource::new(group, version, resource);
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion", api_version);
        map.insert("kind", kind);
    }
    (gvr, object)
}

fn service_cidr() -> (GroupVersionResource, Value) {
    let mut object = Value::default();
    object.set_meta("name", "kubernetes");
    if let Value::Object(map) = &mut object {
        map.object_mut("spec").insert("cidrs", vec![DEFAULT_CIDR]);
    }
    typed(object, "servicecidrs", "networking.k8s.io", "v1", "ServiceCIDR")
}

/// The service through which pods find the API; its address is the first of the default range.
fn kubernetes_service() -> (GroupVersionResource, Value) {
    let mut object = Value::default();
    object.set_meta("name", "kubernetes");
    object.set_meta("namespace", "default");
    let labels = object.meta_mut().object_mut("labels");
    labels.insert("component", "apiserver");
    labels.insert("provider", "kubernetes");
    if let Value::Object(map) = &mut object {
        let port: Map = [
            ("name", Value::from("https")),
            ("port", 443.into()),
            ("protocol", "TCP".into()),
            ("targetPort", 6443.into()),
        ]
        .into_iter()
        .collect();
        let spec = map.object_mut("spec");
        spec.insert("clusterIP", crate::services::KUBERNETES_IP);
        spec.insert("ports", vec![Value::Object(port)]);
        spec.insert("sessionAffinity", "None");
        spec.insert("type", "ClusterIP");
    }
    typed(object, "services", "", "v1", "Service")
}
