//! The resources that the node has accepted for a pod: what its containers are made with, whatever the spec says by now (KEP-1287).
//!
//! It is a decision, not a thing that can be seen: the runtime knows limits and weights, and no requests. So it lies in a file of the pod's directory, which goes with the pod. The
//! decision is `admit`'s; what runs is the runtime's to say.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};

/// See the module. Fields may be added, never changed or removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// The generation of the pod whose resources these are.
    pub generation: Option<i64>,
    containers: BTreeMap<String, ResourceRequirements>,
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

impl Allocation {
    /// What the pod asks for.
    pub fn of(pod: &Pod) -> Self {
        let asked = pod.spec.iter().flat_map(containers);
        let containers = asked.map(|c| (c.name.clone(), c.resources.clone().unwrap_or_default())).collect();
        Self { generation: pod.metadata.generation, containers }
    }

    /// Whether the pod asks for nothing else.
    pub fn is_of(&self, pod: &Pod) -> bool {
        pod.spec.iter().flat_map(containers).all(|container| self.is_right(container))
    }

    fn is_right(&self, container: &Container) -> bool {
        let none = ResourceRequirements::default();
        let asked = container.resources.as_ref().unwrap_or(&none);
        self.containers.get(&container.name).is_none_or(|accepted| same(accepted, asked))
    }

    /// The pod with what was accepted in place of what it asks for.
    pub fn apply(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        if self.is_of(pod) {
            return Arc::clone(pod);
        }
        let mut pod = Pod::clone(pod);
        let all =
            pod.spec.iter_mut().flat_map(|s| s.init_containers.iter_mut().flatten().chain(&mut s.containers));
        for container in all {
            if let Some(accepted) = self.containers.get(&container.name) {
                container.resources = Some(accepted.clone());
            }
        }
        Arc::new(pod)
    }

    /// What an earlier agent has accepted.
    pub fn read(directory: &Path) -> Option<Self> {
        let text = match std::fs::read(file(directory)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "what was allocated to a pod cannot be read");
                return None;
            }
        };
        let read = serde_json::from_slice(&text);
        read.inspect_err(|error| {
            tracing::warn!(directory = %directory.display(), %error, "what was allocated to a pod cannot be read");
        })
        .ok()
    }

    /// Writes it down, whole or not at all. Only the agent's end must not lose it: with the machine's end the containers are gone too.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let (file, new) = (file(directory), directory.join("allocated.json.new"));
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, file)
    }
}

/// Where it lies in a pod's directory.
pub(crate) fn file(directory: &Path) -> PathBuf {
    directory.join("allocated.json")
}

/// Whether both ask for the same, however they write it.
fn same(one: &ResourceRequirements, other: &ResourceRequirements) -> bool {
    same_amounts(one.requests.as_ref(), other.requests.as_ref())
        && same_amounts(one.limits.as_ref(), other.limits.as_ref())
}

fn same_amounts(
    one: Option<&BTreeMap<String, Quantity>>,
    other: Option<&BTreeMap<String, Quantity>>,
) -> bool {
    let amount = |text: &Quantity| text.0.parse::<sampan_model::Quantity>().ok();
    let (one, other) = (one.into_iter().flatten(), other.into_iter().flatten());
    one.map(|(name, text)| (name, amount(text))).eq(other.map(|(name, text)| (name, amount(text))))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(requests: &Value) -> Arc<Pod> {
        let value = json!({"metadata": {"generation": 4}, "spec": {
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "1"}}}],
            "containers": [{"name": "c", "resources": {"requests": requests}}, {"name": "d"}]}});
        Arc::new(serde_json::from_value(value).expect("a pod"))
    }

    #[test]
    fn what_was_accepted_stands_in_place_of_what_is_asked_for() {
        let (before, after) = (pod(&json!({"cpu": "100m"})), pod(&json!({"cpu": "200m"})));
        let accepted = Allocation::of(&before);
        assert!(
            accepted.is_of(&before)
                && accepted.is_of(&pod(&json!({"cpu": "0.1"})))
                && !accepted.is_of(&after)
        );
        assert_eq!(
            accepted.apply(&after).spec.as_ref().map(|s| &s.containers[0]),
            before.spec.as_ref().map(|s| &s.containers[0])
        );
        assert!(Arc::ptr_eq(&accepted.apply(&before), &before), "nothing is copied for nothing");
        assert!(Allocation::default().is_of(&after), "nothing is known of it");
    }

    #[test]
    fn it_is_found_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("u");
        assert_eq!(Allocation::read(&path), None);
        let accepted = Allocation::of(&pod(&json!({"cpu": "100m"})));
        accepted.write(&path).expect("it can be written");
        assert_eq!(Allocation::read(&path), Some(accepted));
        std::fs::write(file(&path), "{").expect("a file");
        assert_eq!(Allocation::read(&path), None, "it is unreadable");
    }
}
