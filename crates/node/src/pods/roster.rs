//! The pods of the node as others in it see them: what the manager has, with the status that was told last.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::Mutex;

use super::config::log_directory;
use crate::container::PodUid;
use crate::server::{Found, Pods};

/// The pods of a node. The manager writes it, and the reporter, to which workers tell statuses.
pub struct Roster {
    logs: PathBuf,
    pods: Mutex<BTreeMap<PodUid, Entry>>,
}

struct Entry {
    pod: Arc<Pod>,
    told: Option<PodStatus>,
}

impl Entry {
    fn newest(&self) -> Arc<Pod> {
        match &self.told {
            None => Arc::clone(&self.pod),
            Some(_) => Arc::new(Pod {
                status: self.told.clone(),
                metadata: self.pod.metadata.clone(),
                spec: self.pod.spec.clone(),
            }),
        }
    }
}

impl Roster {
    /// An empty one, for pods whose logs are below this directory.
    pub fn new(logs: PathBuf) -> Self {
        Self { logs, pods: Mutex::default() }
    }

    /// A pod is here, in this version.
    pub(super) fn set(&self, uid: &PodUid, pod: Arc<Pod>) {
        let mut pods = self.pods.lock();
        let told = pods.get_mut(uid).and_then(|known| known.told.take());
        pods.insert(uid.clone(), Entry { pod, told });
    }

    /// Nothing of a pod is here any more.
    pub(super) fn remove(&self, uid: &PodUid) {
        self.pods.lock().remove(uid);
    }

    /// The newest status of a pod.
    pub(crate) fn told(&self, pod: &Pod, status: &PodStatus) {
        let Some(uid) = pod.metadata.uid.as_deref().and_then(PodUid::new) else { return };
        if let Some(entry) = self.pods.lock().get_mut(&uid) {
            entry.told = Some(status.clone());
        }
    }
}

impl Pods for Roster {
    fn list(&self) -> Vec<Arc<Pod>> {
        self.pods.lock().values().map(Entry::newest).collect()
    }

    fn find(&self, namespace: &str, name: &str) -> Option<Found> {
        let pods = self.pods.lock();
        let is_it = |pod: &Pod| {
            pod.metadata.name.as_deref() == Some(name)
                && pod.metadata.namespace.as_deref().unwrap_or("default") == namespace
        };
        // Of two with one name the older one is on its way out.
        let age = |entry: &Entry| entry.pod.metadata.creation_timestamp.clone();
        let (uid, entry) = pods.iter().filter(|(_, e)| is_it(&e.pod)).max_by_key(|(_, e)| age(e))?;
        let pod = entry.newest();
        Some(Found { uid: uid.clone(), log_directory: self.logs.join(log_directory(&pod)), pod })
    }
}
