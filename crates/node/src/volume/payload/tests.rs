use serde_json::{Value, json};

use super::*;

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn inputs() -> Inputs {
    let map: ConfigMap =
        from(json!({"metadata": {"name": "map"}, "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AP8="}}));
    let secret: Secret = from(json!({"metadata": {"name": "sec"}, "data": {"key": "c2VjcmV0"}}));
    Inputs {
        config_maps: [("map".to_owned(), Ok(map)), ("slow".to_owned(), Err("too slow".to_owned()))].into(),
        secrets: [("sec".to_owned(), Ok(secret))].into(),
        tokens: [((None, Some(3607)), Ok("jwt".to_owned()))].into(),
        allocatable: BTreeMap::new(),
    }
}

fn pod(spec: &Value) -> Pod {
    let mut whole = json!({"containers": [{"name": "main", "resources": {
        "requests": {"cpu": "15m", "memory": "500Ki"}, "limits": {"cpu": "100m", "memory": "8Mi"}}}]});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    from(json!({
        "metadata": {"name": "downward", "namespace": "default", "labels": {"foo": "bar"},
            "annotations": {"key1": "value1", "key2": "multi\nline\nvalue\n"}},
        "spec": whole,
    }))
}

fn made(volume: Value, spec: &Value) -> Result<Vec<(String, String, u32)>, String> {
    let mut volume = volume;
    volume["name"] = "v".into();
    let files = payload(&from(volume), &pod(spec), &inputs()).expect("a volume of objects")?;
    let show = |file: &File| String::from_utf8_lossy(&file.data).into_owned();
    Ok(files.iter().map(|(path, file)| (path.clone(), show(file), file.mode)).collect())
}

