//! The SQLite file: how it is opened, and what its errors mean.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::Error;

use super::directory::OWNER_ONLY;
use super::log;

/// "SMPN", in the file's header for `file(1)` and for us.
const APPLICATION_ID: i32 = 0x534d_504e;
const SCHEMA_VERSION: i32 = 1;

/// `unix-excl` is what `locking_mode=EXCLUSIVE` would be, for all connections of this process together: no
/// system call locks anything, and the index of the write-ahead log is kept in memory rather than in a file.
const VFS: &str = "unix-excl";

/// In KiB, as SQLite writes it. Enough for all pages that one trim changes; more would only hold what the
/// state in memory holds already.
const CACHE_SIZE: i32 = -4096;

/// Makes the file if there is none: under another name first, so that it is there whole or not at all,
/// and nothing needs to be synced more than once.
pub(super) fn create_if_missing(path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let log = with_suffix(path, "-wal");
    if log.exists() {
        return Err(corrupt(&log, "the log is there, but the file that it belongs to is not"));
    }
    let new = with_suffix(path, ".new");
    let io = |error: std::io::Error| Error::Engine(Arc::new(error));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    // SQLite would let others read it.
    std::fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&new).map_err(io)?;
    make_tables(&new).map_err(|error| self::error(&new, error))?;
    std::fs::File::open(&new).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&new, path).map_err(io)
}

fn make_tables(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {}
         PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}; PRAGMA journal_mode=WAL;",
        log::SCHEMA,
    ))?;
    connection.close().map_err(|(_, error)| error)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the file, which must be there.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path)?;
    let (application, version): (i32, i32) = connection
        .query_row(
            "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| self::error(path, error))?;
    if application != APPLICATION_ID {
        return Err(corrupt(path, "it is not a store of this program"));
    }
    if version != SCHEMA_VERSION {
        return Err(corrupt(path, &format!("it was written by another version (its schema is {version})")));
    }
    Ok(connection)
}

/// Connects to the file without a look at it.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What was deleted, or was plain before it was encrypted, does not stay in the file's free pages.
        connection.pragma_update(None, "secure_delete", "ON")?;
        // Checkpoints are run by `checkpoint`, away from the commits.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", CACHE_SIZE)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    };
    connect().map_err(|error| self::error(path, error))
}

/// What an error of SQLite means for the store.
pub(super) fn error(path: &Path, error: rusqlite::Error) -> Error {
    match &error {
        rusqlite::Error::SqliteFailure(failure, detail)
            if matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
        {
            corrupt(path, detail.as_deref().unwrap_or("it is not a database"))
        }
        // No row that we wrote looks like this.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => corrupt(path, &error.to_string()),
        _ => Error::Engine(Arc::new(error)),
    }
}

pub(super) fn corrupt(path: &Path, detail: &str) -> Error {
    Error::Corrupt { path: PathBuf::from(path), detail: detail.to_owned() }
}
