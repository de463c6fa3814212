//! What is wrong with new objects, in the words of the API.

mod common;

use common::{created, rules_of, sentences};
use serde_json::{Value as Json, json};

type Row = (&'static str, &'static str, &'static str, Json, &'static [&'static str]);

fn check(rows: &[Row]) {
    for (name, group, kind, object, expected) in rows {
        let validate = rules_of(group, kind).validate.unwrap();
        let found = sentences(&validate(&created(group, kind, object)));
        assert_eq!(&found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{name}");
    }
}

fn pod(spec: &Json) -> Json {
    json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})
}

#[test]
fn a_pod_with_very_many_of_everything_is_judged_without_comparing_them_in_pairs() {
    // Compared in pairs, each of these lists takes longer than all tests together.
    const MANY: usize = 40_000;
    let named = |field: &str| (0..MANY).map(|i| json!({field: format!("x{i}")})).collect::<Vec<_>>();
    let ports: Vec<_> =
        (0..MANY).map(|i| json!({"name": format!("p{i}"), "containerPort": 1 + i % 60_000})).collect();
    let mounts: Vec<_> =
        (0..MANY).map(|i| json!({"name": format!("x{i}"), "mountPath": format!("/m{i}")})).collect();
    let mut volumes = named("name");
    for volume in &mut volumes {
        volume["emptyDir"] = json!({});
    }
    let object = pod(&json!({
        "containers": [{"name": "c", "image": "i", "ports": ports, "volumeMounts": mounts}],
        "volumes": volumes,
        "schedulingGates": named("name"),
    }));
    let validate = rules_of("", "Pod").validate.unwrap();
    assert_eq!(sentences(&validate(&created("", "Pod", &object))), Vec::<String>::new());
}

#[test]
fn pods() {
    check(&[
        (
            "a pod with one container is fine",
            "",
            "Pod",
            pod(&json!({"containers": [{"name": "c", "image": "i"}]})),
            &[],
        ),
        ("a pod needs a container", "", "Pod", pod(&json!({})), &["spec.containers: Required value"]),
        (
            "two containers cannot share a name",
            "",
            "Pod",
            pod(&json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]})),
            &["spec.containers[1].name: Duplicate value: \"c\""],
        ),
        (
            "a mount needs its volume",
            "",
            "Pod",
            pod(&json!({"containers": [
                {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]})),
            &["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
        ),
        (
            "a restart policy is one of three",
            "",
            "Pod",
            pod(&json!({"restartPolicy": "Sometimes", "containers": [{"name": "c", "image": "i"}]})),
            &[
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ],
        ),
        (
            "nothing is requested beyond its limit",
            "",
            "Pod",
            pod(&json!({"containers": [{"name": "c", "image": "i", "resources":
                {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]})),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
    ]);
}

#[test]
fn workloads() {
    let template = json!({"metadata": {"labels": {"app": "other"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    check(&[
        (
            "a deployment selects the pods that it makes",
            "apps",
            "Deployment",
            json!({"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template}}),
            &[
                "spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            "an autoscaler says how far it may go, and what it scales",
            "autoscaling",
            "HorizontalPodAutoscaler",
            json!({"apiVersion": "autoscaling/v2", "spec": {"scaleTargetRef": {},
                "metrics": [{"type": "Resource"}]}}),
            &[
                "spec.maxReplicas: Required value: must be set and greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Required value",
                "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group",
                "spec.metrics[0].resource: Required value: must populate information for the given metric source",
            ],
        ),
        (
            "no more than everything can be available",
            "policy",
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": "120%"}}),
            &["spec.minAvailable: Invalid value: \"120%\": must not be greater than 100%"],
        ),
        (
            "a cron job's schedule has five fields",
            "batch",
            "CronJob",
            json!({"metadata": {"name": "c"}, "spec": {"schedule": "* *", "jobTemplate": {"spec": {"template":
                {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}),
            &["spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2: [* *]"],
        ),
    ]);
}

#[test]
fn networking() {
    check(&[
        (
            "ports and peers of a network policy are sound",
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "policyTypes": ["Sideways"], "ingress": [{
                "ports": [{"port": "web", "endPort": 5}],
                "from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}, {}]}]}}),
            &[
                "spec.ingress[0].ports[0].endPort: Invalid value: 5: may not be specified when `port` is non-numeric",
                "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.0/33\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                "spec.ingress[0].from[1]: Required value: must specify a peer",
                "spec.policyTypes[0]: Unsupported value: \"Sideways\": supported values: \"Ingress\", \"Egress\"",
            ],
        ),
        (
            "an exception lies within its block",
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [{"from": [
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16", "10.0.0.0/8"]}}]}]}}),
            &[
                "spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
                "spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
            ],
        ),
        (
            "an ingress leads somewhere",
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {}}),
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        ),
        (
            "an exact path starts at the root",
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {"rules": [{"host": "a.test", "http": {"paths": [
                {"path": "x", "pathType": "Exact", "backend": {"service": {"name": "s", "port": {"number": 80}}}},
                {"path": "/"}]}}]}}),
            &[
                "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
                "spec.rules[0].http.paths[1].pathType: Required value: pathType must be specified",
            ],
        ),
        (
            "a slice has one type of addresses, and endpoints have some",
            "discovery.k8s.io",
            "EndpointSlice",
            json!({"addressType": "IPv5", "endpoints": [{"addresses": []}]}),
            &[
                "addressType: Unsupported value: \"IPv5\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"",
                "endpoints[0].addresses: Required value: must contain at least 1 address",
            ],
        ),
    ]);
}

#[test]
fn cluster() {
    check(&[
        (
            "a role's rules are about resources",
            "rbac.authorization.k8s.io",
            "Role",
            json!({"rules": [
                {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
                {"apiGroups": [""], "resources": ["pods"]},
                {"verbs": ["get"], "resources": ["pods"]}]}),
            &[
                "rules[0].nonResourceURLs: Invalid value: [\"/metrics\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[1].verbs: Required value: verbs must contain at least one value",
                "rules[2].apiGroups: Required value: resource rules must supply at least one api group",
            ],
        ),
        (
            "the system's priorities are its own",
            "scheduling.k8s.io",
            "PriorityClass",
            json!({"metadata": {"name": "system-mine"}, "value": 1}),
            &[
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class",
            ],
        ),
        (
            "users' priorities end at a billion",
            "scheduling.k8s.io",
            "PriorityClass",
            json!({"metadata": {"name": "p"}, "value": 1_000_000_001, "preemptionPolicy": "Later"}),
            &[
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
                "preemptionPolicy: Unsupported value: \"Later\": supported values: \"PreemptLowerPriority\", \"Never\"",
            ],
        ),
        (
            "a lease lasts for a while",
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}),
            &[
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            "a claim asks for room in some way",
            "",
            "PersistentVolumeClaim",
            json!({"spec": {"resources": {"requests": {"storage": "-1"}}}}),
            &[
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Invalid value: \"-1\": must be greater than zero",
            ],
        ),
        (
            "a webhook says what it does and where it is",
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration",
            json!({"webhooks": [{"name": "short", "clientConfig": {"url": "http://x"}, "timeoutSeconds": 60,
                "rules": [{"operations": ["READ"], "apiVersions": ["v1"], "resources": ["pods"]}]}]}),
            &[
                "webhooks[0].name: Invalid value: \"short\": should be a domain with at least three segments separated by dots",
                "webhooks[0].rules[0].operations[0]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
                "webhooks[0].rules[0].apiGroups: Required value",
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "webhooks[0].timeoutSeconds: Invalid value: 60: the timeout value must be between 1 and 30 seconds",
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
    ]);
}
