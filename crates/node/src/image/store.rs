//! The images of a node, in a directory that several processes may use at once: the node agent and `sampan image`.
//!
//! [`ImageStore`] is [`Images`]; it also loads archives, mounts containers' roots, and collects what nobody uses. It knows no pods.

pub(crate) mod index;
pub(crate) mod ingest;
pub(crate) mod layer;
pub(crate) mod layout;
pub(crate) mod lease;
mod sweep;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use self::index::{Index, Query, Record};
use self::layout::{Layout, Locked};
use self::lease::{Lease, RESUMABLE};
use super::digest::Digest;
use super::gc::{self, Candidate, Plan, Policy};
use super::progress::{Observer, nobody};
use super::reference::Reference;
use super::shared::SharedPulls;
use super::{Credentials, DiskUse, Error, Image, Images, Limits, archive, pull};

/// Where a store is, and what it may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its directory.
    pub directory: PathBuf,
    /// Directory of `REGISTRY/hosts.toml`.
    pub hosts: Option<PathBuf>,
    /// What a layer may take.
    pub limits: Limits,
    /// How many layers of one image are fetched at once (containerd's `max_concurrent_downloads`).
    pub layers_at_once: usize,
}

impl Options {
    /// The defaults.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), hosts: None, limits: Limits::default(), layers_at_once: 3 }
    }
}

/// Keeps images in a directory. Clones are the same store.
#[derive(Clone)]
pub struct ImageStore {
    pub(super) inner: Arc<Inner>,
    pulls: Arc<SharedPulls>,
}

/// What pulls and loads work with.
pub(super) struct Inner {
    pub(super) layout: Layout,
    pub(super) options: Options,
}

impl ImageStore {
    /// Opens a store, or makes one. Whatever a crash left behind is resumed or deleted later.
    pub fn open(options: Options) -> Result<Self, Error> {
        let context = format!("cannot open the image store {}", options.directory.display());
        let layout = Layout::open(&options.directory).map_err(|error| Error::failed(context, error))?;
        let inner = Inner { layout, options };
        inner.sweep(RESUMABLE)?;
        Ok(Self { inner: Arc::new(inner), pulls: Arc::default() })
    }

    /// Brings an image here, and tells of its progress. Whoever asks for one that is on its way joins in.
    pub async fn pull_observed(
        &self,
        reference: &str,
        credentials: &[Credentials],
        observer: Observer,
    ) -> Result<Image, Error> {
        let reference = Reference::parse(reference)?;
        let inner = self.inner.clone();
        let (name, list) = (reference.clone(), credentials.to_vec());
        let start = |observer| async move { pull::pull(&inner, &name, &list, &observer).await };
        let id = self.pulls.join(&reference, credentials, observer, start).await?;
        self.image(id).await
    }

    /// Loads the images of an archive (an OCI layout or what `docker save` writes, compressed or not), and says which. `name` is
    /// for an image that the archive does not name, or names by its tag only.
    pub async fn load(
        &self,
        archive: &Path,
        name: Option<&str>,
        observer: Observer,
    ) -> Result<Vec<Image>, Error> {
        let (file, name) = (archive.to_owned(), name.map(str::to_owned));
        let ids = self.blocking(move |inner| archive::load(inner, &file, name.as_deref(), &observer)).await?;
        let mut images = Vec::with_capacity(ids.len());
        for id in ids {
            images.push(self.image(id).await?);
        }
        Ok(images)
    }

    /// Removes images while the disk is fuller than it should be.
    pub async fn collect_by(&self, policy: Policy) -> Result<Plan, Error> {
        let disk = self.disk_use().await?;
        self.blocking(move |inner| {
            let plan = gc::plan(&inner.candidates()?, &policy, &disk, SystemTime::now());
            inner.remove_unused(&plan.remove)?;
            if plan.wanted_bytes > 0 {
                inner.sweep(Duration::ZERO)?;
            }
            Ok(plan)
        })
        .await
    }

    /// Removes every image that nothing uses, as the kubelet does under disk pressure. Says which.
    pub async fn remove_unused(&self) -> Result<Vec<Digest>, Error> {
        self.blocking(|inner| {
            let unused = gc::unused(&inner.candidates()?);
            inner.remove_unused(&unused)?;
            inner.sweep(Duration::ZERO)?;
            Ok(unused)
        })
        .await
    }

    async fn image(&self, id: Digest) -> Result<Image, Error> {
        let found = self.blocking(move |inner| {
            let index = Index::read(&inner.layout)?;
            Ok(index.images.get(&id).map(|record| inner.image(&id, record)))
        });
        found.await?.ok_or_else(|| Error::NotFound("the image was removed in the meantime".to_owned()))
    }

    /// Does something that waits for the disk.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        blocking(move || work(&inner)).await
    }
}

/// Does something that waits for the disk, on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::failed("a task of the image store ended early", error)),
    }
}

#[async_trait]
impl Images for ImageStore {
    async fn get(&self, reference: &str) -> Result<Option<Image>, Error> {
        let query = Query::parse(reference)?;
        self.blocking(move |inner| {
            let index = Index::read(&inner.layout)?;
            Ok(index.find(&query).map(|id| inner.image(id, &index.images[id])))
        })
        .await
    }

    async fn pull(&self, reference: &str, credentials: &[Credentials]) -> Result<Image, Error> {
        self.pull_observed(reference, credentials, nobody()).await
    }

    async fn list(&self) -> Result<Vec<Image>, Error> {
        self.blocking(|inner| {
            let index = Index::read(&inner.layout)?;
            Ok(index.images.iter().map(|(id, record)| inner.image(id, record)).collect())
        })
        .await
    }

