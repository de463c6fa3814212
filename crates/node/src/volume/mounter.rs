//! Makes the volumes of this node's pods: [`Volumes`] for the workers.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, Volume};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::claim::{self, Claimed};
use super::follower::{Following, Gate};
use super::{host_path, mounts, ownership, payload, plan, sub_path, tmpfs};
use crate::container::{ContainerId, PodUid};
use crate::objects::Objects;
use crate::pods::parts::{NodeFacts, VolumeError, Volumes};

/// Anybody may use a pod's empty directory; who may come near it is its parents' business.
const OPEN: u32 = 0o777;
/// Of the directories above.
const PARENTS: u32 = 0o750;

/// Makes volumes below the pods' directories.
pub struct Mounter {
    objects: Arc<Objects>,
    node: Arc<NodeFacts>,
    pods: Mutex<HashMap<PodUid, Arc<Mounted>>>,
}

/// The volumes of a pod.
struct Mounted {
    pod: watch::Sender<Arc<Pod>>,
    /// Held while volumes are made and unmade.
    busy: tokio::sync::Mutex<Made>,
    paths: Mutex<BTreeMap<String, PathBuf>>,
    gate: Gate,
}

#[derive(Default)]
struct Made {
    following: Option<Arc<Following>>,
    follower: Option<Follower>,
    /// Whether they are on their way out; a mount that comes late does nothing.
    is_over: bool,
}

struct Follower(tokio::task::AbortHandle);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Mounter {
    /// Volumes of what `objects` has, for the node that `node` tells of.
    pub fn new(objects: Arc<Objects>, node: Arc<NodeFacts>) -> Self {
        Self { objects, node, pods: Mutex::default() }
    }

    fn directory(&self, uid: &PodUid) -> PathBuf {
        self.node.pods.join(uid.as_str())
    }

    fn mounted(&self, uid: &PodUid) -> Option<Arc<Mounted>> {
        self.pods.lock().get(uid).cloned()
    }

    /// Makes one volume: where it is.
    async fn make(
        &self,
        volume: &Volume,
        pod: &Pod,
        uid: &PodUid,
        following: &Following,
    ) -> Result<PathBuf, String> {
        // The API server lets no other through; whoever wrote a static pod may have.
        if PodUid::new(&volume.name).is_none() {
            return Err(format!("\"{}\" is no name of a volume", volume.name));
        }
        if let Some(plugin) = plan::plugin(volume) {
            let path = self.directory(uid).join("volumes").join(plugin).join(&volume.name);
            self.prepare(volume, pod, path.clone()).await?;
            if payload::references(volume).is_some() {
                following.write(volume, pod).await?;
            }
            return Ok(path);
        }
        if let Some(source) = &volume.host_path {
            let (path, kind) = (source.path.clone(), source.type_.clone().unwrap_or_default());
            return blocking(move || check_host_path(path, &kind)).await;
        }
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if let Some(source) = &volume.persistent_volume_claim {
            return self.claim(&source.claim_name, None, source.read_only == Some(true), pod, uid).await;
        }
        if volume.ephemeral.is_some() {
            return self.claim(&format!("{name}-{}", volume.name), Some(pod), false, pod, uid).await;
        }
        if let Some(csi) = &volume.csi {
            let driver = &csi.driver;
            return Err(format!(
                "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name {driver} not found in the list of registered CSI drivers"
            ));
        }
        Err("no volume plugin matched".into())
    }

