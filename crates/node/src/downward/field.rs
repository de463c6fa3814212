//! Fields of a pod (`fieldRef`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use sampan_model::name::is_qualified_name;

use super::quote;

/// What a node knows of a pod that the pod's object may not say yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// The pod's addresses, the first one first.
    pub pod_ips: Vec<IpAddr>,
    /// The node's addresses, the first one first.
    pub host_ips: Vec<IpAddr>,
}

/// Why a field cannot be told. The API server refuses such pods; a static pod or a pod of another server's may still have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such field.
    #[error("unsupported fieldPath: {0}")]
    Unsupported(String),
    /// The field is no map.
    #[error("fieldPath \"{0}\" does not support subscript")]
    NoMap(String),
    /// The key is no key.
    #[error("invalid key subscript in {path}: {reason}")]
    Key {
        /// The whole path.
        path: String,
        /// What is wrong with the key.
        reason: String,
    },
}

/// The value of the field at `path`. A key that the pod does not have is empty.
pub fn field(pod: &Pod, facts: &PodFacts, path: &str) -> Result<String, Error> {
    if let Some((base, key)) = subscript(path) {
        return keyed(pod, path, base, key);
    }
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "metadata.labels" => format_map(meta.labels.as_ref()),
        "metadata.annotations" => format_map(meta.annotations.as_ref()),
        "spec.nodeName" => text(spec.and_then(|s| s.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|s| s.service_account_name.as_ref())),
        "status.podIP" => facts.pod_ips.first().map(IpAddr::to_string).unwrap_or_default(),
        "status.podIPs" => joined(&facts.pod_ips),
        "status.hostIP" => facts.host_ips.first().map(IpAddr::to_string).unwrap_or_default(),
        "status.hostIPs" => joined(&facts.host_ips),
        _ => return Err(Error::Unsupported(path.to_owned())),
    })
}

/// A map as a file: a line `key="value"` an entry, by key, without an end to the last line.
pub fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let mut text = String::new();
    for (key, value) in map.into_iter().flatten() {
        let separator = if text.is_empty() { "" } else { "\n" };
        write!(text, "{separator}{key}={}", quote(value)).expect("a string can be written to");
    }
    text
}

fn keyed(pod: &Pod, path: &str, base: &str, key: &str) -> Result<String, Error> {
    let (map, checked) = match base {
        "metadata.labels" => (&pod.metadata.labels, key.to_owned()),
        // Annotations may be named with capital letters.
        "metadata.annotations" => (&pod.metadata.annotations, key.to_lowercase()),
        _ => return Err(Error::NoMap(path.to_owned())),
    };
    let complaints = is_qualified_name(&checked);
    if !complaints.is_empty() {
        return Err(Error::Key { path: path.to_owned(), reason: complaints.join(";") });
    }
    Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default())
}

/// `metadata.labels['key']` as `metadata.labels` and `key`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(base, _)| !base.is_empty())
}

fn joined(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "downward", "namespace": "default", "uid": "u-1",
                "labels": {"foo": "bar", "app": "web"},
                "annotations": {"key1": "value1", "key2": "multi\nline\nvalue\n", "Example.com/Up": "yes"},
            },
            "spec": {"nodeName": "node-2", "serviceAccountName": "default", "containers": []},
        }))
        .expect("a pod")
    }

    fn facts() -> PodFacts {
        let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().expect("an address")).collect();
        PodFacts { pod_ips: ips(&["10.1.0.7", "fd00::7"]), host_ips: ips(&["192.0.2.4", "fd00::4"]) }
    }

    #[test]
    fn every_field_of_the_downward_api_has_its_value() {
        for (path, value) in [
            ("metadata.name", "downward"),
            ("metadata.namespace", "default"),
            ("metadata.uid", "u-1"),
            ("metadata.labels", "app=\"web\"\nfoo=\"bar\""),
            (
                "metadata.annotations",
                "Example.com/Up=\"yes\"\nkey1=\"value1\"\nkey2=\"multi\\nline\\nvalue\\n\"",
            ),
            ("metadata.labels['foo']", "bar"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['key2']", "multi\nline\nvalue\n"),
            ("metadata.annotations['Example.com/Up']", "yes"),
            ("spec.nodeName", "node-2"),
            ("spec.serviceAccountName", "default"),
            ("status.podIP", "10.1.0.7"),
            ("status.podIPs", "10.1.0.7,fd00::7"),
            ("status.hostIP", "192.0.2.4"),
            ("status.hostIPs", "192.0.2.4,fd00::4"),
        ] {
            assert_eq!(field(&pod(), &facts(), path).as_deref(), Ok(value), "{path}");
        }
    }

    #[test]
    fn what_is_no_field_is_an_error_that_names_it() {
        for (path, message) in [
            ("metadata.generation", "unsupported fieldPath: metadata.generation"),
            ("spec.nodeName['x']", "fieldPath \"spec.nodeName['x']\" does not support subscript"),
        ] {
            let error = field(&pod(), &facts(), path).expect_err(path);
            assert_eq!(error.to_string(), message);
        }
        let error = field(&pod(), &facts(), "metadata.labels['a b']").expect_err("no key");
        assert!(
            error.to_string().starts_with("invalid key subscript in metadata.labels['a b']: "),
            "{error}"
        );
    }

    #[test]
    fn a_pod_without_anything_has_empty_fields() {
        for path in [
            "metadata.labels",
            "metadata.annotations['a']",
            "status.podIP",
            "status.hostIPs",
            "spec.nodeName",
        ] {
            assert_eq!(field(&Pod::default(), &PodFacts::default(), path).as_deref(), Ok(""), "{path}");
        }
    }
}
