//! What a new cluster begins with.

use sampan_apiserver::Resource;
use sampan_apiserver::registry::Existing;
use sampan_auth::authorization::rbac::rule::PolicyRule;
use sampan_auth::authorization::rbac::{aggregation, reconcile};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupVersionResource, Map, Value};

use crate::descriptions::inflate;
use crate::flow_control::autoupdate;
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

/// A served version of a group.
struct Served {
    group: &'static str,
    version: &'static str,
    /// The group's place in the order of discovery.
    group_priority: i64,
    /// The version's place within its group.
    version_priority: i64,
}

const fn served(
    group: &'static str,
    version: &'static str,
    group_priority: i64,
    version_priority: i64,
) -> Served {
    Served { group, version, group_priority, version_priority }
}

const PRIORITIES: &[Served] = &[
    served("", "v1", 18000, 1),
    served("apps", "v1", 17800, 15),
    served("events.k8s.io", "v1", 17750, 15),
    served("authentication.k8s.io", "v1", 17700, 15),
    served("authorization.k8s.io", "v1", 17600, 15),
    served("autoscaling", "v1", 17500, 15),
    served("autoscaling", "v2", 17500, 30),
    served("batch", "v1", 17400, 15),
    served("certificates.k8s.io", "v1", 17300, 15),
    served("networking.k8s.io", "v1", 17200, 15),
    served("policy", "v1", 17100, 15),
    served("rbac.authorization.k8s.io", "v1", 17000, 15),
    served("storage.k8s.io", "v1", 16800, 15),
    served("admissionregistration.k8s.io", "v1", 16700, 15),
    served("apiextensions.k8s.io", "v1", 16700, 15),
    served("scheduling.k8s.io", "v1", 16600, 15),
    served("coordination.k8s.io", "v1", 16500, 15),
    served("node.k8s.io", "v1", 16300, 15),
    served("discovery.k8s.io", "v1", 16200, 15),
    served("resource.k8s.io", "v1", 16200, 20),
    served("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
];

/// The objects of a new cluster, each with the resource it belongs to, in the order in which they are
/// written. They are as a client would send them: names, but no uid, no times, no defaults. To be created
/// through the registry, which allocates the address of the service `kubernetes`.
pub fn objects() -> Vec<(GroupVersionResource, Value)> {
    let Value::Object(mut lists) = inflate(OBJECTS) else { return Vec::new() };
    if let Some(roles) = lists.get_mut("clusterroles").and_then(Value::as_array_mut) {
        aggregation::complete(roles);
    }
    let mut objects = Vec::with_capacity(180);
    for (resource, group, version, kind) in LISTS {
        let Some(Value::Array(list)) = lists.remove(resource) else { continue };
        for object in list {
            objects.push(typed(object, resource, group, version, kind));
        }
    }
    objects.extend(PRIORITIES.iter().map(api_service));
    objects.extend(NAMESPACES.map(default_account));
    objects.push(service_cidr());
    objects.push(kubernetes_service());
    objects
}

/// What becomes of a first object that is there already: roles and bindings get what they lack, flow schemas and priority
/// levels that are the server's get their spec, everything else stays.
pub fn reconcile(resource: &Resource, existing: &Value, wanted: &Value) -> Existing {
    if resource.gvr.group == autoupdate::GROUP {
        return autoupdate::outcome(resource, existing, wanted);
    }
    reconcile::object(&resource.gvr.group, &resource.kind, existing, wanted)
}

/// What the cluster role `system:node` allows: the rules of the node authorizer.
pub fn node_rules() -> Vec<PolicyRule> {
    let lists = inflate(OBJECTS);
    let role = lists.array_at(&["clusterroles"]).iter().find(|role| role.name() == "system:node");
    role.map(PolicyRule::read_all).unwrap_or_default()
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

/// Says that this server answers a version of a group itself.
fn api_service(served: &Served) -> (GroupVersionResource, Value) {
    let mut object = Value::default();
    object.set_meta("name", format!("{}.{}", served.version, served.group));
    object.meta_mut().object_mut("labels").insert("kube-aggregator.kubernetes.io/automanaged", "onstart");
    if let Value::Object(map) = &mut object {
        let spec = map.object_mut("spec");
        if !served.group.is_empty() {
            spec.insert("group", served.group);
        }
        spec.insert("groupPriorityMinimum", served.group_priority);
        spec.insert("version", served.version);
        spec.insert("versionPriority", served.version_priority);
    }
    typed(object, "apiservices", "apiregistration.k8s.io", "v1", "APIService")
}

/// The namespaces of a new cluster.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// The account that pods of a namespace run as, so that a new cluster takes pods before any controller runs.
fn default_account(namespace: &str) -> (GroupVersionResource, Value) {
    let mut object = Value::default();
    object.set_meta("name", "default");
    object.set_meta("namespace", namespace);
    typed(object, "serviceaccounts", "", "v1", "ServiceAccount")
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