    /// The directory of a volume that has one of its own, empty.
    async fn prepare(&self, volume: &Volume, pod: &Pod, path: PathBuf) -> Result<(), String> {
        let empty = volume.empty_dir.as_ref();
        let in_memory = match empty.map(|source| source.medium.as_deref().unwrap_or_default()) {
            Some("") => false,
            Some("Memory") => true,
            Some(medium) if medium.starts_with("HugePages") => {
                return Err(format!("storage medium \"{medium}\" is not supported by this node"));
            }
            Some(medium) => return Err(format!("unknown storage medium \"{medium}\"")),
            // What may be secret never gets to a disk.
            None => volume.config_map.is_none(),
        };
        let size = plan::memory_size(empty, pod, &self.node.allocatable);
        // The files of the others get their group when they are written; their directory gets it here.
        let group = payload::fs_group(pod);
        let is_empty_dir = empty.is_some();
        let made = move || {
            let is_new = !path.try_exists()?;
            fs::DirBuilder::new().recursive(true).mode(PARENTS).create(&path)?;
            if is_new {
                fs::set_permissions(&path, fs::Permissions::from_mode(OPEN))?;
            }
            if in_memory {
                tmpfs::make(&path, size)?;
            }
            group.map_or(Ok(()), |group| ownership::give(&path, group, !is_empty_dir, !is_new))
        };
        blocking(move || made().map_err(|error: io::Error| error.to_string())).await
    }

    async fn claim(
        &self,
        name: &str,
        is_made_for: Option<&Pod>,
        read_only: bool,
        pod: &Pod,
        uid: &PodUid,
    ) -> Result<PathBuf, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let resolve = async {
            let claim = self.objects.claim(namespace, name).await?;
            let volume = self.objects.volume(&claim::volume_name(&claim, is_made_for)?).await?;
            claim::claimed(&claim, &volume)
        };
        match resolve
            .await
            .map_err(|message| format!("error processing PVC {namespace}/{name}: {message}"))?
        {
            Claimed::HostPath { path, kind } => blocking(move || check_host_path(path, &kind)).await,
            Claimed::Local { path, is_block: true, .. } => {
                blocking(move || {
                    host_path::check(Path::new(&path), "BlockDevice").map(|()| PathBuf::from(path))
                })
                .await
            }
            Claimed::Local { volume, path, is_block: false } => {
                let target = self.directory(uid).join("volumes/kubernetes.io~local-volume").join(volume);
                let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
                let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
                let on_root_mismatch = policy == Some("OnRootMismatch");
                let group = payload::fs_group(pod).filter(|_| !read_only);
                blocking(move || {
                    if !Path::new(&path).try_exists().unwrap_or_default() {
                        return Err(format!("path \"{path}\" does not exist"));
                    }
                    host_path::check(Path::new(&path), "Directory")
                        .map_err(|_| format!("path \"{path}\" is no directory"))?;
                    let made = mounts::bind(Path::new(&path), &target, read_only);
                    let made = made.and_then(|is_new| match group {
                        Some(group) if is_new => ownership::give(&target, group, false, on_root_mismatch),
                        _ => Ok(()),
                    });
                    made.map(|()| target).map_err(|error| error.to_string())
                })
                .await
            }
        }
    }
}

fn check_host_path(path: String, kind: &str) -> Result<PathBuf, String> {
    host_path::check(Path::new(&path), kind).map(|()| PathBuf::from(path))
}

/// Disks may be slow.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn uid_of(pod: &Pod) -> Option<PodUid> {
    PodUid::new(pod.metadata.uid.as_deref().unwrap_or_default())
}

