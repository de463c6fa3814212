//! The fields that field selectors know, kind by kind.

use sampan_apiserver::SelectableField;
use sampan_model::{Str, Value};

macro_rules! fields {
    ($($name:literal => $get:expr),* $(,)?) => {
        vec![$( SelectableField { name: Str::const_new($name), get: $get } ),*]
    };
}

fn text(object: &Value, path: &[&str]) -> Str {
    object.str_at(path).into()
}

/// A number as a selector writes it; 0 when there is none.
fn number(object: &Value, path: &[&str]) -> Str {
    object.at(path).and_then(Value::as_i64).unwrap_or(0).to_string().into()
}

/// A boolean as a selector writes it; false when there is none.
fn boolean(object: &Value, path: &[&str]) -> Str {
    Str::const_new(if object.at(path).and_then(Value::as_bool) == Some(true) { "true" } else { "false" })
}

fn pod_ip(object: &Value) -> Str {
    match object.array_at(&["status", "podIPs"]).first() {
        Some(first) => text(first, &["ip"]),
        None => text(object, &["status", "podIP"]),
    }
}

/// Who reported an event: the old field, or the new one when the old is empty.
fn source(event: &Value) -> Str {
    match event.str_at(&["source", "component"]) {
        "" => text(event, &["reportingComponent"]),
        component => component.into(),
    }
}

/// The selectable fields of a resource besides `metadata.name` and `metadata.namespace`.
///
/// The two forms of an event list theirs in the same order, since they are the same stored values.
pub(crate) fn fields(group: &str, resource: &str) -> Vec<SelectableField> {
    match (group, resource) {
        ("", "pods") => fields! {
            "spec.nodeName" => |o| text(o, &["spec", "nodeName"]),
            "spec.restartPolicy" => |o| text(o, &["spec", "restartPolicy"]),
            "spec.schedulerName" => |o| text(o, &["spec", "schedulerName"]),
            "spec.serviceAccountName" => |o| text(o, &["spec", "serviceAccountName"]),
            "spec.hostNetwork" => |o| boolean(o, &["spec", "hostNetwork"]),
            "status.phase" => |o| text(o, &["status", "phase"]),
            "status.podIP" => pod_ip,
            "status.podIPs" => pod_ip,
            "status.nominatedNodeName" => |o| text(o, &["status", "nominatedNodeName"]),
        },
        ("", "events") => fields! {
            "involvedObject.kind" => |o| text(o, &["involvedObject", "kind"]),
            "involvedObject.namespace" => |o| text(o, &["involvedObject", "namespace"]),
            "involvedObject.name" => |o| text(o, &["involvedObject", "name"]),
            "involvedObject.uid" => |o| text(o, &["involvedObject", "uid"]),
            "involvedObject.apiVersion" => |o| text(o, &["involvedObject", "apiVersion"]),
            "involvedObject.resourceVersion" => |o| text(o, &["involvedObject", "resourceVersion"]),
            "involvedObject.fieldPath" => |o| text(o, &["involvedObject", "fieldPath"]),
            "reason" => |o| text(o, &["reason"]),
            "reportingComponent" => |o| text(o, &["reportingComponent"]),
            "type" => |o| text(o, &["type"]),
            "source" => source,
        },
        ("events.k8s.io", "events") => fields! {
            "regarding.kind" => |o| text(o, &["regarding", "kind"]),
            "regarding.namespace" => |o| text(o, &["regarding", "namespace"]),
            "regarding.name" => |o| text(o, &["regarding", "name"]),
            "regarding.uid" => |o| text(o, &["regarding", "uid"]),
            "regarding.apiVersion" => |o| text(o, &["regarding", "apiVersion"]),
            "regarding.resourceVersion" => |o| text(o, &["regarding", "resourceVersion"]),
            "regarding.fieldPath" => |o| text(o, &["regarding", "fieldPath"]),
            "reason" => |o| text(o, &["reason"]),
            "reportingController" => |o| text(o, &["reportingController"]),
            "type" => |o| text(o, &["type"]),
        },
        ("", "namespaces") => fields! { "status.phase" => |o| text(o, &["status", "phase"]) },
        ("", "nodes") => fields! { "spec.unschedulable" => |o| boolean(o, &["spec", "unschedulable"]) },
        ("", "secrets") => fields! { "type" => |o| text(o, &["type"]) },
        ("", "services") => fields! {
            "spec.clusterIP" => |o| text(o, &["spec", "clusterIP"]),
            "spec.type" => |o| text(o, &["spec", "type"]),
        },
        ("", "replicationcontrollers") | ("apps", "replicasets") => fields! {
            "status.replicas" => |o| number(o, &["status", "replicas"]),
        },
        ("batch", "jobs") => fields! { "status.successful" => |o| number(o, &["status", "succeeded"]) },
        ("certificates.k8s.io", "certificatesigningrequests") => fields! {
            "spec.signerName" => |o| text(o, &["spec", "signerName"]),
        },
        ("resource.k8s.io", "resourceslices") => fields! {
            "spec.nodeName" => |o| text(o, &["spec", "nodeName"]),
            "spec.driver" => |o| text(o, &["spec", "driver"]),
        },
        _ => Vec::new(),
    }
}
