//! What the documents say, and that nothing they refer to is missing.

use std::sync::LazyLock;

use sampan_model::{GroupVersion, GroupVersionKind, Value};

use super::*;
use crate::schemas::{CORE, parse, value};
use crate::types::SchemaSet;

struct Words;

impl Descriptions for Words {
    fn of(&self, type_name: &str, field: Option<&str>) -> Option<&str> {
        match (type_name, field) {
            ("io.k8s.api.core.v1.Pod", None) => Some("A pod."),
            ("io.k8s.api.core.v1.Pod", Some("spec")) => Some("What it runs."),
            _ => None,
        }
    }

    fn values(&self, type_name: &str, field: &str) -> &[Value] {
        static VALUES: LazyLock<[Value; 2]> = LazyLock::new(|| ["One".into(), "Two".into()]);
        let last = type_name.rsplit('.').next().unwrap();
        match (last, field) {
            // A text with a default, a list, a map.
            ("ContainerPort", "protocol") | ("Container", "args") | ("PodSpec", "nodeSelector") => &*VALUES,
            _ => &[],
        }
    }
}

fn verbs(text: &str) -> Vec<Str> {
    text.split(' ').map(Into::into).collect()
}

fn resources() -> Vec<PublishedResource> {
    let all = "create delete deletecollection get list patch update watch";
    let pods = PublishedResource {
        version: "v1".into(),
        kind: "Pod".into(),
        plural: "pods".into(),
        namespaced: true,
        verbs: verbs(all),
        type_name: "io.k8s.api.core.v1.Pod".into(),
        strategic_merge: true,
        protobuf: true,
        delete_returns_object: true,
        subresources: vec![
            PublishedSubresource {
                name: "status".into(),
                kind: GroupVersionKind::new("", "v1", "Pod"),
                type_name: "io.k8s.api.core.v1.Pod".into(),
                verbs: verbs("get patch update"),
                ..PublishedSubresource::default()
            },
            PublishedSubresource {
                name: "proxy".into(),
                kind: GroupVersionKind::new("", "v1", "PodProxyOptions"),
                connect: verbs("GET POST"),
                with_path: true,
                ..PublishedSubresource::default()
            },
            PublishedSubresource {
                name: "log".into(),
                kind: GroupVersionKind::new("", "v1", "Pod"),
                verbs: verbs("get"),
                ..PublishedSubresource::default()
            },
        ],
        ..PublishedResource::default()
    };
    let deployments = PublishedResource {
        group: "apps".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
        type_name: "io.k8s.api.apps.v1.Deployment".into(),
        subresources: vec![PublishedSubresource {
            name: "scale".into(),
            kind: GroupVersionKind::new("autoscaling", "v1", "Scale"),
            type_name: "io.k8s.api.autoscaling.v1.Scale".into(),
            verbs: verbs("get patch update"),
            ..PublishedSubresource::default()
        }],
        ..pods.clone()
    };
    let widgets = PublishedResource {
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
        verbs: verbs(all),
        type_name: "com.example.v1.Widget".into(),
        raw_schema: Some(value(
            r#"{"type":"object","properties":{"spec":{"type":"object","properties":{"color":{"type":"string","enum":["red"],"default":"red"},"size":{"type":"integer","minimum":1,"nullable":true}}}}}"#,
        )),
        ..PublishedResource::default()
    };
    vec![pods, deployments, widgets]
}

