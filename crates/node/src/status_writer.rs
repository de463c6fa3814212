//! The newest status of each pod to the API: one task a pod, one request under way, tried again until it is written or the pod is gone.
//!
//! A pod's end is written the same way: first its last status, then the deletion of its object. `patch` says what is sent (pure).

mod patch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::mirror::Mirrors;
use crate::words::in_words;

/// How long the first repetition waits; each waits twice as long as the one before.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// What is to be written of a pod.
#[derive(Clone, Debug)]
struct Wanted {
    pod: Pod,
    status: Option<PodStatus>,
    gone: bool,
}

/// Writes statuses. Clones are the same writer; dropping the last one ends its tasks.
#[derive(Clone)]
pub struct StatusWriter(Arc<Inner>);

struct Inner {
    client: kube::Client,
    mirrors: Arc<Mirrors>,
    /// By UID: as many as the node has pods.
    pods: Mutex<BTreeMap<String, watch::Sender<Wanted>>>,
}

impl StatusWriter {
    /// A writer for the pods of a node; statuses of static pods go to their mirrors.
    pub fn new(client: kube::Client, mirrors: Arc<Mirrors>) -> Self {
        Self(Arc::new(Inner { client, mirrors, pods: Mutex::default() }))
    }

    /// The status of a pod. Only the newest counts.
    pub fn status(&self, pod: &Pod, status: PodStatus) {
        self.want(pod, |wanted| wanted.status = Some(status));
    }

    /// Nothing of a pod is left: its object may go.
    pub fn gone(&self, pod: &Pod) {
        self.want(pod, |wanted| wanted.gone = true);
    }

    fn want(&self, pod: &Pod, change: impl FnOnce(&mut Wanted)) {
        // Of what an earlier agent left half made not even the name may be known; the API knows nothing of it then.
        let (Some(uid), Some(_)) = (pod.metadata.uid.clone(), &pod.metadata.name) else { return };
        let mut pods = self.0.pods.lock();
        if let Some(known) = pods.get(&uid) {
            known.send_modify(change);
            return;
        }
        // The spec is not needed, and would be kept.
        let pod = Pod { metadata: pod.metadata.clone(), ..Pod::default() };
        let mut wanted = Wanted { pod, status: None, gone: false };
        change(&mut wanted);
        let (sender, receiver) = watch::channel(wanted);
        pods.insert(uid.clone(), sender);
        drop(pods);
        let task = Task {
            client: self.0.client.clone(),
            mirrors: Arc::clone(&self.0.mirrors),
            wanted: receiver,
            delay: FIRST_DELAY,
        };
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            task.run().await;
            if let Some(inner) = inner.upgrade() {
                inner.pods.lock().remove(&uid);
            }
        });
    }
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Written,
    /// There is no such pod any more.
    Absent,
    /// The server will not have it.
    Refused,
    /// It may work later.
    Failed,
}

/// One pod's.
struct Task {
    client: kube::Client,
    mirrors: Arc<Mirrors>,
    wanted: watch::Receiver<Wanted>,
    delay: Duration,
}

impl Task {
    async fn run(mut self) {
        let static_hash = crate::source::config_hash(&self.wanted.borrow().pod);
        match static_hash {
            Some(hash) => self.run_static(&hash).await,
            None => self.run_ordinary().await,
        }
    }

    async fn run_ordinary(&mut self) {
        let pod = self.wanted.borrow().pod.clone();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut written = None;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let mut outcome = Outcome::Written;
            if let Some(status) = wanted.status.as_ref().filter(|status| written.as_ref() != Some(*status)) {
                outcome = self.patch(&pod, &uid, status).await;
                if outcome == Outcome::Written {
                    written = Some(status.clone());
                }
            }
            if outcome == Outcome::Absent {
                // Of a pod that is gone nothing is written; it is still to be told that nothing is left of it.
                if !wanted.gone {
                    let _ = self.wanted.wait_for(|wanted| wanted.gone).await;
                }
                return;
            }
            // A status that the server refuses does not keep the object.
            if wanted.gone && outcome != Outcome::Failed {
                outcome = self.delete(&pod, &uid).await;
                if matches!(outcome, Outcome::Written | Outcome::Absent) {
                    return;
                }
            }
            if !self.wait(outcome).await {
                return;
            }
        }
    }

    /// A static pod's status is its mirror's, and is written again to each mirror that comes.
    async fn run_static(&mut self, hash: &str) {
        let pod = self.wanted.borrow().pod.clone();
        let mut changes = self.mirrors.changes();
        let mut written: Option<(String, PodStatus)> = None;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            changes.borrow_and_update();
            if wanted.gone {
                self.mirrors.forget(&pod);
                return;
            }
            let mut outcome = Outcome::Written;
            if let (Some(status), Some(uid)) = (wanted.status, self.mirrors.uid(&pod, hash)) {
                let is_new = !matches!(&written, Some((to, known)) if *to == uid && *known == status);
                if is_new {
                    outcome = self.patch(&pod, &uid, &status).await;
                    if outcome == Outcome::Written {
                        written = Some((uid, status));
                    }
                }
            }
            // A mirror that is gone is made again, and that is told.
            let outcome = if outcome == Outcome::Absent { Outcome::Written } else { outcome };
            tokio::select! {
                more = self.wait(outcome) => if !more { return },
                mirrored = changes.changed() => if mirrored.is_err() { return },
            }
        }
    }

    /// Waits for something to write, or for the time to try again. `false`: there will be nothing.
    async fn wait(&mut self, outcome: Outcome) -> bool {
        if outcome == Outcome::Written {
            self.delay = FIRST_DELAY;
            return self.wanted.changed().await.is_ok();
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(LONGEST_DELAY);
        // What comes meanwhile is newer, but does not make the server answer sooner.
        tokio::time::sleep(delay).await;
        self.wanted.has_changed().is_ok()
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn patch(&self, pod: &Pod, uid: &str, status: &PodStatus) -> Outcome {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let patch = Patch::Strategic(patch::patch(uid, status));
        let patched = self.api(pod).patch_status(name, &PatchParams::default(), &patch).await;
        outcome(pod, "status", patched.map(|_| ()))
    }

    async fn delete(&self, pod: &Pod, uid: &str) -> Outcome {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        outcome(pod, "deletion", delete(&self.api(pod), name, uid).await)
    }
}

/// Deletes at once the object that has this UID, and no other.
pub(crate) async fn delete(api: &Api<Pod>, name: &str, uid: &str) -> Result<(), kube::Error> {
    let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    let params = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
    api.delete(name, &params).await.map(|_| ())
}

/// A conflict is a UID that differs: the pod is another's.
fn outcome(pod: &Pod, what: &str, answer: Result<(), kube::Error>) -> Outcome {
    match answer {
        Ok(()) => Outcome::Written,
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Outcome::Absent,
        Err(error) => {
            let name = crate::words::pod_name(pod);
            tracing::warn!(pod = name, what, error = in_words(&error), "a pod could not be written");
            let refused =
                matches!(&error, kube::Error::Api(s) if (400..500).contains(&s.code) && s.code != 429);
            if refused { Outcome::Refused } else { Outcome::Failed }
        }
    }
}

#[cfg(test)]
mod tests;
