//! A manifest of a static pod, in YAML or JSON: read, and made what the kubelet makes of it. Pure.

use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE, defaults};
use crate::container::PodUid;

/// Reads a manifest: `path` and `node` go into the UID, `seen` is what its annotation says.
pub(super) fn read(text: &str, path: &Path, node: &str, seen: SystemTime) -> Result<Pod, String> {
    let mut value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    if (field("apiVersion"), field("kind")) != ("v1", "Pod") {
        return Err(format!("it is no v1 Pod, but {:?} {:?}", field("apiVersion"), field("kind")));
    }
    defaults::apply(&mut value);
    let mut pod: Pod = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let Some(spec) = pod.spec.as_mut() else { return Err("it has no spec".into()) };
    let Some(name) = pod.metadata.name.clone().filter(|name| !name.is_empty()) else {
        return Err("it has no name".into());
    };
    if spec.containers.is_empty() {
        return Err("it has no containers".into());
    }
    spec.node_name = Some(node.to_owned());
    // It is not evicted for what is wrong with the node.
    let stays = Toleration {
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        ..Toleration::default()
    };
    let tolerations = spec.tolerations.get_or_insert_default();
    if !tolerations.contains(&stays) {
        tolerations.push(stays);
    }
    pod.status = None;
    let uid = match pod.metadata.uid.take().filter(|uid| !uid.is_empty()) {
        Some(given) => given,
        None => uid(&pod, path, node),
    };
    if PodUid::new(&uid).is_none() {
        return Err(format!("its UID {uid:?} may not be the name of a file"));
    }
    let meta = &mut pod.metadata;
    meta.name = Some(format!("{name}-{}", node.to_lowercase()));
    meta.namespace =
        Some(meta.namespace.take().filter(|n| !n.is_empty()).unwrap_or_else(|| "default".into()));
    let seen = Timestamp::try_from(seen).unwrap_or(Timestamp::UNIX_EPOCH);
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(CONFIG_HASH.to_owned(), uid.clone());
    annotations.insert(CONFIG_SEEN.to_owned(), seen.to_string());
    annotations.insert(CONFIG_SOURCE.to_owned(), "file".into());
    meta.uid = Some(uid);
    Ok(pod)
}

/// 32 digits, as the kubelet has them, of what the pod is, where it is from, and whose it is.
fn uid(pod: &Pod, path: &Path, node: &str) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    hash.update(format!("host:{node}"));
    hash.update(format!("file:{}", path.display()));
    hash.update(serde_json::to_vec(pod).unwrap_or_default());
    let mut uid = String::with_capacity(32);
    for byte in &hash.finalize()[..16] {
        write!(uid, "{byte:02x}").expect("a string can be written to");
    }
    uid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Pod, String> {
        read(text, Path::new("/etc/pods/a.yaml"), "Node-1", SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_manifest_becomes_a_pod_of_the_node() {
        let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c}]}";
        let pod = parse(yaml).expect("a pod");
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"c"}]}}"#;
        assert_eq!(Ok(pod.clone()), parse(json), "JSON or YAML");
        let (meta, spec) = (pod.metadata, pod.spec.expect("a spec"));
        assert_eq!((meta.name.as_deref(), meta.namespace.as_deref()), (Some("web-node-1"), Some("default")));
        let uid = meta.uid.expect("a UID");
        assert_eq!(uid.len(), 32);
        let annotations = meta.annotations.expect("annotations");
        assert_eq!((annotations[CONFIG_SOURCE].as_str(), &annotations[CONFIG_HASH]), ("file", &uid));
        assert_eq!(spec.node_name.as_deref(), Some("Node-1"));
        assert_eq!(spec.tolerations.expect("tolerations")[0].effect.as_deref(), Some("NoExecute"));
        let other = parse(&yaml.replace("name: c", "name: d")).expect("a pod");
        assert_ne!(other.metadata.uid, Some(uid), "another version is another pod");
    }

    #[test]
    fn what_is_no_pod_is_refused() {
        for (text, error) in [
            ("kind: Pod", "it is no v1 Pod, but \"\" \"Pod\""),
            ("{apiVersion: v1, kind: Pod, metadata: {name: a}}", "it has no spec"),
            ("{apiVersion: v1, kind: Pod, spec: {containers: [{name: c}]}}", "it has no name"),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}",
                "it has no containers",
            ),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: a, uid: ../x}, spec: {containers: [{name: c}]}}",
                "its UID \"../x\" may not be the name of a file",
            ),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
        assert!(parse("{").is_err());
    }
}
