//! The data directory: who holds it, and what its files are called.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;

/// The mode of each file: there are secrets in them, and the directory may have been made by somebody else.
pub(super) const OWNER_ONLY: u32 = 0o600;

/// The directory, locked for as long as this lives. The kernel lets go of the lock when the process dies.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    pub(super) fn lock(path: &Path) -> Result<Self, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(engine)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(OWNER_ONLY)
            .open(path.join("state.lock"))
            .map_err(engine)?;
        match lock.try_lock() {
            Ok(()) => {
                let directory = Self { path: path.to_owned(), _lock: lock };
                directory.close_to_others().map_err(engine)?;
                Ok(directory)
            }
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(engine(error)),
        }
    }

    /// Takes from others what an earlier version or a copy has left them. What SQLite makes beside its file has the file's
    /// mode.
    fn close_to_others(&self) -> std::io::Result<()> {
        for name in ["state.lock", "state.db", "state.db-wal"] {
            let path = self.path.join(name);
            match fs::metadata(&path) {
                Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                    fs::set_permissions(&path, Permissions::from_mode(OWNER_ONLY))?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use crate::embedded::{Embedded, Options};
    use crate::{Expect, NewValue, Op, Store as _, Txn};

    use super::*;

    #[tokio::test]
    async fn nobody_else_can_read_the_files_even_where_the_directory_is_open() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let modes = || {
            let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
            let mut modes: Vec<_> = files
                .map(|f| {
                    (f.file_name().into_string().unwrap(), f.metadata().unwrap().permissions().mode() & 0o777)
                })
                .collect();
            modes.sort();
            modes
        };
        for again in [false, true] {
            let store = Embedded::open(Options::new(dir.path())).unwrap();
            let op = Op::Put { key: "/a".into(), expect: Expect::Any, value: NewValue::default() };
            store.commit(Txn { ops: vec![op] }).await.unwrap();
            assert!(modes().iter().any(|(name, _)| name == "state.db-wal"));
            assert!(modes().iter().all(|(_, mode)| *mode == 0o600), "again: {again}: {:?}", modes());
            drop(store);
            for (name, _) in modes() {
                fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o644)).unwrap();
            }
        }
    }
}
