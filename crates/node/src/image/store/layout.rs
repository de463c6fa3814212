//! The store's directory, and how several processes share it: see `docs/images.md`.
//!
//!     lock               locked (flock) for moments: whoever reads and then writes index.json, or deletes
//!     index.json         what images there are; replaced whole
//!     blobs/sha256/HEX   manifests, configurations, and layers until they are unpacked
//!     layers/HEX/        a stack's topmost layer, unpacked: fs/, layer.json; HEX is the stack's id
//!     ingest/            what is not complete: HEX (a blob), HEX.lock and HEX.layer/, load-N
//!     leases/            what pulls and loads under way need, before index.json says so
//!     roots/CONTAINER/   image (its id), upper/, work/ of a container's root file system
//!     trash/             moved away, being deleted
//!     empty/             the layer of images without layers

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::image::digest::Digest;

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Layout(Arc<Path>);

/// Holds the store's lock while it lives. Never across anything that waits for a network or for a stranger.
#[derive(Debug)]
pub(crate) struct Locked(#[expect(dead_code, reason = "the lock is let go when the file is closed")] File);

const DIRECTORIES: [&str; 7] = ["blobs/sha256", "layers", "ingest", "leases", "roots", "trash", "empty"];

impl Layout {
    /// Makes what is missing of a store, and deletes what a crash left in the trash.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let layout = Self(std::path::absolute(root)?.into());
        for name in DIRECTORIES {
            DirBuilder::new().recursive(true).mode(0o755).create(layout.0.join(name))?;
        }
        layout.empty_trash()?;
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.0.join("index.json")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.0.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.0.join("layers")
    }

    pub(crate) fn layer(&self, chain: &Digest) -> PathBuf {
        self.layers().join(chain.hex())
    }

    pub(crate) fn ingest(&self) -> PathBuf {
        self.0.join("ingest")
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.0.join("leases")
    }

    pub(crate) fn roots(&self) -> PathBuf {
        self.0.join("roots")
    }

    pub(crate) fn empty(&self) -> PathBuf {
        self.0.join("empty")
    }

    /// Waits until no other thread or process holds the lock.
    pub(crate) fn lock(&self) -> io::Result<Locked> {
        let file = open_to_lock(&self.0.join("lock"))?;
        file.lock()?;
        Ok(Locked(file))
    }

    /// Moves something away at once, to be deleted later. Nothing that is not there is moved.
    pub(crate) fn discard(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let place = self.0.join("trash").join(unique());
        match fs::rename(path, &place) {
            Ok(()) => Ok(Some(place)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn empty_trash(&self) -> io::Result<()> {
        // What others are about to rename from there is there only while they hold the lock.
        let locked = self.lock()?;
        let left: Vec<PathBuf> =
            fs::read_dir(self.0.join("trash"))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        drop(locked);
        for path in left {
            delete(&path);
        }
        Ok(())
    }

    /// Replaces a file: after a loss of power it is the old or the new one.
    pub(crate) fn replace(&self, path: &Path, content: &[u8], _locked: &Locked) -> io::Result<()> {
        let new = self.0.join("trash").join(unique());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_parent(path)
    }
}

/// Deletes a file or a directory. Another process may do the same at this moment; what is left is deleted at the next start.
pub(crate) fn delete(path: &Path) {
    let outcome = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot delete what images left behind");
        }
        _ => {}
    }
}

/// A name that no other process or thread has made.
pub(crate) fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed), time.as_nanos())
}

/// Makes the name of a file durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

fn open_to_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Opens and locks a file that others may lock, and then rename or delete: what is returned still has that name.
pub(crate) fn lock_named(path: &Path) -> io::Result<File> {
    loop {
        let file = open_to_lock(path)?;
        file.lock()?;
        if is_named(&file, path)? {
            return Ok(file);
        }
    }
}

/// The same, if nobody holds it.
pub(crate) fn try_lock_named(path: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(is_named(&file, path)?.then_some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
