//! Mirror pods: what the API shows of static pods. One task makes and deletes them; `step` decides (pure).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::source::{CONFIG_MIRROR, config_hash};
use crate::status_writer;
use crate::words::in_words;

/// How long it waits after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Namespace and name.
type Name = (String, String);

/// A mirror as the API has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    uid: String,
    hash: String,
    is_deleted: bool,
}

#[derive(Default)]
struct State {
    /// Static pods: as many as the node has.
    wanted: BTreeMap<Name, Arc<Pod>>,
    known: BTreeMap<Name, Known>,
    /// Whether all static pods are known: until then no mirror is one too many.
    complete: bool,
}

/// Static pods and their mirrors.
#[derive(Default)]
pub struct Mirrors {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

/// What is to be done about a name.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Create(Arc<Pod>),
    Delete(String),
}

fn step(wanted: Option<&Arc<Pod>>, known: Option<&Known>, complete: bool) -> Option<Step> {
    match (wanted, known) {
        (Some(pod), None) => Some(Step::Create(Arc::clone(pod))),
        // It is made anew when that is seen.
        (Some(pod), Some(known)) if known.is_deleted || config_hash(pod).as_ref() != Some(&known.hash) => {
            Some(Step::Delete(known.uid.clone()))
        }
        (None, Some(known)) if complete => Some(Step::Delete(known.uid.clone())),
        _ => None,
    }
}

/// A mirror pod, as it is told.
pub(crate) fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(CONFIG_MIRROR))
}

fn name(pod: &Pod) -> Name {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (text(&pod.metadata.namespace), text(&pod.metadata.name))
}

fn known(mirror: &Pod) -> Known {
    let annotations = mirror.metadata.annotations.as_ref();
    Known {
        uid: mirror.metadata.uid.clone().unwrap_or_default(),
        hash: annotations.and_then(|a| a.get(CONFIG_MIRROR)).cloned().unwrap_or_default(),
        is_deleted: mirror.metadata.deletion_timestamp.is_some(),
    }
}

impl Mirrors {
    /// A static pod is to have a mirror.
    pub fn want(&self, pod: &Arc<Pod>) {
        self.change(|state| state.wanted.insert(name(pod), Arc::clone(pod)));
    }

    /// Nothing of a static pod is left: neither is its mirror to be.
    pub fn forget(&self, pod: &Pod) {
        self.change(|state| {
            let name = name(pod);
            if state.wanted.get(&name).is_some_and(|known| known.metadata.uid == pod.metadata.uid) {
                state.wanted.remove(&name);
            }
        });
    }

    /// All static pods are known.
    pub fn complete(&self) {
        self.change(|state| state.complete = true);
    }

    /// The API has this mirror.
    pub fn seen(&self, mirror: &Pod) {
        self.change(|state| state.known.insert(name(mirror), known(mirror)));
    }

    /// The API has this mirror no more.
    pub fn lost(&self, mirror: &Pod) {
        self.change(|state| {
            if state.known.get(&name(mirror)).is_some_and(|k| Some(&k.uid) == mirror.metadata.uid.as_ref()) {
                state.known.remove(&name(mirror));
            }
        });
    }

    /// The API has these mirrors and no others.
    pub fn all<'a>(&self, mirrors: impl Iterator<Item = &'a Pod>) {
        self.change(|state| state.known = mirrors.map(|mirror| (name(mirror), known(mirror))).collect());
    }

    /// The UID of a static pod's mirror, if it is there and of this version.
    pub(crate) fn uid(&self, pod: &Pod, hash: &str) -> Option<String> {
        let state = self.state.lock();
        let known = state.known.get(&name(pod)).filter(|k| k.hash == hash && !k.is_deleted);
        known.map(|k| k.uid.clone())
    }

    /// Tells of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(&mut self.state.lock());
        self.changed.send_modify(|count| *count += 1);
    }

    fn steps(&self) -> Vec<(Name, Step)> {
        let state = self.state.lock();
        let names: std::collections::BTreeSet<_> = state.wanted.keys().chain(state.known.keys()).collect();
        let steps = names.into_iter().filter_map(|name| {
            step(state.wanted.get(name), state.known.get(name), state.complete).map(|s| (name.clone(), s))
        });
        steps.collect()
    }

    /// Makes and deletes mirrors, for as long as it is run.
    pub async fn run(&self, client: kube::Client, node: &str) {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            let mut failed = false;
            for ((namespace, name), step) in self.steps() {
                let done = self.carry_out(&client, node, &namespace, &name, step).await;
                if let Err(error) = done {
                    tracing::warn!(
                        namespace,
                        name,
                        error = in_words(&error),
                        "the mirror pod is not as it is to be"
                    );
                    failed = true;
                }
            }
            if failed {
                tokio::time::sleep(RETRY_AFTER).await;
            } else if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn carry_out(
        &self,
        client: &kube::Client,
        node: &str,
        namespace: &str,
        name: &str,
        step: Step,
    ) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        match step {
            Step::Create(pod) => {
                let owner = Api::<Node>::all(client.clone()).get(node).await?;
                match api.create(&PostParams::default(), &mirror(&pod, &owner)).await {
                    Ok(made) => self.seen(&made),
                    // It is there: the watch tells of it, or another pod has the name and keeps it.
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) => return Err(error),
                }
            }
            Step::Delete(uid) => {
                match status_writer::delete(&api, name, &uid).await {
                    Ok(()) => {}
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                    Err(error) => return Err(error),
                }
                self.change(|state| {
                    let key = (namespace.to_owned(), name.to_owned());
                    if state.known.get(&key).is_some_and(|k| k.uid == uid) {
                        state.known.remove(&key);
                    }
                });
            }
        }
        Ok(())
    }
}

/// The mirror of a static pod.
fn mirror(pod: &Pod, node: &Node) -> Pod {
    let mut mirror = pod.clone();
    let hash = config_hash(pod).unwrap_or_default();
    mirror.metadata.annotations.get_or_insert_default().insert(CONFIG_MIRROR.to_owned(), hash);
    (mirror.metadata.uid, mirror.metadata.resource_version, mirror.status) = (None, None, None);
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    mirror
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mirror_is_made_kept_replaced_and_deleted() {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"annotations": {"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "h"}}}),
        )
        .expect("a pod");
        let pod = Arc::new(pod);
        let known = |hash: &str, is_deleted| Some(Known { uid: "u".into(), hash: hash.into(), is_deleted });
        let delete = Some(Step::Delete("u".into()));
        for (name, wanted, known, complete, expected) in [
            ("there is none", Some(&pod), None, false, Some(Step::Create(Arc::clone(&pod)))),
            ("it is right", Some(&pod), known("h", false), true, None),
            ("it is of another version", Some(&pod), known("g", false), true, delete.clone()),
            ("somebody deletes it", Some(&pod), known("h", true), true, delete.clone()),
            ("there is no static pod", None, known("h", false), true, delete.clone()),
            ("it is not known yet whether there is one", None, known("h", false), false, None),
        ] {
            assert_eq!(step(wanted, known.as_ref(), complete), expected, "{name}");
        }
    }
}
