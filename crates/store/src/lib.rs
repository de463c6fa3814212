//! A revisioned key-value store: snapshots, atomic commits, exact history, watches.
//!
//! The store keeps the whole live state in memory as one immutable ordered map behind an atomic
//! pointer, and hands it out as a [`Snapshot`]. Readers never wait for writers. A [`Txn`] is durable
//! before [`Store::commit`] answers. It knows nothing of JSON, of kinds or of HTTP: a value is bytes,
//! and the one place in a value where its own revision belongs is an offset.

mod entry;
mod error;
mod history;
mod hub;
mod live;
mod metrics;
mod transform;
mod txn;
mod watcher;

pub mod conformance;
pub mod embedded;
pub mod state;

pub use entry::{Entry, Memo};
pub use error::{Error, Unhealthy};
pub use state::Snapshot;
pub use transform::{Form, Transform, TransformError, Transformed};
pub use txn::{Committed, Expect, NewValue, Op, Txn};
pub use watcher::{Batch, Event, EventKind, Watcher};

/// A position in the history of the whole store: every commit has the next one. 0 is before the first.
pub type Revision = u64;

/// What every engine offers. [`conformance`] says in tests what each method promises.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// The live state as this process knows it. Never waits.
    fn snapshot(&self) -> Snapshot;

    /// A state that is at least as new as every commit that was acknowledged, by whichever process,
    /// before the call. The embedded engine answers at once; a distributed one waits for its cache.
    async fn fresh_snapshot(&self) -> Result<Snapshot, Error>;

    /// The state exactly at `revision`.
    /// [`Error::Compacted`] before the history, [`Error::Future`] beyond the newest revision.
    fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error>;

    /// Applies all operations of `txn` at one new revision, or none. Durable when it answers.
    async fn commit(&self, txn: Txn) -> Result<Committed, Error>;

    /// Events with a revision greater than `after`, of keys that start with `prefix`, in order, without
    /// a gap. [`Error::Compacted`] when the history no longer reaches back to `after`.
    fn watch(&self, prefix: &str, after: Revision) -> Result<Watcher, Error>;

    /// The oldest revision that [`Store::watch`] can resume after and [`Store::snapshot_at`] can rebuild.
    fn oldest_revision(&self) -> Revision;

    /// Whether `entry` lies on the disk in an older form than it would if it were written now: a writer that finds
    /// nothing to change writes it nevertheless.
    fn is_stale(&self, _entry: &Entry) -> bool {
        false
    }

    /// What keeps it from taking commits, if anything. Never waits.
    fn health(&self) -> Result<(), Unhealthy> {
        Ok(())
    }

    /// Registers the store's metrics.
    fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry);
}
