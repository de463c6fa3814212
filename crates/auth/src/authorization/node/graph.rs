//! Which objects belong to which node: those that its pods refer to, directly or through a claim and its volume.
//!
//! Upstream keeps a graph and searches paths in it. Every path there has one of three forms, so here each is a look-up:
//! object <- pod -> node; volume -> claim <- pod -> node; secret <- volume -> claim <- pod -> node.

use sampan_apiserver::mirror::View;
use sampan_model::{Str, Value};
use sampan_store::Entry;

use super::references::{self, Reference};

/// A sort of object that is subdivided among nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Account,
    Attachment,
    Claim,
    ConfigMap,
    DeviceClaim,
    Pod,
    Secret,
    Slice,
    Volume,
}

const PODS: &str = "/registry/pods/";
const VOLUMES: &str = "/registry/persistentvolumes/";
const ATTACHMENTS: &str = "/registry/storage.k8s.io/volumeattachments/";
const SLICES: &str = "/registry/resource.k8s.io/resourceslices/";

/// What the graph is made of.
pub(super) const PREFIXES: [&str; 4] = [PODS, VOLUMES, ATTACHMENTS, SLICES];

/// A pod that has a node.
#[derive(Debug, Clone)]
struct Pod {
    node: Str,
    references: std::sync::Arc<[Reference]>,
}

#[derive(Debug, Clone)]
struct Volume {
    /// Namespace and name.
    claim: (Str, Str),
    secrets: std::sync::Arc<[(Str, Str)]>,
}

/// The graph. A clone shares everything.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// By namespace/name.
    pods: imbl::HashMap<Str, Pod>,
    /// How many pods of which node refer to an object.
    used: imbl::HashMap<Reference, imbl::HashMap<Str, u32>>,
    volumes: imbl::HashMap<Str, Volume>,
    /// The volumes that need a secret.
    secrets: imbl::HashMap<(Str, Str), imbl::HashSet<Str>>,
    /// Attachments and slices, and the node of each.
    owned: imbl::HashMap<(Kind, Str), Str>,
}

impl Graph {
    /// Whether an object belongs to a node.
    pub fn belongs(&self, kind: Kind, namespace: &str, name: &str, node: &str) -> bool {
        match kind {
            Kind::Pod => {
                self.pods.get(format!("{namespace}/{name}").as_str()).is_some_and(|p| p.node == node)
            }
            Kind::Attachment | Kind::Slice => self.owned.get(&(kind, name.into())).is_some_and(|n| n == node),
            Kind::Volume => self.mounts(name, node),
            Kind::Secret => {
                let volumes = self.secrets.get(&(namespace.into(), name.into()));
                self.uses(kind, namespace, name, node)
                    || volumes.is_some_and(|volumes| volumes.iter().any(|v| self.mounts(v, node)))
            }
            _ => self.uses(kind, namespace, name, node),
        }
    }

    fn uses(&self, kind: Kind, namespace: &str, name: &str, node: &str) -> bool {
        let reference = (kind, namespace.into(), name.into());
        self.used.get(&reference).is_some_and(|nodes| nodes.contains_key(node))
    }

    /// Whether a pod of the node uses the claim that a volume is bound to.
    fn mounts(&self, volume: &str, node: &str) -> bool {
        let claim = self.volumes.get(volume).map(|v| &v.claim);
        claim.is_some_and(|(namespace, name)| self.uses(Kind::Claim, namespace, name, node))
    }

    fn put_object(&mut self, key: &str, object: &Value) {
        if let Some(name) = key.strip_prefix(PODS) {
            self.put_pod(name, object);
        } else if let Some(name) = key.strip_prefix(VOLUMES) {
            self.remove_volume(name);
            let Some(claim) = references::claim_of_volume(object) else { return };
            let secrets = references::secrets_of_volume(object, &claim.0);
            for secret in &secrets {
                self.secrets.entry(secret.clone()).or_default().insert(name.into());
            }
            self.volumes.insert(name.into(), Volume { claim, secrets: secrets.into() });
        } else if let Some(name) = key.strip_prefix(ATTACHMENTS) {
            self.own(Kind::Attachment, name, object);
        } else if let Some(name) = key.strip_prefix(SLICES) {
            self.own(Kind::Slice, name, object);
        }
    }

    fn own(&mut self, kind: Kind, name: &str, object: &Value) {
        match object.str_at(&["spec", "nodeName"]) {
            "" => self.owned.remove(&(kind, name.into())),
            node => self.owned.insert((kind, name.into()), node.into()),
        };
    }

    fn put_pod(&mut self, name: &str, object: &Value) {
        let node = object.str_at(&["spec", "nodeName"]);
        if node.is_empty() {
            return self.remove_pod(name);
        }
        let references = references::of_pod(object);
        // Most changes of a pod are of its status.
        if self.pods.get(name).is_some_and(|old| old.node == node && *old.references == *references) {
            return;
        }
        self.remove_pod(name);
        for reference in &references {
            *self.used.entry(reference.clone()).or_default().entry(node.into()).or_insert(0) += 1;
        }
        self.pods.insert(name.into(), Pod { node: node.into(), references: references.into() });
    }

    fn remove_pod(&mut self, name: &str) {
        let Some(pod) = self.pods.remove(name) else { return };
        for reference in pod.references.iter() {
            let Some(nodes) = self.used.get_mut(reference) else { continue };
            match nodes.get_mut(&pod.node) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    nodes.remove(&pod.node);
                }
            }
            if nodes.is_empty() {
                self.used.remove(reference);
            }
        }
    }

    fn remove_volume(&mut self, name: &str) {
        let Some(volume) = self.volumes.remove(name) else { return };
        for secret in volume.secrets.iter() {
            let Some(volumes) = self.secrets.get_mut(secret) else { continue };
            volumes.remove(name);
            if volumes.is_empty() {
                self.secrets.remove(secret);
            }
        }
    }
}