#[test]
fn volumes_contain_what_their_sources_say() {
    type Files<'a> = &'a [(&'a str, &'a str, u32)];
    let rows: &[(&str, Value, Result<Files<'_>, &str>)] = &[
        (
            "a whole ConfigMap",
            json!({"configMap": {"name": "map", "defaultMode": 420}}),
            Ok(&[("a", "1", 0o644), ("b", "2", 0o644), ("c", "\0\u{fffd}", 0o644)]),
        ),
        (
            "keys at paths, with modes",
            json!({"configMap": {"name": "map", "defaultMode": 256, "items": [
                {"key": "a", "path": "x/./y//z"}, {"key": "b", "path": "b", "mode": 511}]}}),
            Ok(&[("b", "2", 0o777), ("x/y/z", "1", 0o400)]),
        ),
        ("no such ConfigMap", json!({"configMap": {"name": "none"}}), Err("configmap \"none\" not found")),
        ("no such optional ConfigMap", json!({"configMap": {"name": "none", "optional": true}}), Ok(&[])),
        ("one that cannot be had", json!({"configMap": {"name": "slow", "optional": true}}), Err("too slow")),
        (
            "no such key",
            json!({"configMap": {"name": "map", "items": [{"key": "x", "path": "x"}]}}),
            Err("configmap references non-existent config key: x"),
        ),
        (
            "no such optional key",
            json!({"configMap": {"name": "map", "optional": true, "items": [
                {"key": "x", "path": "x"}, {"key": "a", "path": "a"}]}}),
            Ok(&[("a", "1", 0o644)]),
        ),
        (
            "a Secret",
            json!({"secret": {"secretName": "sec", "defaultMode": 256}}),
            Ok(&[("key", "secret", 0o400)]),
        ),
        ("no such Secret", json!({"secret": {"secretName": "none"}}), Err("secret \"none\" not found")),
        (
            "no such key of a Secret",
            json!({"secret": {"secretName": "sec", "items": [{"key": "x", "path": "x"}]}}),
            Err("references non-existent secret key: x"),
        ),
        (
            "several sources; the later holds",
            json!({"projected": {"defaultMode": 420, "sources": [
                {"configMap": {"name": "map", "items": [{"key": "a", "path": "key"}, {"key": "b", "path": "d/b"}]}},
                {"secret": {"name": "sec", "items": [{"key": "key", "path": "key", "mode": 256}]}},
                {"downwardAPI": {"items": [{"path": "d/name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]}}),
            Ok(&[
                ("d/b", "2", 0o644),
                ("d/name", "downward", 0o644),
                ("key", "secret", 0o400),
                ("token", "jwt", 0o644),
            ]),
        ),
        (
            "several errors",
            json!({"projected": {"sources": [{"configMap": {"name": "none"}}, {"secret": {"name": "none"}}]}}),
            Err("[configmap \"none\" not found, secret \"none\" not found]"),
        ),
        (
            "no such container",
            json!({"downwardAPI": {"items": [{"path": "x", "resourceFieldRef":
                {"containerName": "none", "resource": "limits.cpu"}}]}}),
            Err("container none not found"),
        ),
    ];
    for (name, volume, expected) in rows {
        let made = made(volume.clone(), &json!({}));
        let made = made
            .as_ref()
            .map(|files| files.iter().map(|(p, d, m)| (p.as_str(), d.as_str(), *m)).collect::<Vec<_>>());
        assert_eq!(made.map_err(String::as_str), expected.map(<[_]>::to_vec), "{name}");
    }
}

#[test]
fn what_a_pod_tells_of_itself_has_the_sizes_that_the_kubelet_gives_it() {
    let field = |path: &str, field: &str| json!({"path": path, "fieldRef": {"fieldPath": field}});
    let resource = |path: &str, resource: &str, divisor: &str| json!({"path": path, "resourceFieldRef": {"containerName": "main", "resource": resource, "divisor": divisor}});
    let volume = json!({"downwardAPI": {"defaultMode": 420, "items": [
        field("podName", "metadata.name"), field("podNamespace", "metadata.namespace"),
        field("labels", "metadata.labels"), field("annotations", "metadata.annotations"),
        resource("containerCpuRequestMilliCores", "requests.cpu", "1m"),
        resource("containerMemoryLimitBytes", "limits.memory", "1")]}});
    let told = made(volume, &json!({})).unwrap();
    let sizes: Vec<_> = told.iter().map(|(path, data, mode)| (path.as_str(), data.len(), *mode)).collect();
    // Of the annotations, those that the pod was made with.
    let annotations = "key1=\"value1\"\nkey2=\"multi\\nline\\nvalue\\n\"";
    assert_eq!(
        sizes,
        [
            ("annotations", annotations.len(), 0o644),
            ("containerCpuRequestMilliCores", 2, 0o644),
            ("containerMemoryLimitBytes", 7, 0o644),
            ("labels", 9, 0o644),
            ("podName", 8, 0o644),
            ("podNamespace", 7, 0o644),
        ]
    );
    assert_eq!(told[0].1, annotations);
}

#[test]
fn a_token_is_for_whoever_the_containers_run_as() {
    let container = |user: Value| json!({"name": "c", "securityContext": {"runAsUser": user}});
    let rows = [
        ("nobody in particular", json!({}), 0o644, None),
        ("the pod's user", json!({"securityContext": {"runAsUser": 1000}}), 0o600, Some(1000)),
        ("the pod's group", json!({"securityContext": {"fsGroup": 2000}}), 0o600, None),
        (
            "one user of all containers",
            json!({"containers": [container(7.into()), container(7.into())]}),
            0o600,
            Some(7),
        ),
        ("two users", json!({"containers": [container(7.into()), container(8.into())]}), 0o644, None),
        (
            "another user of an init container",
            json!({"containers": [container(7.into())], "initContainers": [container(8.into())]}),
            0o644,
            None,
        ),
    ];
    let volume = json!({"name": "v", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]}});
    for (name, spec, mode, user) in rows {
        let files = payload(&from(volume.clone()), &pod(&spec), &inputs()).unwrap().unwrap();
        assert_eq!((files["token"].mode, files["token"].user), (mode, user), "{name}");
    }
}