fn document(make: impl Fn(&Published<'_>) -> Vec<u8>) -> Value {
    let set = parse(CORE, SchemaSet::new());
    let resources = resources();
    let published = Published { set: &set, resources: &resources, descriptions: &Words, version: "v1.36.2" };
    serde_json::from_slice(&make(&published)).unwrap()
}

fn core() -> Value {
    document(|p| v3(p, &GroupVersion::new("", "v1")))
}

#[test]
fn operations_have_the_names_that_clients_are_generated_from() {
    let documents = [core(), document(v2)];
    let rows = [
        ("/api/v1/", "get", "getCoreV1APIResources", ""),
        ("/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "list"),
        ("/api/v1/namespaces/{namespace}/pods", "get", "listCoreV1NamespacedPod", "list"),
        ("/api/v1/namespaces/{namespace}/pods", "post", "createCoreV1NamespacedPod", "post"),
        (
            "/api/v1/namespaces/{namespace}/pods",
            "delete",
            "deleteCoreV1CollectionNamespacedPod",
            "deletecollection",
        ),
        ("/api/v1/namespaces/{namespace}/pods/{name}", "get", "readCoreV1NamespacedPod", "get"),
        ("/api/v1/namespaces/{namespace}/pods/{name}", "put", "replaceCoreV1NamespacedPod", "put"),
        ("/api/v1/namespaces/{namespace}/pods/{name}", "patch", "patchCoreV1NamespacedPod", "patch"),
        ("/api/v1/namespaces/{namespace}/pods/{name}", "delete", "deleteCoreV1NamespacedPod", "delete"),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/status",
            "patch",
            "patchCoreV1NamespacedPodStatus",
            "patch",
        ),
        ("/api/v1/namespaces/{namespace}/pods/{name}/log", "get", "readCoreV1NamespacedPodLog", "get"),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/proxy",
            "get",
            "connectCoreV1GetNamespacedPodProxy",
            "connect",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/proxy/{path}",
            "post",
            "connectCoreV1PostNamespacedPodProxyWithPath",
            "connect",
        ),
        ("/api/v1/watch/namespaces/{namespace}/pods", "get", "watchCoreV1NamespacedPodList", "watchlist"),
        ("/api/v1/watch/namespaces/{namespace}/pods/{name}", "get", "watchCoreV1NamespacedPod", "watch"),
        ("/api/v1/watch/pods", "get", "watchCoreV1PodListForAllNamespaces", "watchlist"),
        (
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            "put",
            "replaceAppsV1NamespacedDeploymentScale",
            "put",
        ),
        ("/apis/example.com/v1/widgets/{name}", "get", "readExampleComV1Widget", "get"),
    ];
    for (path, method, id, action) in rows {
        for document in &documents {
            if path.starts_with("/apis") && document.get("swagger").is_none() {
                continue;
            }
            let operation =
                document.at(&["paths", path, method]).unwrap_or_else(|| panic!("{method} {path}"));
            assert_eq!(operation.str_at(&["operationId"]), id, "{path}");
            assert_eq!(operation.str_at(&["x-kubernetes-action"]), action, "{path}");
        }
    }
}

