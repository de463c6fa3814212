//! Defaults: what they are, and that setting them twice is setting them once.

mod common;

use common::{created, rules_of, tree};
use proptest::prelude::*;
use sampan_model::Value;
use serde_json::{Value as Json, json};

const KINDS: [(&str, &str); 32] = [
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("", "Secret"),
    ("", "Service"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("networking.k8s.io", "IngressClass"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "StorageClass"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourceSlice"),
];

/// Fields that defaults look at, with values of the types that a schema would let pass.
fn field(depth: u32) -> BoxedStrategy<(String, Json)> {
    let text = prop_oneof![
        Just(String::new()),
        "[A-Z][a-z]{1,6}",
        Just("RollingUpdate".to_owned()),
        Just("Queue".to_owned())
    ];
    let leaf = prop_oneof![
        (
            "replicas|completions|parallelism|minReplicas|maxReplicas|port|terminationGracePeriodSeconds",
            0..9i64
        )
            .prop_map(|(k, v)| (k, json!(v))),
        ("type|protocol|image|name|restartPolicy|dnsPolicy|externalTrafficPolicy|clusterIP", text)
            .prop_map(|(k, v)| (k, json!(v))),
        ("suspend|hostNetwork|enableServiceLinks", any::<bool>()).prop_map(|(k, v)| (k, json!(v))),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let map =
        || prop::collection::vec(field(depth - 1), 0..5).prop_map(|f| Json::Object(f.into_iter().collect()));
    prop_oneof![
        2 => leaf,
        3 => ("spec|template|jobTemplate|strategy|updateStrategy|rollingUpdate|behavior|limited|limitResponse|queuing|livenessProbe|httpGet|hostPath|secret|matchConstraints|devices|exactly", map()),
        2 => ("containers|initContainers|volumes|ports|subsets|webhooks|rules|subjects|requests|resourceRules|endpoints", prop::collection::vec(map(), 0..3))
            .prop_map(|(k, v)| (k, json!(v))),
    ]
    .boxed()
}

proptest! {
    #[test]
    fn defaults_are_set_once(spec in prop::collection::vec(field(3), 0..6), top in prop::collection::vec(field(2), 0..3)) {
        let mut object = serde_json::Map::from_iter(top);
        object.insert("metadata".into(), json!({"name": "o"}));
        object.insert("spec".into(), Json::Object(spec.into_iter().collect()));
        let object = tree(&Json::Object(object));
        for (group, kind) in KINDS {
            let default = rules_of(group, kind).default.unwrap();
            let mut once = object.clone();
            default(&mut once);
            let mut twice = once.clone();
            default(&mut twice);
            prop_assert_eq!(&once, &twice, "{}", kind);
        }
    }

    #[test]
    fn nothing_makes_validation_panic(spec in prop::collection::vec(field(3), 0..6)) {
        let object = json!({"metadata": {"name": "o", "uid": "u"}, "spec": Json::Object(spec.into_iter().collect())});
        for (group, kind) in KINDS {
            let rules = rules_of(group, kind);
            let object = created(group, kind, &object);
            if let Some(validate) = rules.validate {
                validate(&object);
            }
            if let Some(validate) = rules.validate_update {
                validate(&object, &object);
            }
            if let Some(warnings) = rules.warnings {
                warnings(&object, None);
            }
        }
    }
}

type Row = (&'static str, &'static str, &'static str, Json, &'static [&'static str], Json);

#[test]
fn single_defaults() {
    let pod = json!({"spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i:1",
        "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}]}});
    let rows: [Row; 9] = [
        ("pods restart", "", "Pod", pod.clone(), &["spec", "restartPolicy"], json!("Always")),
        (
            "pods have half a minute to end",
            "",
            "Pod",
            pod.clone(),
            &["spec", "terminationGracePeriodSeconds"],
            json!(30),
        ),
        ("a new pod is pending", "", "Pod", pod, &["status", "phase"], json!("Pending")),
        ("secrets are opaque", "", "Secret", json!({}), &["type"], json!("Opaque")),
        (
            "texts of secrets are encoded",
            "",
            "Secret",
            json!({"stringData": {"k": "v"}}),
            &["data"],
            json!({"k": "dg=="}),
        ),
        (
            "a network policy with rules for what goes out is for both directions",
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"egress": [{}]}}),
            &["spec", "policyTypes"],
            json!(["Ingress", "Egress"]),
        ),
        (
            "an autoscaler looks at the processor",
            "autoscaling",
            "HorizontalPodAutoscaler",
            json!({"apiVersion": "autoscaling/v2", "spec": {"maxReplicas": 3}}),
            &["spec", "metrics"],
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
        ),
        (
            "a level deals eight queues of sixty-four",
            "flowcontrol.apiserver.k8s.io",
            "PriorityLevelConfiguration",
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}}),
            &["spec", "limited", "limitResponse", "queuing"],
            json!({"handSize": 8, "queues": 64, "queueLengthLimit": 50}),
        ),
        (
            "a device is asked for once",
            "resource.k8s.io",
            "ResourceClaim",
            json!({"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}}),
            &["spec", "devices", "requests"],
            json!([{"name": "r", "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}}]),
        ),
    ];
    for (name, group, kind, object, path, expected) in rows {
        let made: Value = created(group, kind, &object);
        assert_eq!(made.at(path), Some(&tree(&expected)), "{name}");
    }
}