impl View for Graph {
    fn put(&mut self, entry: &Entry) {
        match serde_json::from_slice(&entry.value) {
            Ok(object) => self.put_object(&entry.key, &object),
            // What cannot be read belongs to nobody.
            Err(error) => {
                tracing::error!(key = %entry.key, %error, "an object cannot be read for the node authorizer");
                self.remove(&entry.key);
            }
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(name) = key.strip_prefix(PODS) {
            self.remove_pod(name);
        } else if let Some(name) = key.strip_prefix(VOLUMES) {
            self.remove_volume(name);
        } else if let Some(name) = key.strip_prefix(ATTACHMENTS) {
            self.owned.remove(&(Kind::Attachment, name.into()));
        } else if let Some(name) = key.strip_prefix(SLICES) {
            self.owned.remove(&(Kind::Slice, name.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(graph: &mut Graph, key: &str, object: &str) {
        graph.put_object(key, &serde_json::from_str(object).unwrap());
    }

    fn pod(node: &str, volumes: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"p","namespace":"n"}},"spec":{{"nodeName":"{node}","serviceAccountName":"sa","volumes":[{volumes}]}}}}"#
        )
    }

    #[test]
    fn what_a_pod_refers_to_belongs_to_its_node_for_as_long_as_it_does() {
        let mut graph = Graph::default();
        let secret = r#"{"secret":{"secretName":"s"}}"#;
        put(&mut graph, "/registry/pods/n/p", &pod("", secret));
        let has = |graph: &Graph, node: &str| graph.belongs(Kind::Secret, "n", "s", node);
        assert!(!has(&graph, "a"), "a pod without a node gives nobody anything");
        put(&mut graph, "/registry/pods/n/p", &pod("a", secret));
        put(&mut graph, "/registry/pods/n/q", &pod("a", secret));
        assert!(has(&graph, "a") && !has(&graph, "b"));
        assert!(graph.belongs(Kind::Account, "n", "sa", "a"));
        assert!(graph.belongs(Kind::Pod, "n", "p", "a"));
        assert!(!graph.belongs(Kind::ConfigMap, "n", "s", "a"), "another kind of that name");
        assert!(!graph.belongs(Kind::Secret, "m", "s", "a"), "another namespace");
        graph.remove("/registry/pods/n/p");
        assert!(has(&graph, "a"), "the other pod refers to it");
        put(&mut graph, "/registry/pods/n/q", &pod("a", ""));
        assert!(!has(&graph, "a"));
        graph.remove("/registry/pods/n/q");
        assert!(graph.used.is_empty() && graph.pods.is_empty());
    }

    #[test]
    fn a_claim_leads_to_its_volume_and_the_volumes_secrets() {
        let mut graph = Graph::default();
        let claim = r#"{"persistentVolumeClaim":{"claimName":"c"}},{"name":"e","ephemeral":{}}"#;
        put(&mut graph, "/registry/pods/n/p", &pod("a", claim));
        let volume = r#"{"spec":{"claimRef":{"namespace":"n","name":"c"},"csi":{"nodeStageSecretRef":{"namespace":"m","name":"stage"},"controllerPublishSecretRef":{"namespace":"m","name":"attach"}}}}"#;
        put(&mut graph, "/registry/persistentvolumes/v", volume);
        let rows = [
            (Kind::Claim, "n", "c", true),
            (Kind::Claim, "n", "p-e", true),
            (Kind::Volume, "", "v", true),
            (Kind::Volume, "", "w", false),
            (Kind::Secret, "m", "stage", true),
            (Kind::Secret, "m", "attach", false),
        ];
        for (kind, namespace, name, belongs) in rows {
            assert_eq!(graph.belongs(kind, namespace, name, "a"), belongs, "{kind:?} {namespace}/{name}");
            assert!(!graph.belongs(kind, namespace, name, "b"));
        }
        graph.remove("/registry/persistentvolumes/v");
        assert!(!graph.belongs(Kind::Secret, "m", "stage", "a") && graph.secrets.is_empty());
    }

    #[test]
    fn a_mirror_pod_gives_its_node_nothing() {
        let mut graph = Graph::default();
        let mirror = r#"{"metadata":{"name":"p","namespace":"n","annotations":{"kubernetes.io/config.mirror":"x"}},"spec":{"nodeName":"a","serviceAccountName":"sa"}}"#;
        put(&mut graph, "/registry/pods/n/p", mirror);
        assert!(!graph.belongs(Kind::Account, "n", "sa", "a"));
        assert!(graph.belongs(Kind::Pod, "n", "p", "a"));
    }

    #[test]
    fn attachments_and_slices_belong_to_the_node_they_name() {
        let mut graph = Graph::default();
        put(&mut graph, "/registry/storage.k8s.io/volumeattachments/x", r#"{"spec":{"nodeName":"a"}}"#);
        put(&mut graph, "/registry/resource.k8s.io/resourceslices/x", r#"{"spec":{"nodeName":"b"}}"#);
        assert!(
            graph.belongs(Kind::Attachment, "", "x", "a") && !graph.belongs(Kind::Attachment, "", "x", "b")
        );
        assert!(graph.belongs(Kind::Slice, "", "x", "b") && !graph.belongs(Kind::Slice, "", "x", "a"));
    }
}
