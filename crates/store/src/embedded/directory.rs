//! The data directory: who holds it, and what its files are called.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;

/// The directory, locked for as long as this lives. The kernel lets go of the lock when the process dies.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    pub(super) fn lock(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(engine)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("state.lock"))
            .map_err(engine)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(engine(error)),
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("state.db")
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let sync = |path: &Path| File::open(path).and_then(|dir| dir.sync_all());
        sync(&self.path).map_err(engine)?;
        // The directory itself may be new too. One that we may not even open, we have not made it in.
        match self.path.canonicalize().map_err(engine)?.parent().map(sync) {
            Some(Err(error)) if error.kind() != std::io::ErrorKind::PermissionDenied => Err(engine(error)),
            _ => Ok(()),
        }
    }
}

fn engine(error: std::io::Error) -> Error {
    Error::Engine(Arc::new(error))
}
