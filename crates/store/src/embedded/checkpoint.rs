//! Copies the write-ahead log into the database file, away from the commits.
//!
//! A helper thread runs PASSIVE checkpoints, so that no commit waits for the bulk of the copying. But a
//! passive checkpoint never reaches the end of a log that grows meanwhile, and only a log that has been
//! copied to its end wraps. So the writer finishes: it copies the few pages that were added meanwhile.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use crate::Error;

use super::database;

/// Pages in the log at which a checkpoint is begun.
const BEGIN: i32 = 1000;
/// Pages at which the writer does not wait for the helper any longer.
const OVERDUE: i32 = 16 * BEGIN;

/// The writer's side. The helper has the second connection only while it works, so that the writer can close
/// all that is open after a failure.
#[derive(Debug)]
pub(super) struct Checkpointer {
    idle: Option<Connection>,
    begin: Option<SyncSender<Connection>>,
    done: Receiver<Connection>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let idle = Some(database::connect(path)?);
        let (begin, work) = sync_channel::<Connection>(1);
        let (finished, done) = sync_channel(1);
        let help = move || {
            for connection in work {
                // The second pass is short, and leaves less to the writer.
                for _ in 0..2 {
                    if let Err(error) = run(&connection, CheckpointMode::PASSIVE) {
                        tracing::warn!(%error, "the store's log could not be checkpointed; it will be tried again");
                        break;
                    }
                }
                if finished.send(connection).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(help)
            .map_err(|error| Error::Engine(std::sync::Arc::new(error)))?;
        Ok(Self { idle, begin: Some(begin), done, thread: Some(thread) })
    }

    /// To be called by the writer between two groups of commits, with its own connection.
    pub(super) fn turn(&mut self, connection: &Connection) {
        if let Err(error) = self.try_turn(connection) {
            tracing::warn!(%error, "the store's log could not be checkpointed; it will be tried again");
        }
    }

    fn try_turn(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.idle.is_none()
            && let Ok(returned) = self.done.try_recv()
        {
            self.idle = Some(returned);
            run(connection, CheckpointMode::PASSIVE)?;
        }
        // NOOP only reports.
        let (pages, copied) = run(connection, CheckpointMode::NOOP)?;
        let left = pages - copied;
        if left < BEGIN {
            return Ok(());
        }
        if left >= OVERDUE && self.idle.is_none() {
            self.idle = self.done.recv().ok();
        }
        match (self.idle.take(), &self.begin) {
            // There is room for one, and one is all there is; it is refused only when the thread has died.
            (Some(idle), Some(begin)) if left < OVERDUE => {
                if begin.try_send(idle).is_err() {
                    self.begin = None;
                }
            }
            (None, Some(_)) if left < OVERDUE => {}
            (idle, _) => {
                self.idle = idle;
                run(connection, CheckpointMode::PASSIVE)?;
            }
        }
        Ok(())
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's checkpoint thread has panicked");
        }
    }
}

/// Gives how many pages the log has, and how many of them have been copied.
fn run(connection: &Connection, mode: CheckpointMode) -> rusqlite::Result<(i32, i32)> {
    connection.wal_checkpoint_v2(None::<&str>, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_wraps_while_it_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        database::create_if_missing(&path).unwrap();
        let connection = database::open(&path).unwrap();
        let mut checkpointer = Checkpointer::start(&path).unwrap();
        let (mut wraps, mut before) = (0, 0);
        while wraps < 3 {
            connection
                .execute("INSERT INTO events (type, key, value) VALUES (0, '/a', zeroblob(100000))", [])
                .unwrap();
            let (pages, _) = run(&connection, CheckpointMode::NOOP).unwrap();
            wraps += i32::from(pages < before);
            before = pages;
            assert!(pages < OVERDUE + BEGIN, "the log grows without bound");
            checkpointer.turn(&connection);
        }
    }
}
