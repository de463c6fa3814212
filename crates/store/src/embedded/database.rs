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

/// In KiB, as SQLite writes it. Enough for all pages that one trim changes; more would only hold what the
/// state in memory holds already.
const CACHE_SIZE: i32 = -4096;

/// Opens the file; makes it and its tables if it is `new`.
pub(super) fn open(path: &Path, new: bool) -> Result<Connection, Error> {
    let connection = connect(path, if new { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() })?;
    prepare(&connection, new).map_err(|error| self::error(path, error))?;
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
pub(super) fn connect_again(path: &Path) -> Result<Connection, Error> {
    connect(path, OpenFlags::empty())
}

fn connect(path: &Path, create: OpenFlags) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connect = || {
        let connection = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints are run by `checkpoint`, away from the commits.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", CACHE_SIZE)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    };
    connect().map_err(|error| self::error(path, error))
}

fn prepare(connection: &Connection, new: bool) -> rusqlite::Result<()> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let make_tables = new && tables == 0;
    if make_tables {
        connection.pragma_update(None, "page_size", 4096)?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    debug_assert_eq!(mode, "wal");
    if make_tables {
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
