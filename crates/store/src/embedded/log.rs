//! The log and its fold, as SQL.
//!
//! `events` takes every commit. `objects` is the state at the revision up to which `events` has been
//! trimmed, so state plus events give both the live state and an exact history after a restart.
//! A row's id is its revision and its place in it; so an object's row is found by the revision of the
//! entry, both tables only ever grow at their ends, and neither needs an index.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use crate::history::History;
use crate::state::State;
use crate::{Entry, Error, Event, EventKind, Memo, Revision, Transform, TransformError};

use super::database;
use super::pending::Sealed;

pub(super) const SCHEMA: &str = "
    CREATE TABLE events (id INTEGER PRIMARY KEY, type INTEGER NOT NULL, key TEXT NOT NULL, value BLOB);
    CREATE TABLE objects (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL);
";

/// The bits of an id below the revision.
const PLACE_BITS: u32 = 12;

/// How many operations a transaction may have.
pub(super) const MAX_OPS: usize = 1 << PLACE_BITS;

const PUT: i64 = 0;
const DELETE: i64 = 1;

/// What a row is called.
fn id(revision: Revision, place: usize) -> i64 {
    // 2^51 revisions last for thousands of years of commits.
    (revision << PLACE_BITS | place as u64).cast_signed()
}

fn revision_of(id: i64) -> Revision {
    id.cast_unsigned() >> PLACE_BITS
}

/// Events with their ids. They begin with the first of a revision.
fn with_ids(events: &[Arc<Event>]) -> impl Iterator<Item = (i64, &Arc<Event>)> {
    let (mut revision, mut place) = (0, 0);
    events.iter().map(move |event| {
        place = if event.revision == revision { place + 1 } else { 0 };
        revision = event.revision;
        (id(revision, place), event)
    })
}

/// Makes entries of what lies on the disk.
pub(super) struct Opener<'t> {
    transform: Option<&'t dyn Transform>,
    /// What could not be opened; entries without a value stand for it.
    pub(super) unreadable: Vec<Unreadable>,
}

/// A value that could not be opened.
pub(super) struct Unreadable {
    pub(super) key: Arc<str>,
    pub(super) revision: Revision,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl Unreadable {
    pub(super) fn error(&self, others: usize) -> Error {
        let (key, source) = (Arc::clone(&self.key), Arc::clone(&self.cause));
        Error::Unreadable { key, revision: self.revision, others, source }
    }
}

impl<'t> Opener<'t> {
    pub(super) fn new(transform: Option<&'t dyn Transform>) -> Self {
        Self { transform, unreadable: Vec::new() }
    }

    /// The entry of a row: its key is in the first column after the id, its value in the second.
    fn entry(&mut self, row: &Row<'_>, revision: Revision) -> rusqlite::Result<Entry> {
        let key: Arc<str> = row.get_ref(1)?.as_str()?.into();
        let stored = row.get_ref(2)?.as_blob()?;
        let opened = match self.transform.map_or(Ok(None), |transform| transform.open(&key, stored)) {
            Ok(opened) => opened,
            Err(cause) => {
                self.note(&key, revision, cause);
                return Ok(Entry { key, revision, value: Bytes::new(), form: None, memo: Memo::default() });
            }
        };
        let (value, form) = match opened {
            Some(opened) => (Bytes::from(opened.bytes.into_boxed_slice()), Some(opened.form)),
            None => (Bytes::copy_from_slice(stored), None),
        };
        Ok(Entry { key, revision, value, form, memo: Memo::default() })
    }

    fn note(&mut self, key: &Arc<str>, revision: Revision, cause: TransformError) {
        self.unreadable.push(Unreadable { key: Arc::clone(key), revision, cause: cause.into() });
    }
}

/// Appends events and, if there is something to trim, folds it, all durably or not at all.
/// `trim` holds the oldest events of the log; `oldest` is the revision after which they begin.
pub(super) fn commit(
    connection: &mut Connection,
    events: &[Arc<Event>],
    sealed: Sealed,
    trim: &[Arc<Event>],
    oldest: Revision,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction
            .prepare_cached("INSERT INTO events (id, type, key, value) VALUES (?1, ?2, ?3, ?4)")?;
        let mut sealed = sealed.into_iter().peekable();
        for (place, (id, event)) in with_ids(events).enumerate() {
            let own = event.entry.revision == event.revision;
            let kind = if event.kind == EventKind::Put { PUT } else { DELETE };
            let value = own.then_some(&event.entry.value[..]);
            let instead = sealed.next_if(|(sealed, _)| *sealed == place);
            let value = instead.as_ref().map_or(value, |(_, bytes)| bytes.as_deref());
            insert.execute(params![id, kind, &*event.entry.key, value])?;
        }
    }
    fold(&transaction, trim, oldest)?;
    transaction.commit()
}