#[test]
fn v3_schemas_state_defaults_beside_references() {
    let document = core();
    let schema = |name: &str| {
        document.at(&["components", "schemas", name]).unwrap_or_else(|| panic!("{name}")).clone()
    };
    let pod = schema("io.k8s.api.core.v1.Pod");
    assert_eq!(
        pod.at(&["properties", "spec"]).unwrap().to_json(),
        r##"{"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.PodSpec"}],"default":{},"description":"What it runs."}"##
    );
    assert_eq!(
        pod.get("x-kubernetes-group-version-kind").unwrap().to_json(),
        r#"[{"group":"","kind":"Pod","version":"v1"}]"#
    );
    assert_eq!(pod.str_at(&["description"]), "A pod.");
    let spec = schema("io.k8s.api.core.v1.PodSpec");
    assert_eq!(
        spec.at(&["properties", "containers"]).unwrap().to_json(),
        r##"{"items":{"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.Container"}],"default":{}},"type":"array","x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"name","x-kubernetes-patch-strategy":"merge"}"##
    );
    assert_eq!(
        spec.at(&["properties", "nodeSelector"]).unwrap().to_json(),
        r#"{"additionalProperties":{"default":"","enum":["One","Two"],"type":"string"},"type":"object","x-kubernetes-map-type":"atomic"}"#
    );
    let port = schema("io.k8s.api.core.v1.ContainerPort");
    assert_eq!(
        port.at(&["properties", "protocol"]).unwrap().to_json(),
        r#"{"default":"TCP","enum":["One","Two"],"type":"string"}"#
    );
    assert_eq!(
        port.at(&["properties", "containerPort"]).unwrap().to_json(),
        r#"{"default":0,"format":"int32","type":"integer"}"#
    );
    assert_eq!(
        schema("io.k8s.apimachinery.pkg.util.intstr.IntOrString").to_json(),
        r#"{"format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]}"#
    );
    assert_eq!(schema("io.k8s.api.core.v1.PodList").get("required").unwrap().to_json(), r#"["items"]"#);
    assert!(document.at(&["components", "schemas", "io.k8s.api.apps.v1.Deployment"]).is_none());
}

#[test]
fn items_of_a_kinds_list_have_no_list_type() {
    let list = "io.k8s.api.core.v1.PodList items [io.k8s.api.core.v1.Pod]!";
    let set = parse(&format!("{CORE}\n{list}"), SchemaSet::new());
    let resources = resources();
    let published = Published { set: &set, resources: &resources, descriptions: &(), version: "" };
    let document: Value = serde_json::from_slice(&v2(&published)).unwrap();
    let items =
        |name: &str, field: &str| document.at(&["definitions", name, "properties", field]).unwrap().to_json();
    assert_eq!(
        items("io.k8s.api.core.v1.PodList", "items"),
        r##"{"items":{"$ref":"#/definitions/io.k8s.api.core.v1.Pod"},"type":"array"}"##
    );
    assert!(
        items("io.k8s.api.core.v1.PodSpec", "tolerations").contains(r#""x-kubernetes-list-type":"atomic""#)
    );
}

#[test]
fn every_reference_leads_to_a_definition() {
    fn visit(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| visit(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
            _ => {}
        }
    }
    for (document, at) in [(core(), "components/schemas"), (document(v2), "definitions")] {
        let mut found = Vec::new();
        visit(&document, &mut found);
        assert!(found.len() > 50);
        let at: Vec<&str> = at.split('/').collect();
        for reference in found {
            let name = reference.rsplit('/').next().unwrap();
            assert!(document.at(&at).unwrap().get(name).is_some(), "{reference}");
        }
    }
}

#[test]
fn v2_puts_extensions_beside_references() {
    let document = document(v2);
    assert_eq!(
        document
            .at(&["definitions", "io.k8s.api.apps.v1.DeploymentSpec", "properties", "strategy"])
            .unwrap()
            .to_json(),
        r##"{"$ref":"#/definitions/io.k8s.api.apps.v1.Strategy","x-kubernetes-patch-strategy":"retainKeys"}"##
    );
    assert_eq!(
        document
            .at(&["paths", "/api/v1/namespaces/{namespace}/pods/{name}", "patch", "consumes"])
            .unwrap()
            .to_json(),
        r#"["application/json-patch+json","application/merge-patch+json","application/strategic-merge-patch+json","application/apply-patch+yaml"]"#
    );
    assert_eq!(
        document.at(&["definitions", "com.example.v1.Widget", "properties", "spec"]).unwrap().to_json(),
        r#"{"properties":{"color":{"enum":["red"],"type":"string"},"size":{"minimum":1}},"type":"object"}"#
    );
    assert_eq!(document.str_at(&["info", "title"]), "Kubernetes");
}

#[test]
fn values_of_enums_stand_with_the_text_or_with_the_elements() {
    let v3 = |name: &str, field: &str| {
        let path = ["components", "schemas", name, "properties", field];
        core().at(&path).unwrap().to_json()
    };
    let v2 = |name: &str, field: &str| {
        let path = ["definitions", name, "properties", field];
        document(v2).at(&path).unwrap().to_json()
    };
    let rows = [
        (
            "io.k8s.api.core.v1.ContainerPort",
            "protocol",
            r#"{"default":"TCP","enum":["One","Two"],"type":"string"}"#,
            r#"{"enum":["One","Two"],"type":"string"}"#,
        ),
        (
            "io.k8s.api.core.v1.Container",
            "args",
            r#"{"items":{"default":"","enum":["One","Two"],"type":"string"},"type":"array","x-kubernetes-list-type":"atomic"}"#,
            r#"{"items":{"enum":["One","Two"],"type":"string"},"type":"array","x-kubernetes-list-type":"atomic"}"#,
        ),
        (
            "io.k8s.api.core.v1.PodSpec",
            "nodeSelector",
            r#"{"additionalProperties":{"default":"","enum":["One","Two"],"type":"string"},"type":"object","x-kubernetes-map-type":"atomic"}"#,
            r#"{"additionalProperties":{"enum":["One","Two"],"type":"string"},"type":"object","x-kubernetes-map-type":"atomic"}"#,
        ),
    ];
    for (name, field, in_v3, in_v2) in rows {
        assert_eq!(v3(name, field), in_v3, "{name}.{field}");
        assert_eq!(v2(name, field), in_v2, "{name}.{field}");
    }
}

#[test]
fn custom_resources_are_published_as_they_were_written() {
    let document = document(|p| v3(p, &GroupVersion::new("example.com", "v1")));
    let widget = document.at(&["components", "schemas", "com.example.v1.Widget"]).unwrap();
    assert_eq!(
        widget.at(&["properties", "spec"]).unwrap().to_json(),
        r#"{"properties":{"color":{"default":"red","enum":["red"],"type":"string"},"size":{"minimum":1,"nullable":true,"type":"integer"}},"type":"object"}"#
    );
    assert!(widget.at(&["properties", "metadata", "allOf"]).is_some());
}

#[test]
fn discovery_has_documents_of_its_own() {
    for (path, id) in [
        ("api", "getCoreAPIVersions"),
        ("apis", "getAPIVersions"),
        ("apis/rbac.authorization.k8s.io", "getRbacAuthorizationAPIGroup"),
        ("version", "getCodeVersion"),
    ] {
        let document = document(|p| v3_discovery(p, path).unwrap());
        let paths = document.get("paths").and_then(Value::as_object).unwrap();
        assert_eq!(paths.values().next().unwrap().str_at(&["get", "operationId"]), id);
    }
    let set = SchemaSet::new();
    let published = Published { set: &set, resources: &[], descriptions: &(), version: "" };
    assert!(v3_discovery(&published, "nothing").is_none());
}

/// The fields of a message: number and bytes (of a varint or a double, its value).
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let len = match key & 7 {
            0 => {
                let value = varint(&mut bytes);
                out.push((key >> 3, value.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(len);
        out.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    out
}

fn field(bytes: &[u8], number: u64) -> Vec<u8> {
    fields(bytes).into_iter().find(|(n, _)| *n == number).map(|(_, value)| value).unwrap_or_default()
}

/// The value of a name in a repeated `{ name, value }`.
fn entry(bytes: &[u8], number: u64, name: &str) -> Vec<u8> {
    fields(bytes)
        .into_iter()
        .filter(|(n, _)| *n == number)
        .find(|(_, entry)| field(entry, 1) == name.as_bytes())
        .map_or_else(|| panic!("no {name}"), |(_, value)| field(&value, 2))
}

#[test]
fn the_protobuf_form_holds_the_same_document() {
    let set = parse(CORE, SchemaSet::new());
    let resources = resources();
    let published = Published { set: &set, resources: &resources, descriptions: &Words, version: "v1.36.2" };
    let bytes = v2_protobuf(&published);
    assert_eq!(field(&bytes, 1), b"2.0");
    assert_eq!(field(&field(&bytes, 2), 1), b"Kubernetes");
    let get = field(&entry(&field(&bytes, 8), 2, "/api/v1/namespaces/{namespace}/pods/{name}"), 2);
    assert_eq!(field(&get, 5), b"readCoreV1NamespacedPod");
    assert_eq!(field(&entry(&get, 13, "x-kubernetes-action"), 2), br#""get""#);
    let pod = entry(&field(&bytes, 9), 1, "io.k8s.api.core.v1.Pod");
    assert_eq!(field(&pod, 4), b"A pod.");
    assert_eq!(
        field(&entry(&pod, 31, "x-kubernetes-group-version-kind"), 2),
        br#"[{"group":"","kind":"Pod","version":"v1"}]"#
    );
    assert_eq!(field(&entry(&field(&pod, 25), 1, "spec"), 1), b"#/definitions/io.k8s.api.core.v1.PodSpec");
    let property = |name: &str, of: &str| {
        let schema = entry(&field(&bytes, 9), 1, &format!("io.k8s.api.core.v1.{name}"));
        entry(&field(&schema, 25), 1, of)
    };
    let enum_values = |schema: &[u8]| -> Vec<String> {
        let any = fields(schema).into_iter().filter(|(number, _)| *number == 20);
        any.map(|(_, value)| String::from_utf8(field(&value, 2)).unwrap()).collect()
    };
    let want = [r#""One""#, r#""Two""#];
    assert_eq!(enum_values(&property("ContainerPort", "protocol")), want);
    assert_eq!(
        enum_values(&field(&field(&property("Container", "args"), 23), 1)),
        want,
        "elements of a list"
    );
    assert_eq!(enum_values(&field(&field(&property("PodSpec", "nodeSelector"), 21), 1)), want, "of a map");
}
