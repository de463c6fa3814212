//! The SQLite file: how it is opened, and what its errors mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::Error;

use super::log;

/// "SMPN", in the file's header for `file(1)` and for us.
const APPLICATION_ID: i32 = 0x534d_504e;
const SCHEMA_VERSION: i32 = 1;

/// `unix-excl` is what `locking_mode=EXCLUSIVE` would be, for all connections of this process together: no
/// system call locks anything, and the index of the write-ahead log is kept in memory rather than in a file.
const VFS: &str = "unix-excl";

/// Opens the file, and makes its tables if it is new.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path)?;
    let prepared = prepare(&connection);
    prepared.map_err(|error| self::error(path, error))?;
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

/// A further connection to a file that is open.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints are run by `checkpoint`, away from the commits.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    };
    connect().map_err(|error| self::error(path, error))
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        connection.pragma_update(None, "page_size", 4096)?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    debug_assert_eq!(mode, "wal");
    if tables == 0 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT;",
            log::SCHEMA,
        ))?;
    }
    Ok(())
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