fn fold(connection: &Connection, trim: &[Arc<Event>], oldest: Revision) -> rusqlite::Result<()> {
    let Some(last) = trim.last() else { return Ok(()) };
    let newest_of_key: HashMap<&str, Revision> = trim.iter().map(|e| (&*e.entry.key, e.revision)).collect();
    let mut delete =
        connection.prepare_cached("DELETE FROM objects WHERE id BETWEEN ?1 AND ?2 AND key = ?3")?;
    let mut insert = connection.prepare_cached("INSERT INTO objects (id, key, value) VALUES (?1, ?2, ?3)")?;
    // What is not on the disk as it is in memory is not made anew, but moved.
    let mut carry = connection.prepare_cached(
        "INSERT INTO objects (id, key, value) SELECT id, key, value FROM events WHERE id = ?1",
    )?;
    for (row, event) in with_ids(trim) {
        let key = &*event.entry.key;
        // What was written after `oldest` and replaced before the end of `trim` never gets there.
        if let Some(previous) = event.previous.as_ref().filter(|p| p.revision <= oldest) {
            delete.execute(params![id(previous.revision, 0), id(previous.revision, MAX_OPS - 1), key])?;
        }
        if event.kind == EventKind::Put && newest_of_key[key] == event.revision {
            match event.entry.form {
                None => insert.execute(params![row, key, &event.entry.value[..]])?,
                Some(_) => carry.execute(params![row])?,
            };
        }
    }
    let mut forget = connection.prepare_cached("DELETE FROM events WHERE id <= ?1")?;
    forget.execute(params![id(last.revision, MAX_OPS - 1)])?;
    Ok(())
}

/// Reads everything.
pub(super) fn load(
    connection: &Connection,
    path: &Path,
    opener: &mut Opener<'_>,
) -> Result<(State, History), Error> {
    let failed = |error| database::error(path, error);
    let mut query = connection.prepare("SELECT id, key, value FROM objects ORDER BY id").map_err(failed)?;
    let mut rows = query.query([]).map_err(failed)?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let revision = revision(row).map_err(failed)?;
        objects.push(Arc::new(opener.entry(row, revision).map_err(failed)?));
    }
    let (folded, count) = (objects.iter().map(|e| e.revision).max().unwrap_or(0), objects.len());
    let mut state = State::build(folded, objects);
    if state.len() != count {
        return Err(database::corrupt(path, "a key has two objects"));
    }
    let first: Option<i64> =
        connection.query_row("SELECT min(id) FROM events", [], |row| row.get(0)).map_err(failed)?;
    let oldest = first.map_or(folded, |id| revision_of(id).saturating_sub(1));
    if oldest < folded {
        return Err(database::corrupt(path, "the log begins before the objects end"));
    }
    state.revision = oldest;
    let mut history = History::new(oldest);
    for event in load_events(connection, path, &mut state, opener)? {
        history.push(event);
    }
    Ok((state, history))
}

/// Reads the events after a state's revision, and applies them to it.
pub(super) fn load_events(
    connection: &Connection,
    path: &Path,
    state: &mut State,
    opener: &mut Opener<'_>,
) -> Result<Vec<Arc<Event>>, Error> {
    let failed = |error| database::error(path, error);
    let mut query = connection
        .prepare("SELECT id, key, value, type FROM events WHERE id > ?1 ORDER BY id")
        .map_err(failed)?;
    let mut rows = query.query(params![id(state.revision, MAX_OPS - 1)]).map_err(failed)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let revision = revision(row).map_err(failed)?;
        if revision != state.revision && revision != state.revision + 1 {
            return Err(database::corrupt(path, "the log has a gap"));
        }
        let kind =
            if row.get::<_, i64>(3).map_err(failed)? == PUT { EventKind::Put } else { EventKind::Delete };
        let key = row.get_ref(1).and_then(|key| Ok(key.as_str()?)).map_err(failed)?;
        let previous = state.get(key).cloned();
        let has_value = row.get_ref(2).map_err(failed)? != rusqlite::types::ValueRef::Null;
        let entry = match (&previous, kind) {
            (Some(previous), EventKind::Delete) if !has_value => Arc::clone(previous),
            (None, EventKind::Delete) => {
                return Err(database::corrupt(path, "the log removes what is not there"));
            }
            _ => {
                let mut entry = opener.entry(row, revision).map_err(failed)?;
                if let Some(previous) = &previous {
                    entry.key = Arc::clone(&previous.key);
                }
                Arc::new(entry)
            }
        };
        let event = Arc::new(Event { kind, revision, entry, previous, frame: Memo::default() });
        state.apply(&event);
        events.push(event);
    }
    Ok(events)
}

/// The revision before the oldest event on the disk.
pub(super) fn oldest(connection: &Connection, path: &Path) -> Result<Option<Revision>, Error> {
    let first: Option<i64> = connection
        .query_row("SELECT min(id) FROM events", [], |row| row.get(0))
        .map_err(|error| database::error(path, error))?;
    Ok(first.map(|id| revision_of(id).saturating_sub(1)))
}

/// The newest revision on the disk.
pub(super) fn newest(connection: &Connection, path: &Path) -> Result<Revision, Error> {
    let last: Option<i64> = connection
        .query_row("SELECT max(id) FROM events", [], |row| row.get(0))
        .map_err(|error| database::error(path, error))?;
    Ok(last.map_or(0, revision_of))
}

fn revision(row: &Row<'_>) -> rusqlite::Result<Revision> {
    Ok(revision_of(row.get(0)?))
}