#[async_trait]
impl Volumes for Mounter {
    async fn mount(&self, pod: &Pod) -> Result<(), VolumeError> {
        let Some(uid) = uid_of(pod) else {
            return Err(VolumeError { volume: String::new(), message: "the pod has no uid".into() });
        };
        let mounted = Arc::clone(self.pods.lock().entry(uid.clone()).or_insert_with(|| {
            let (pod, _) = watch::channel(Arc::new(pod.clone()));
            let busy = tokio::sync::Mutex::default();
            Arc::new(Mounted { pod, busy, paths: Mutex::default(), gate: Gate::default() })
        }));
        mounted.pod.send_replace(Arc::new(pod.clone()));
        let mut made = mounted.busy.lock().await;
        if made.is_over {
            return Ok(());
        }
        let volumes = plan::volumes(pod);
        // Nobody else writes them now.
        made.follower = None;
        let following = made.following.take().filter(|following| following.covers(&volumes));
        let following = following.unwrap_or_else(|| {
            let directory = self.directory(&uid).join("volumes");
            let at = |volume: &Volume| Some(directory.join(plan::plugin(volume)?).join(&volume.name));
            let is_followed = |volume: &&Volume| payload::references(volume).is_some();
            let followed = volumes.iter().filter(is_followed);
            let followed = followed.filter_map(|volume| Some((volume.clone(), at(volume)?))).collect();
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let (allocatable, gate) = (self.node.allocatable.clone(), Arc::clone(&mounted.gate));
            Arc::new(Following::new(&self.objects, namespace, followed, allocatable, gate))
        });
        made.following = Some(Arc::clone(&following));
        let mut failed = None;
        for volume in &volumes {
            match self.make(volume, pod, &uid, &following).await {
                Ok(path) => {
                    mounted.paths.lock().insert(volume.name.clone(), path);
                }
                // The others are made all the same.
                Err(message) => {
                    failed.get_or_insert(VolumeError { volume: volume.name.clone(), message });
                }
            }
        }
        if !following.is_empty() {
            made.follower =
                Some(Follower(tokio::spawn(following.follow(mounted.pod.subscribe())).abort_handle()));
        }
        failed.map_or(Ok(()), Err)
    }

    async fn update(&self, pod: &Pod) {
        let Some(mounted) = uid_of(pod).and_then(|uid| self.mounted(&uid)) else { return };
        let has_all = plan::volumes(pod).iter().all(|volume| mounted.paths.lock().contains_key(&volume.name));
        if has_all {
            mounted.pod.send_replace(Arc::new(pod.clone()));
        } else if let Err(error) = self.mount(pod).await {
            // An ephemeral container names a volume that nobody used before.
            tracing::warn!(uid = pod.metadata.uid, %error, "a volume cannot be made");
        }
    }

    fn path(&self, pod: &PodUid, volume: &str) -> Option<PathBuf> {
        self.mounted(pod)?.paths.lock().get(volume).cloned()
    }

    async fn sub_path(
        &self,
        id: &ContainerId,
        place: usize,
        volume: &str,
        path: &str,
    ) -> Result<PathBuf, String> {
        sub_path::check(path)?;
        let root = self.path(&id.pod, volume).ok_or_else(|| format!("volume \"{volume}\" not found"))?;
        let directory = self.directory(&id.pod).join("volume-subpaths");
        let target = directory.join(volume).join(&id.name).join(place.to_string());
        let (volume, container, path) = (volume.to_owned(), id.name.clone(), path.to_owned());
        blocking(move || {
            let of = format!("for volumeMount \"{volume}\" of container \"{container}\"");
            let opened = sub_path::open(&root, &path).map_err(|error| {
                tracing::warn!(volume, container, %error, "a path below a volume cannot be opened");
                format!("failed to create subPath directory {of}")
            })?;
            sub_path::bind(&opened, &target).map_err(|error| {
                tracing::warn!(volume, container, %error, "a path below a volume cannot be mounted");
                format!("failed to prepare subPath {of}")
            })?;
            Ok(target)
        })
        .await
    }

    async fn unmount(&self, pod: &PodUid) -> Result<(), VolumeError> {
        let mounted = self.mounted(pod);
        // Whoever is about to write comes first; nobody comes after.
        let made = match &mounted {
            Some(mounted) => {
                let mut made = mounted.busy.lock().await;
                made.is_over = true;
                made.follower = None;
                made.following = None;
                Some(made)
            }
            None => None,
        };
        let directory = self.directory(pod);
        let gate = mounted.as_ref().map(|mounted| Arc::clone(&mounted.gate)).unwrap_or_default();
        *gate.lock().await = true;
        let removed = blocking(move || {
            let remove =
                |name: &str| mounts::remove(&directory.join(name)).map_err(|error| error.to_string());
            remove("volume-subpaths")?;
            remove("volumes")
        });
        removed.await.map_err(|message| VolumeError { volume: String::new(), message })?;
        drop(made);
        self.objects.tokens().forget(pod.as_str());
        self.pods.lock().remove(pod);
        Ok(())
    }
}
