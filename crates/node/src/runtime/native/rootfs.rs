//! What the native runtime asks of whoever keeps unpacked images: a root file system for each container.

use std::path::Path;

use async_trait::async_trait;

use crate::container::ContainerId;
use crate::image::{Defaults, Error};

/// Gives containers their root file systems.
#[async_trait]
pub trait RootFilesystems: Send + Sync + 'static {
    /// Mounts a root file system of this image at `target`, an empty directory, and says what the image says about its containers.
    /// What a container writes is its own. Repeated for a container, it does nothing more.
    async fn mount(&self, image_id: &str, container: &ContainerId, target: &Path) -> Result<Defaults, Error>;

    /// Bytes that a container wrote.
    async fn written(&self, container: &ContainerId) -> u64;

    /// Takes it away with what was written to it. It may be gone already.
    async fn unmount(&self, container: &ContainerId, target: &Path);
}
