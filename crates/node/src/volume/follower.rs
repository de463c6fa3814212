//! Keeps the volumes of one pod that are made of objects what the objects say: written when they are mounted, and again when an object, the pod's own labels or annotations,
//! or a token's time calls for it. It waits for events; the only timer is the one that a token or a failure sets.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, pending, select_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tokio::sync::watch;

use super::payload::{self, Inputs, Payload, References};
use super::{atomic_writer, ownership};
use crate::objects::{Followed, Objects};

/// The back-off of a volume that could not be brought up to date, as the kubelet's.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(122);

/// The objects that a pod's volumes are made of.
pub(super) struct Following {
    objects: Arc<Objects>,
    allocatable: BTreeMap<String, Quantity>,
    config_maps: BTreeMap<String, Arc<Followed<ConfigMap>>>,
    secrets: BTreeMap<String, Arc<Followed<Secret>>>,
    /// Each with its directory.
    volumes: Vec<(Volume, PathBuf)>,
    gate: Gate,
}

/// Held from the reading of objects until their files are written, so that no older write comes after a newer one: an abort does not stop one that has begun. True once the
/// volumes are on their way out.
pub(super) type Gate = Arc<tokio::sync::Mutex<bool>>;

impl Following {
    /// Begins to watch what these volumes are made of.
    pub(super) fn new(
        objects: &Arc<Objects>,
        namespace: &str,
        volumes: Vec<(Volume, PathBuf)>,
        allocatable: BTreeMap<String, Quantity>,
        gate: Gate,
    ) -> Self {
        let all: Vec<References> =
            volumes.iter().filter_map(|(volume, _)| payload::references(volume)).collect();
        let config_maps = all.iter().flat_map(|found| &found.config_maps);
        let config_maps =
            config_maps.map(|name| (name.clone(), objects.config_map(namespace, name))).collect();
        let secrets = all.iter().flat_map(|found| &found.secrets);
        let secrets = secrets.map(|name| (name.clone(), objects.secret(namespace, name))).collect();
        Self { objects: Arc::clone(objects), allocatable, config_maps, secrets, volumes, gate }
    }

    /// Whether it follows these volumes, as far as they are made of objects.
    pub(super) fn covers(&self, volumes: &[Volume]) -> bool {
        let followed = volumes.iter().filter(|volume| payload::references(volume).is_some());
        followed.eq(self.volumes.iter().map(|(volume, _)| volume))
    }

    /// Whether there is nothing to follow.
    pub(super) fn is_empty(&self) -> bool {
        self.volumes.is_empty()
    }

    /// Writes a volume into its directory, unless it says that already. When its first token is to be replaced.
    pub(super) async fn write(&self, volume: &Volume, pod: &Pod) -> Result<Option<Timestamp>, String> {
        let Some((_, directory)) = self.volumes.iter().find(|(known, _)| known.name == volume.name) else {
            return Ok(None);
        };
        let is_over = Arc::clone(&self.gate).lock_owned().await;
        if *is_over {
            return Ok(None);
        }
        let references = payload::references(volume).unwrap_or_default();
        let mut inputs = Inputs { allocatable: self.allocatable.clone(), ..Inputs::default() };
        for name in references.config_maps {
            let Some(followed) = self.config_maps.get(&name) else { continue };
            if let Some(found) = followed.get().await.transpose() {
                inputs.config_maps.insert(name, found.map(|object| (*object).clone()));
            }
        }
        for name in references.secrets {
            let Some(followed) = self.secrets.get(&name) else { continue };
            if let Some(found) = followed.get().await.transpose() {
                inputs.secrets.insert(name, found.map(|object| (*object).clone()));
            }
        }
        let mut next = None;
        for (audience, seconds) in references.tokens {
            let token = self.objects.tokens().get(pod, audience.as_deref(), seconds).await;
            if let Ok(token) = &token {
                next = [next, Some(token.refresh_at)].into_iter().flatten().min();
            }
            inputs.tokens.insert((audience, seconds), token.map(|token| token.text));
        }
        let payload = payload::payload(volume, pod, &inputs).unwrap_or_else(|| Ok(Payload::new()))?;
        let (directory, group) = (directory.clone(), payload::fs_group(pod));
        let written = tokio::task::spawn_blocking(move || {
            let _held = is_over;
            atomic_writer::write(&directory, &payload, |fresh| {
                group.map_or(Ok(()), |group| ownership::give(fresh, group, true, false))
            })
        });
        match written.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(_) => Ok(next),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Writes all volumes. When the first of their tokens is to be replaced, and whether one could not be written.
    async fn write_all(&self, pod: &Pod) -> (Option<Timestamp>, bool) {
        let (mut next, mut has_failed) = (None, false);
        for (volume, _) in &self.volumes {
            match self.write(volume, pod).await {
                Ok(time) => next = [next, time].into_iter().flatten().min(),
                Err(message) => {
                    has_failed = true;
                    let (uid, volume) = (pod.metadata.uid.as_deref().unwrap_or_default(), &volume.name);
                    tracing::warn!(uid, volume, message, "a volume cannot be brought up to date");
                }
            }
        }
        (next, has_failed)
    }

    /// Keeps the volumes up, for as long as it is asked to.
    pub(super) async fn follow(self: Arc<Self>, mut pod: watch::Receiver<Arc<Pod>>) {
        let mut config_maps: Vec<_> = self.config_maps.values().map(|followed| followed.changes()).collect();
        let mut secrets: Vec<_> = self.secrets.values().map(|followed| followed.changes()).collect();
        // What changed since they were mounted counts too.
        let mut pause = FIRST_PAUSE;
        loop {
            let now = Arc::clone(&pod.borrow_and_update());
            let (next, has_failed) = self.write_all(&now).await;
            let timer: BoxFuture<'_, ()> = if has_failed {
                let timer = tokio::time::sleep(pause).boxed();
                pause = (pause * 2).min(LONGEST_PAUSE);
                timer
            } else {
                pause = FIRST_PAUSE;
                next.map_or_else(|| pending().boxed(), |time| tokio::time::sleep(until(time)).boxed())
            };
            let mut events = vec![timer, changed(&mut pod)];
            events.extend(config_maps.iter_mut().map(changed));
            events.extend(secrets.iter_mut().map(changed));
            select_all(events).await;
        }
    }
}

/// Ends with the next change; never, where there can be none any more.
fn changed<T: Send + Sync>(receiver: &mut watch::Receiver<T>) -> BoxFuture<'_, ()> {
    async move {
        if receiver.changed().await.is_err() {
            pending::<()>().await;
        }
    }
    .boxed()
}

/// Never at once: a token that is late already does not make a loop.
fn until(time: Timestamp) -> Duration {
    let left = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
    left.max(Duration::from_secs(1))
}
