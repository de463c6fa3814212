//! What may change in stored objects, and what becomes of their generation and status.

mod common;

use common::{created, rules_of, sentences, updated};
use sampan_model::Value;
use serde_json::{Value as Json, json};

type Row = (&'static str, &'static str, &'static str, Json, Json, &'static [&'static str]);

#[test]
fn fields_that_never_change() {
    let rows: &[Row] = &[
        (
            "an immutable config map keeps its data",
            "",
            "ConfigMap",
            json!({"immutable": true, "data": {"k": "1"}}),
            json!({"immutable": true, "data": {"k": "2"}}),
            &["data: Forbidden: field is immutable when `immutable` is set"],
        ),
        (
            "an immutable secret stays immutable",
            "",
            "Secret",
            json!({"immutable": true}),
            json!({}),
            &["immutable: Forbidden: field is immutable when `immutable` is set"],
        ),
        (
            "a storage class keeps its provisioner and its parameters",
            "storage.k8s.io",
            "StorageClass",
            json!({"provisioner": "example.com/d", "parameters": {"a": "1"}}),
            json!({"provisioner": "example.com/tape", "parameters": {"a": "2"}}),
            &[
                "parameters: Forbidden: updates to parameters are forbidden.",
                "provisioner: Invalid value: \"example.com/tape\": field is immutable",
            ],
        ),
        (
            "a priority stays the same",
            "scheduling.k8s.io",
            "PriorityClass",
            json!({"metadata": {"name": "p"}, "value": 1}),
            json!({"metadata": {"name": "p"}, "value": 2}),
            &["value: Forbidden: may not be changed in an update."],
        ),
        (
            "an ingress class keeps its controller",
            "networking.k8s.io",
            "IngressClass",
            json!({"spec": {"controller": "example.com/c"}}),
            json!({"spec": {"controller": "example.com/d"}}),
            &["spec.controller: Invalid value: \"example.com/d\": field is immutable"],
        ),
        (
            "a slice keeps its type; old addresses are not judged again",
            "discovery.k8s.io",
            "EndpointSlice",
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.9.0.1"]}]}),
            json!({"addressType": "IPv6", "endpoints": [{"addresses": ["10.9.0.1"]}]}),
            &["addressType: Invalid value: \"IPv6\": field is immutable"],
        ),
        (
            "a binding keeps its role",
            "rbac.authorization.k8s.io",
            "RoleBinding",
            json!({"roleRef": {"kind": "Role", "name": "a"}}),
            json!({"roleRef": {"kind": "Role", "name": "b"}}),
            &[
                "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"b\"}: cannot change roleRef",
            ],
        ),
        (
            "a runtime class keeps its handler",
            "node.k8s.io",
            "RuntimeClass",
            json!({"handler": "a"}),
            json!({"handler": "b"}),
            &["handler: Invalid value: \"b\": field is immutable"],
        ),
    ];
    for (name, group, kind, old, new, expected) in rows {
        let old = created(group, kind, old);
        let new = updated(group, kind, new, &old);
        let found = sentences(&rules_of(group, kind).validate_update.unwrap()(&new, &old));
        assert_eq!(&found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn generations() {
    let deployment = |replicas: i64, label: &str| json!({"metadata": {"labels": {"l": label}}, "spec": {"replicas": replicas}});
    let rows = [
        (
            "a new spec is a new generation",
            "apps",
            "Deployment",
            deployment(1, "a"),
            deployment(2, "a"),
            Some(2),
        ),
        ("a new label is not", "apps", "Deployment", deployment(1, "a"), deployment(1, "b"), Some(1)),
        (
            "but it is for a slice",
            "discovery.k8s.io",
            "EndpointSlice",
            json!({"metadata": {"labels": {"l": "a"}}, "addressType": "IPv4"}),
            json!({"metadata": {"labels": {"l": "b"}}, "addressType": "IPv4"}),
            Some(2),
        ),
        (
            "a config map has none",
            "",
            "ConfigMap",
            json!({"data": {"k": "1"}}),
            json!({"data": {"k": "2"}}),
            None,
        ),
        (
            "a priority class stays at its first",
            "scheduling.k8s.io",
            "PriorityClass",
            json!({"value": 1}),
            json!({"value": 1, "description": "d"}),
            Some(1),
        ),
    ];
    for (name, group, kind, old, new, expected) in rows {
        let old = created(group, kind, &old);
        let new = updated(group, kind, &new, &old);
        assert_eq!(new.at(&["metadata", "generation"]).and_then(Value::as_i64), expected, "{name}");
    }
}

#[test]
fn status_is_kept_from_writers_of_the_object() {
    for (group, kind) in [
        ("", "Node"),
        ("", "Pod"),
        ("", "Service"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("batch", "Job"),
        ("policy", "PodDisruptionBudget"),
        ("networking.k8s.io", "Ingress"),
        ("storage.k8s.io", "VolumeAttachment"),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ] {
        let object = json!({"metadata": {"name": "o", "uid": "u"}, "spec": {}, "status": {"conditions": [{"type": "T"}]}});
        let old = created(group, kind, &json!({"metadata": {"name": "o", "uid": "u"}, "spec": {}}));
        let new = updated(group, kind, &object, &old);
        assert_eq!(new.get("status"), old.get("status"), "{kind}");
        if kind != "Node" {
            let made = created(group, kind, &object);
            assert_eq!(made.at(&["status", "conditions"]), None, "{kind}");
        }
    }
}

#[test]
fn grace_of_pods() {
    let grace = rules_of("", "Pod").grace_period.unwrap();
    let bound = json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
    let unbound = json!({"spec": {"terminationGracePeriodSeconds": 30}, "status": {"phase": "Pending"}});
    let done = json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Succeeded"}});
    for (name, pod, wish, seconds) in [
        ("a running pod has what its spec grants", &bound, None, 30),
        ("or what the client wishes", &bound, Some(5), 5),
        ("an unbound pod goes at once", &unbound, None, 0),
        ("and so does one that is done", &done, Some(5), 0),
    ] {
        assert_eq!(grace(&common::tree(pod), wish), seconds, "{name}");
    }
}
