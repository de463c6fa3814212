use serde_json::{Value, json};

use super::*;

/// A container with this `env` and `envFrom` in a pod of the tutorial's, among some objects.
struct Case {
    pod: Pod,
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    files: BTreeMap<File, String>,
    services: Vec<Service>,
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of the API")
}

impl Case {
    fn new(container: Value) -> Self {
        let mut container = container;
        container["name"] = json!("main");
        container["resources"] = json!({"requests": {"cpu": "15m", "memory": "500Ki"}, "limits": {"cpu": "100m", "memory": "8Mi"}});
        let pod = typed(json!({
            "metadata": {"name": "downward", "namespace": "default"},
            "spec": {"nodeName": "node-2", "serviceAccountName": "default", "enableServiceLinks": true, "containers": [container]},
        }));
        let settings = typed(json!({"data": {"color": "blue", "a=b": "x", "with.dot": "y"}}));
        let password = typed(json!({"data": {"user": "YWRtaW4=", "odd": "/w=="}}));
        let services = vec![typed(json!({
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
        }))];
        Self {
            pod,
            config_maps: [("settings".to_owned(), settings)].into(),
            secrets: [("password".to_owned(), password)].into(),
            files: [(("shared".to_owned(), "out/env".to_owned()), "TOKEN='t-1'\n".to_owned())].into(),
            services,
        }
    }

    fn environment(&self) -> Result<Environment, Error> {
        let facts = PodFacts {
            pod_ips: vec!["10.244.0.7".parse().expect("an address")],
            host_ips: vec!["192.0.2.4".parse().expect("an address")],
        };
        let inputs = Inputs {
            pod: &self.pod,
            facts: &facts,
            allocatable: &BTreeMap::new(),
            services: &self.services,
            config_maps: &self.config_maps,
            secrets: &self.secrets,
            files: &self.files,
        };
        environment(&self.pod.spec.as_ref().expect("a spec").containers[0], inputs)
    }

    /// `NAME=VALUE`, without the variables of services.
    fn told(&self) -> Vec<String> {
        let environment = self.environment().expect("an environment");
        let own = environment.variables.iter().filter(|(name, _)| !name.starts_with("KUBERNETES_"));
        own.map(|(name, value)| format!("{name}={value}")).collect()
    }
}

#[test]
fn the_tutorials_seven_values_are_told() {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let resource = |name: &str, resource: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}});
    let case = Case::new(json!({"env": [
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("POD_IP", "status.podIP"),
        field("NODE_NAME", "spec.nodeName"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        resource("CONTAINER_CPU_REQUEST_MILLICORES", "requests.cpu", "1m"),
        resource("CONTAINER_MEMORY_LIMIT_KIBIBYTES", "limits.memory", "1Ki"),
    ]}));
    let expected = [
        "POD_NAME=downward",
        "POD_NAMESPACE=default",
        "POD_IP=10.244.0.7",
        "NODE_NAME=node-2",
        "SERVICE_ACCOUNT=default",
        "CONTAINER_CPU_REQUEST_MILLICORES=15",
        "CONTAINER_MEMORY_LIMIT_KIBIBYTES=8192",
    ];
    assert_eq!(case.told(), expected);
}

#[test]
fn values_refer_to_what_was_said_before_them() {
    let case = Case::new(json!({"env": [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(LATER)-$(KUBERNETES_SERVICE_HOST)-$$(A)"},
        {"name": "LATER", "value": "2"},
        {"name": "A", "value": "3"},
        {"name": "KUBERNETES_SERVICE_HOST", "value": "mine"},
        {"name": "EMPTY"},
    ]}));
    assert_eq!(case.told(), ["A=3", "B=1-$(LATER)-10.96.0.1-$(A)", "LATER=2", "EMPTY="]);
    let environment = case.environment().expect("an environment");
    assert!(environment.variables.contains(&("KUBERNETES_SERVICE_HOST".into(), "mine".into())));
    assert!(environment.variables.contains(&("KUBERNETES_SERVICE_PORT_HTTPS".into(), "443".into())));
}

#[test]
fn whole_objects_come_before_single_values() {
    let case = Case::new(json!({
        "envFrom": [
            {"configMapRef": {"name": "settings"}},
            {"prefix": "P_", "secretRef": {"name": "password"}},
            {"configMapRef": {"name": "none", "optional": true}},
        ],
        "env": [{"name": "color", "value": "red and $(P_user)"}],
    }));
    assert_eq!(case.told(), ["color=red and admin", "with.dot=y", "P_odd=\u{fffd}", "P_user=admin"]);
    let skipped = case.environment().expect("an environment").skipped;
    let expected = "Keys [a=b] from the EnvFrom configMap default/settings were skipped since they are considered invalid environment variable names.";
    assert_eq!(skipped, [expected]);
}

#[test]
fn single_keys_are_taken_from_objects_and_files() {
    let case = Case::new(json!({"env": [
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
        {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "password", "key": "user"}}},
        {"name": "TOKEN", "valueFrom": {"fileKeyRef": {"volumeName": "shared", "path": "out/env", "key": "TOKEN"}}},
        {"name": "NO1", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "none", "optional": true}}},
        {"name": "NO2", "valueFrom": {"secretKeyRef": {"name": "none", "key": "none", "optional": true}}},
        {"name": "NO3", "valueFrom": {"fileKeyRef": {"volumeName": "shared", "path": "none", "key": "x", "optional": true}}},
    ]}));
    assert_eq!(case.told(), ["COLOR=blue", "USER=admin", "TOKEN=t-1"]);
}

#[test]
fn what_is_not_there_is_said_in_the_kubelets_words() {
    let one = |source: Value| json!({"env": [{"name": "X", "valueFrom": source}]});
    for (container, message) in [
        (json!({"envFrom": [{"configMapRef": {"name": "none"}}]}), "configmap \"none\" not found"),
        (json!({"envFrom": [{"secretRef": {"name": "none"}}]}), "secret \"none\" not found"),
        (one(json!({"configMapKeyRef": {"name": "none", "key": "k"}})), "configmap \"none\" not found"),
        (one(json!({"secretKeyRef": {"name": "none", "key": "k"}})), "secret \"none\" not found"),
        (
            one(json!({"configMapKeyRef": {"name": "settings", "key": "k"}})),
            "couldn't find key k in ConfigMap default/settings",
        ),
        (
            one(json!({"secretKeyRef": {"name": "password", "key": "k"}})),
            "couldn't find key k in Secret default/password",
        ),
        (one(json!({"fieldRef": {"fieldPath": "spec.x"}})), "unsupported fieldPath: spec.x"),
        (
            one(json!({"resourceFieldRef": {"containerName": "no", "resource": "limits.cpu"}})),
            "container no not found",
        ),
        (
            one(json!({"fileKeyRef": {"volumeName": "shared", "path": "out/env", "key": "k"}})),
            "environment variable key \"k\" not found in file \"out/env\" of volume \"shared\"",
        ),
    ] {
        assert_eq!(Case::new(container).environment().expect_err(message).to_string(), message);
    }
}

#[test]
fn references_are_all_that_has_to_be_fetched() {
    let case = Case::new(json!({
        "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
        "env": [
            {"name": "1", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "2", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}},
            {"name": "3", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}},
            {"name": "4", "value": "5"},
        ],
    }));
    let found = references(&case.pod.spec.as_ref().expect("a spec").containers[0]);
    assert_eq!(found.config_maps, ["a".to_owned(), "c".to_owned()].into());
    assert_eq!(found.secrets, ["b".to_owned()].into());
    assert_eq!(found.files, [("v".to_owned(), "p".to_owned())].into());
}
