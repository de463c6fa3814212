//! For the tests of this crate: pods and nodes from JSON.

use k8s_openapi::api::core::v1;
use serde_json::{Value, json};

use crate::node::Node;
use crate::pod::PodInfo;

/// A pod; what it lacks of an identity is added, and its containers may be left out.
pub(crate) fn pod(mut object: Value) -> PodInfo {
    let mut meta = json!({"name": "p", "namespace": "default", "uid": "u"});
    if let Some(given) = object.get("metadata").and_then(Value::as_object) {
        meta.as_object_mut().expect("an object").extend(given.clone());
    }
    object["metadata"] = meta;
    if object["spec"]["containers"].is_null() {
        object["spec"]["containers"] = json!([]);
    }
    let pod: v1::Pod = serde_json::from_value(object).expect("a pod");
    PodInfo::new(&pod).expect("a pod with an identity")
}

/// A node.
pub(crate) fn node(object: Value) -> Node {
    let node: v1::Node = serde_json::from_value(object).expect("a node");
    Node::new(&node).expect("a node with a name")
}