    async fn remove(&self, reference: &str) -> Result<(), Error> {
        let query = Query::parse(reference)?;
        self.blocking(move |inner| inner.change(|index, in_use| index.remove(&query, in_use).map(|_| ())))
            .await
    }

    async fn collect(&self) -> Result<(), Error> {
        let plan = self.collect_by(Policy::default()).await?;
        if let Some(complaint) = plan.complaint() {
            tracing::warn!("{complaint}");
        }
        for id in &plan.remove {
            tracing::info!(%id, "an image was removed that nothing uses: the disk is too full");
        }
        Ok(())
    }

    async fn collect_unused(&self) -> Result<(), Error> {
        for id in self.remove_unused().await? {
            tracing::info!(%id, "an image was removed that nothing uses: the node is short of disk");
        }
        Ok(())
    }

    async fn disk_use(&self) -> Result<DiskUse, Error> {
        self.blocking(|inner| {
            let failed = |error: std::io::Error| Error::failed("cannot measure the image store", error);
            let disk = rustix::fs::statvfs(inner.layout.root()).map_err(|errno| failed(errno.into()))?;
            Ok(DiskUse {
                used_bytes: inner.used_bytes().map_err(failed)?,
                capacity_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
                available_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            })
        })
        .await
    }
}

impl Inner {
    /// Changes the list of images under the lock, and deletes what nobody needs any more.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Index, &BTreeSet<Digest>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.change_and_sweep(|index, in_use, _| change(index, in_use), RESUMABLE)
    }

    /// Names an image whose parts are all here. From then on the index protects them, and blobs of unpacked layers go.
    pub(super) fn publish(&self, id: &Digest, record: Record, lease: Lease) -> Result<(), Error> {
        let failed = |error| Error::failed("cannot change the image store", error);
        self.touch(id).map_err(failed)?;
        self.change_and_sweep(
            |index, _, locked| {
                index.add(id, record);
                lease.release(locked).map_err(failed)
            },
            RESUMABLE,
        )
    }

    /// Lets go of a lease, and of what it protected if nothing else does.
    pub(super) fn end(&self, lease: Lease) -> Result<(), Error> {
        let failed = |error| Error::failed("cannot change the image store", error);
        self.change_and_sweep(|_, _, locked| lease.release(locked).map_err(failed), RESUMABLE)
    }

    /// Deletes what nobody needs, but for what could be resumed.
    fn sweep(&self, resumable: Duration) -> Result<(), Error> {
        self.change_and_sweep(|_, _, _| Ok(()), resumable)
    }

    fn change_and_sweep<T>(
        &self,
        change: impl FnOnce(&mut Index, &BTreeSet<Digest>, &Locked) -> Result<T, Error>,
        resumable: Duration,
    ) -> Result<T, Error> {
        let failed = |error| Error::failed("cannot change the image store", error);
        let locked = self.layout.lock().map_err(failed)?;
        let before = Index::read(&self.layout)?;
        let mut index = before.clone();
        let answer = change(&mut index, &self.in_use().map_err(failed)?, &locked)?;
        if index != before {
            index.write(&self.layout, &locked)?;
        }
        let away = sweep::sweep(&self.layout, &index, resumable, &locked).map_err(failed)?;
        drop(locked);
        sweep::finish(&away);
        Ok(answer)
    }

    /// Notes that an image was used now. The time of its configuration's file says when: nothing else of the store changes.
    pub(super) fn touch(&self, id: &Digest) -> std::io::Result<()> {
        fs::File::open(self.layout.blob(id))?.set_modified(SystemTime::now())
    }

    fn image(&self, id: &Digest, record: &Record) -> Image {
        let added = at(record.added);
        let used = fs::metadata(self.layout.blob(id)).and_then(|metadata| metadata.modified());
        Image {
            id: id.to_string(),
            tags: record.tags.iter().cloned().collect(),
            digests: record.digests.iter().cloned().collect(),
            size_bytes: record.size_bytes,
            defaults: record.defaults.clone(),
            last_used: used.unwrap_or(added).max(added),
        }
    }

    /// The images that containers have their roots from.
    fn in_use(&self) -> std::io::Result<BTreeSet<Digest>> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(self.layout.roots())? {
            // One without the file is being made or removed.
            if let Ok(id) = fs::read_to_string(entry?.path().join("image")) {
                ids.extend(Digest::parse(id.trim()).ok());
            }
        }
        Ok(ids)
    }

    fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        let in_use =
            self.in_use().map_err(|error| Error::failed("cannot see which images are in use", error))?;
        let index = Index::read(&self.layout)?;
        let candidate = |(id, record): (&Digest, &Record)| Candidate {
            id: id.clone(),
            layers: record.layers.iter().map(|l| (l.clone(), layer::disk_bytes(&self.layout, l))).collect(),
            added: at(record.added),
            used: self.image(id, record).last_used,
            in_use: in_use.contains(id),
        };
        Ok(index.images.iter().map(candidate).collect())
    }

    /// Removes images, but none that came into use since it was decided.
    fn remove_unused(&self, ids: &[Digest]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        self.change(|index, in_use| {
            index.images.retain(|id, _| !ids.contains(id) || in_use.contains(id));
            Ok(())
        })
    }

    fn used_bytes(&self) -> std::io::Result<u64> {
        let mut sum = 0;
        for directory in [self.layout.blobs(), self.layout.ingest()] {
            for entry in fs::read_dir(directory)? {
                // Others may delete it at this moment.
                sum += entry?.metadata().map_or(0, |metadata| metadata.len());
            }
        }
        for entry in fs::read_dir(self.layout.layers())? {
            let chain = Digest::from_hex(&entry?.file_name().to_string_lossy());
            sum += chain.map_or(0, |chain| layer::disk_bytes(&self.layout, &chain));
        }
        Ok(sum)
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
