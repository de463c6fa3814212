//! Root file systems of containers: an image's layers, and above them what the container writes. Every call may be repeated.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::digest::Digest;
use super::overlay::{self, Overlay};
use super::store::index::{Index, Query};
use super::store::layout::delete;
use super::store::{ImageStore, Inner, layer};
use super::{Defaults, Error};
use crate::container::ContainerId;
use crate::pressure::bytes_of;
use crate::runtime::native::rootfs::RootFilesystems;
use crate::words::in_words;

impl ImageStore {
    /// Mounts the root of a container at a directory, and says what its image says about containers. While it is mounted, and until
    /// [`Self::unmount`], the image is in use. The image may be named by its id or by any reference.
    pub async fn mount(
        &self,
        image: &str,
        container: &ContainerId,
        target: &Path,
    ) -> Result<Defaults, Error> {
        let query = Query::parse(image)?;
        let (name, target) = (container.to_string(), target.to_owned());
        self.blocking(move |inner| inner.mount(&query, &name, &target)).await
    }

    /// Unmounts the root of a container and deletes what it wrote. One that is not there is no error.
    pub async fn unmount(&self, container: &ContainerId, target: &Path) -> Result<(), Error> {
        let (name, target) = (container.to_string(), target.to_owned());
        self.blocking(move |inner| inner.unmount(&name, &target)).await
    }

    /// What a container wrote: a directory, whose size is what it uses of the disk.
    pub fn written(&self, container: &ContainerId) -> PathBuf {
        self.inner.layout.roots().join(container.to_string()).join("upper")
    }

    /// The containers that have roots here, by the text of their ids: those that nobody knows any more are to be unmounted.
    pub async fn roots(&self) -> Result<Vec<String>, Error> {
        self.blocking(|inner| {
            let names = || -> io::Result<Vec<String>> {
                let name =
                    |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
                fs::read_dir(inner.layout.roots())?.map(name).collect()
            };
            names().map_err(|error| Error::failed("cannot list the containers' root file systems", error))
        })
        .await
    }
}

#[async_trait]
impl RootFilesystems for ImageStore {
    async fn mount(&self, image_id: &str, container: &ContainerId, target: &Path) -> Result<Defaults, Error> {
        Self::mount(self, image_id, container, target).await
    }

    async fn written(&self, container: &ContainerId) -> u64 {
        let upper = Self::written(self, container);
        self.blocking(move |_| Ok(bytes_of(&upper))).await.unwrap_or_default()
    }

    async fn unmount(&self, container: &ContainerId, target: &Path) {
        if let Err(error) = Self::unmount(self, container, target).await {
            tracing::warn!(%container, error = in_words(&error), "a root file system stays");
        }
    }
}

impl Inner {
    fn mount(&self, query: &Query, container: &str, target: &Path) -> Result<Defaults, Error> {
        let failed =
            |error| Error::failed(format!("failed to mount the root file system of {container}"), error);
        let missing = || Error::NotFound(format!("the image of {container} is not here any more"));
        let root = self.layout.roots().join(container);
        let locked = self.layout.lock().map_err(failed)?;
        let index = Index::read(&self.layout)?;
        let id = index.find(query).ok_or_else(missing)?;
        let record = &index.images[id];
        let lower = self.lower(&record.layers);
        // In use before the lock is let go.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(failed)?;
        self.layout.replace(&root.join("image"), id.to_string().as_bytes(), &locked).map_err(failed)?;
        drop(locked);
        self.touch(id).map_err(failed)?;
        if !overlay::is_mounted(target).map_err(failed)? {
            let overlay = Overlay { upper: root.join("upper"), work: root.join("work"), lower };
            prepare(&overlay).map_err(failed)?;
            fs::create_dir_all(target).map_err(failed)?;
            overlay::mount(&overlay, target).map_err(failed)?;
        }
        Ok(record.defaults.clone())
    }

    /// The directories of a stack, the topmost first.
    fn lower(&self, layers: &[Digest]) -> Vec<PathBuf> {
        if layers.is_empty() {
            return vec![self.layout.empty()];
        }
        layers.iter().rev().map(|chain| layer::tree(&self.layout, chain)).collect()
    }

    fn unmount(&self, container: &str, target: &Path) -> Result<(), Error> {
        let failed =
            |error| Error::failed(format!("failed to unmount the root file system of {container}"), error);
        overlay::unmount_all(target).map_err(failed)?;
        if let Some(away) = self.layout.discard(&self.layout.roots().join(container)).map_err(failed)? {
            delete(&away);
        }
        Ok(())
    }
}

/// The root directory's owner and permissions are those of the upper directory, so it takes them from the topmost layer.
fn prepare(overlay: &Overlay) -> io::Result<()> {
    fs::create_dir_all(&overlay.work)?;
    fs::create_dir_all(&overlay.upper)?;
    let top = fs::metadata(&overlay.lower[0])?;
    chown(&overlay.upper, Some(top.uid()), Some(top.gid()))?;
    fs::set_permissions(&overlay.upper, fs::Permissions::from_mode(top.mode() & 0o7777))
}
