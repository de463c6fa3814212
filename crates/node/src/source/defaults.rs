//! What the API server would have set in a pod: a static pod runs before any API server has seen it. Pure.

use serde_json::{Map, Value, json};

/// Sets what the manifest leaves out, as `core/v1` defaults a Pod.
pub(super) fn apply(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for (name, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("enableServiceLinks", json!(true)),
        ("terminationGracePeriodSeconds", json!(30)),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        set(spec, name, value);
    }
    let on_host = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    for list in ["initContainers", "containers"] {
        each(spec, list, |container| of_container(container, on_host));
    }
    each(spec, "volumes", of_volume);
}

fn of_container(container: &mut Map<String, Value>, on_host: bool) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let (repository, digest) = image.split_once('@').unwrap_or((image, ""));
    let tag = repository.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let newest = digest.is_empty() && tag.is_none_or(|tag| tag == "latest");
    set(container, "imagePullPolicy", json!(if newest { "Always" } else { "IfNotPresent" }));
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    set(container, "resources", json!({}));
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut)
        && let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned()
    {
        set(resources, "requests", json!({}));
        if let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) {
            limits.into_iter().for_each(|(name, amount)| set(requests, &name, amount));
        }
    }
    each(container, "ports", |port| {
        set(port, "protocol", json!("TCP"));
        if on_host && let Some(number) = port.get("containerPort").cloned() {
            set(port, "hostPort", number);
        }
    });
    each(container, "env", |variable| {
        if let Some(source) = variable.get_mut("valueFrom") {
            of_field(source);
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) else { continue };
        for (name, value) in
            [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
        {
            set(probe, name, json!(value));
        }
        of_handler(probe);
    }
    let lifecycle = container.get_mut("lifecycle").and_then(Value::as_object_mut);
    for hook in lifecycle.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        of_handler(hook);
    }
}

fn of_handler(handler: &mut Map<String, Value>) {
    if let Some(get) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        set(get, "path", json!("/"));
        set(get, "scheme", json!("HTTP"));
    }
    if let Some(grpc) = handler.get_mut("grpc").and_then(Value::as_object_mut) {
        set(grpc, "service", json!(""));
    }
}

fn of_volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|name| name == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    if let Some(path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        set(path, "type", json!(""));
    }
    for kind in ["configMap", "secret", "downwardAPI", "projected"] {
        let Some(source) = volume.get_mut(kind).and_then(Value::as_object_mut) else { continue };
        set(source, "defaultMode", json!(0o644));
        each(source, "items", of_item);
        each(source, "sources", |part| {
            if let Some(fields) = part.get_mut("downwardAPI").and_then(Value::as_object_mut) {
                each(fields, "items", of_item);
            }
            if let Some(token) = part.get_mut("serviceAccountToken").and_then(Value::as_object_mut) {
                set(token, "expirationSeconds", json!(3600));
            }
        });
    }
}

fn of_item(item: &mut Map<String, Value>) {
    if let Some(field) = item.get_mut("fieldRef").and_then(Value::as_object_mut) {
        set(field, "apiVersion", json!("v1"));
    }
}

fn of_field(source: &mut Value) {
    if let Some(source) = source.as_object_mut() {
        of_item(source);
    }
}

/// Sets what is not there. `null` is what is not there, too.
fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    match object.get(name) {
        None | Some(Value::Null) => {
            object.insert(name.to_owned(), value);
        }
        Some(_) => {}
    }
}

fn each(object: &mut Map<String, Value>, list: &str, mut act: impl FnMut(&mut Map<String, Value>)) {
    let items = object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut).for_each(&mut act);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_leaves_out_is_set_as_the_api_server_sets_it() {
        let mut pod = json!({"spec": {"dnsPolicy": "Default",
            "containers": [{"name": "c", "image": "a/b:1",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
                "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 3}}],
            "volumes": [{"name": "v"}, {"name": "m", "configMap": {"name": "m"}}]}});
        apply(&mut pod);
        assert_eq!(
            pod,
            json!({"spec": {"dnsPolicy": "Default", "restartPolicy": "Always", "enableServiceLinks": true,
                "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler", "securityContext": {},
                "containers": [{"name": "c", "image": "a/b:1", "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "periodSeconds": 3,
                        "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "m", "configMap": {"name": "m", "defaultMode": 420}}]}})
        );
    }

    #[test]
    fn the_newest_image_is_pulled_anew() {
        let rows = [
            ("busybox", "Always"),
            ("host:5000/busybox", "Always"),
            ("busybox:latest", "Always"),
            ("busybox:1", "IfNotPresent"),
            ("busybox@sha256:0", "IfNotPresent"),
        ];
        for (image, policy) in rows {
            let mut pod = json!({"spec": {"containers": [{"image": image}]}});
            apply(&mut pod);
            assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
        }
    }
}
