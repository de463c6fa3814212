//! The embedded engine: the live state in memory, every commit in a SQLite file before it is acknowledged.
//!
//! One writer thread takes all transactions that wait, checks their expectations, appends their events
//! to the log in one SQLite transaction, syncs once, publishes once, and answers.

mod checkpoint;
mod database;
mod directory;
mod log;
mod pending;
mod pulse;
mod recovery;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

pub use crate::history::HistoryLimits;
pub use crate::hub::WatcherLimits;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::{Committed, Entry, Error, Revision, Snapshot, Store, Transform, Txn, Unhealthy, Watcher};

use pulse::Pulse;
use writer::{Request, Writer};

/// How to open the store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; it is made if it does not exist. `None`: nothing is kept on a disk.
    pub dir: Option<PathBuf>,
    /// How much of the past is kept.
    pub history: HistoryLimits,
    /// How many transactions may wait to be written before further ones are refused.
    pub queue_limit: usize,
    /// How much may wait for one watcher before it is ended.
    pub watcher_limits: WatcherLimits,
    /// What happens to values on their way to the disk and back. `None`: nothing.
    pub transform: Option<Arc<dyn Transform>>,
}

impl Options {
    /// The defaults, with a data directory.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self { dir: Some(dir.as_ref().to_owned()), ..Self::in_memory() }
    }

    /// The defaults, without a disk.
    pub fn in_memory() -> Self {
        Self {
            dir: None,
            history: HistoryLimits::default(),
            queue_limit: 4096,
            watcher_limits: WatcherLimits::default(),
            transform: None,
        }
    }

    /// The transform, if there is a disk for which it is needed.
    fn disk_transform(&self) -> Option<&Arc<dyn Transform>> {
        self.dir.as_ref().and(self.transform.as_ref())
    }
}

/// The embedded engine.
#[derive(Debug)]
pub struct Embedded {
    live: Arc<Live>,
    pulse: Arc<Pulse>,
    metrics: Metrics,
    queue_limit: usize,
    transform: Option<Arc<dyn Transform>>,
    /// `None` once it is closed.
    queue: RwLock<Option<mpsc::Sender<Request>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    /// Opens the store, and waits until its state is in memory.
    #[expect(clippy::needless_pass_by_value, reason = "whoever opens a store has no further use for them")]
    pub fn open(options: Options) -> Result<Self, Error> {
        let metrics = Metrics::default();
        let (queue, requests) = mpsc::channel(options.queue_limit.max(1));
        let writer = Writer::open(&options, requests, metrics.clone())?;
        let (live, pulse) = (writer.live(), writer.pulse());
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::Engine(Arc::new(error)))?;
        Ok(Self {
            live,
            pulse,
            metrics,
            queue_limit: options.queue_limit.max(1),
            transform: options.disk_transform().cloned(),
            queue: RwLock::new(Some(queue)),
            writer: Mutex::new(Some(thread)),
        })
    }

    /// An empty store that lives in memory only; otherwise the same.
    pub fn in_memory() -> Self {
        Self::open(Options::in_memory()).expect("nothing of it is on a disk, and a thread can be started")
    }

    /// Writes what waits already, ends the watchers, closes the file, and waits until that is done.
    /// Snapshots can be read on; commits are answered with [`Error::Closed`]. Dropping the store does the same.
    pub fn close(&self) {
        drop(self.queue.write().take());
        if let Some(thread) = self.writer.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer has panicked");
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait::async_trait]
impl Store for Embedded {
    fn snapshot(&self) -> Snapshot {
        self.live.snapshot()
    }

    async fn fresh_snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.live.snapshot())
    }

    fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error> {
        self.live.snapshot_at(revision)
    }

    async fn commit(&self, txn: Txn) -> Result<Committed, Error> {
        pending::validate(&txn)?;
        let (reply, answer) = oneshot::channel();
        let sent = match &*self.queue.read() {
            Some(queue) => {
                let sent = queue.try_send(Request { txn, reply });
                let waiting = queue.max_capacity() - queue.capacity();
                self.metrics.queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
                sent
            }
            None => return Err(Error::Closed),
        };
        sent.map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded { waiting: self.queue_limit },
            mpsc::error::TrySendError::Closed(_) => Error::Closed,
        })?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Watcher, Error> {
        self.live.watch(prefix, after)
    }

    fn oldest_revision(&self) -> Revision {
        self.live.oldest()
    }

    fn is_stale(&self, entry: &Entry) -> bool {
        self.transform.as_ref().is_some_and(|transform| !transform.is_current(&entry.key, entry.form))
    }

    fn health(&self) -> Result<(), Unhealthy> {
        let Some(queue) = &*self.queue.read() else { return Err(Unhealthy::Ended) };
        let health = self.pulse.health(Instant::now());
        if health == Err(Unhealthy::Unsound) {
            // The writer looks at the disk again when somebody writes: here is nothing to write.
            let (reply, _) = oneshot::channel();
            drop(queue.try_send(Request { txn: Txn::default(), reply }));
        }
        health
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        if let Some(transform) = &self.transform {
            transform.register_metrics(registry);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::history::History;
    use crate::state::State;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_further_commits() {
        let metrics = Metrics::default();
        // Nobody takes anything out of this queue.
        let (queue, requests) = mpsc::channel(1);
        let store = Arc::new(Embedded {
            live: Arc::new(Live::new(
                &State::default(),
                &History::default(),
                WatcherLimits::default(),
                metrics.clone(),
            )),
            pulse: Arc::default(),
            metrics,
            queue_limit: 1,
            transform: None,
            queue: RwLock::new(Some(queue)),
            writer: Mutex::default(),
        });
        let waits = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.commit(Txn::default()).await }
        });
        while requests.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(store.commit(Txn::default()).await, Err(Error::Overloaded { waiting: 1 })));
        drop(requests);
        assert!(
            matches!(waits.await.unwrap(), Err(Error::Closed)),
            "a dead writer is no reason to wait for ever"
        );
    }
}
