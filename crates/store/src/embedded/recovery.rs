//! The file with its connections, and what is done when it has failed.
//!
//! After a failed commit nobody knows what the disk holds: a failed sync may have lost pages that the
//! kernel believes to be written. So everything is closed and opened again, the log is copied into the
//! file (that writes every page anew, and syncs), and what is there then is the truth.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use crate::history::History;
use crate::state::State;
use crate::{Entry, Error, Event, Revision, Transform};

use super::checkpoint::Checkpointer;
use super::directory::Directory;
use super::log::{Opener, Unreadable};
use super::pending::Sealed;
use super::{database, log};

/// The disk's side of the store.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    transform: Option<Arc<dyn Transform>>,
    /// `None` after a failure.
    open: Option<Open>,
    /// Let go last.
    _directory: Directory,
    #[cfg(test)]
    pub(super) fault: Option<Fault>,
}

/// What a test makes the next commit do.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    FailBeforeCommit,
    FailAfterCommit,
}

#[derive(Debug)]
struct Open {
    // Fields are dropped in order: the helper's connection before the writer's, whose closing ends the log.
    checkpointer: Checkpointer,
    connection: Connection,
}

/// What recovery found on the disk.
pub(super) struct Found {
    /// Commits that were on the disk although their writers had been told of a failure.
    pub(super) events: Vec<Arc<Event>>,
    /// The revision up to which the log has been trimmed.
    pub(super) oldest: Revision,
}

impl Disk {
    pub(super) fn open(
        directory: Directory,
        transform: Option<Arc<dyn Transform>>,
    ) -> Result<(Self, State, History), Error> {
        let path = directory.database();
        database::create_if_missing(&path)?;
        directory.sync()?;
        let mut connection = database::open(&path)?;
        let mut opener = Opener::new(transform.as_deref());
        let (state, mut history) = log::load(&connection, &path, &mut opener)?;
        if !opener.unreadable.is_empty() {
            give_up_unreadable(&mut connection, &path, &opener.unreadable, &state, &mut history)?;
        }
        let checkpointer = Checkpointer::start(&path)?;
        let disk = Self {
            path,
            transform,
            open: Some(Open { checkpointer, connection }),
            _directory: directory,
            #[cfg(test)]
            fault: None,
        };
        Ok((disk, state, history))
    }

    /// Whether commits can be tried without recovering first.
    pub(super) fn is_sound(&self) -> bool {
        self.open.is_some()
    }

    /// After an error, whether the events were written is not known until [`Disk::recover`] has found out.
    pub(super) fn commit(
        &mut self,
        events: &[Arc<Event>],
        sealed: Sealed,
        trim: &[Arc<Event>],
        oldest: Revision,
    ) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Err(Error::Closed) };
        #[cfg(test)]
        let fault = self.fault.take();
        #[cfg(test)]
        let events = if fault == Some(Fault::FailBeforeCommit) { &[] } else { events };
        let result = log::commit(&mut open.connection, events, sealed, trim, oldest);
        #[cfg(test)]
        let result = if fault.is_some() { result.and(Err(rusqlite::Error::InvalidQuery)) } else { result };
        result.map_err(|error| {
            self.open = None;
            database::error(&self.path, error)
        })
    }

    /// Between two groups of commits.
    pub(super) fn checkpoint(&mut self) {
        if let Some(open) = &mut self.open {
            open.checkpointer.turn(&open.connection);
        }
    }

    /// Opens the file again and reads what `state` does not have, which is applied to it.
    pub(super) fn recover(&mut self, state: &mut State) -> Result<Found, Error> {
        let connection = database::open(&self.path)?;
        let failed = |error| database::error(&self.path, error);
        let (pages, copied) =
            connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE).map_err(failed)?;
        if pages != copied {
            let busy = std::io::Error::other("the log could not be copied into the file");
            return Err(Error::Engine(Arc::new(busy)));
        }
        let newest = log::newest(&connection, &self.path)?;
        if newest < state.revision {
            let detail = format!("revision {} was written, but the newest is {newest}", state.revision);
            return Err(database::corrupt(&self.path, &detail));
        }
        let mut opener = Opener::new(self.transform.as_deref());
        let events = log::load_events(&connection, &self.path, state, &mut opener)?;
        if let Some(first) = opener.unreadable.first() {
            return Err(first.error(opener.unreadable.len() - 1));
        }
        let oldest = log::oldest(&connection, &self.path)?.unwrap_or(0);
        let checkpointer = Checkpointer::start(&self.path)?;
        self.open = Some(Open { checkpointer, connection });
        Ok(Found { events, oldest })
    }
}

/// Ends the start if a value of the live state cannot be opened. What only the history holds does not matter so much:
/// once all objects have been written with a new key, the old one may go, so the history then begins after the last
/// such value, as if it had been trimmed up to there.
fn give_up_unreadable(
    connection: &mut Connection,
    path: &Path,
    unreadable: &[Unreadable],
    state: &State,
    history: &mut History,
) -> Result<(), Error> {
    let is_live = |u: &&Unreadable| state.get(&u.key).is_some_and(|entry| entry.revision == u.revision);
    if let Some(first) = unreadable.iter().find(is_live) {
        return Err(first.error(unreadable.iter().filter(is_live).count() - 1));
    }
    let lost: HashSet<(&str, Revision)> = unreadable.iter().map(|u| (&*u.key, u.revision)).collect();
    let is_lost = |entry: &Arc<Entry>| lost.contains(&(&*entry.key, entry.revision));
    let touched = |event: &&Arc<Event>| is_lost(&event.entry) || event.previous.as_ref().is_some_and(is_lost);
    let oldest = history.oldest();
    let Some(newest) = history.after(oldest).rev().find(touched).map(|event| event.revision) else {
        return Ok(());
    };
    let events: Vec<_> = history.up_to(newest).cloned().collect();
    log::commit(connection, &[], Sealed::new(), &events, oldest)
        .map_err(|error| database::error(path, error))?;
    history.trim(newest);
    tracing::warn!(
        values = unreadable.len(),
        revision = newest,
        "replaced values could not be opened: the history begins after them"
    );
    Ok(())
}
