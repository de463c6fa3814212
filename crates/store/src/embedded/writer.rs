//! The writer thread: the one owner of the state.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::history::{History, HistoryLimits};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::state::State;
use crate::{Committed, Error, Event, Txn};

use super::Options;
use super::directory::Directory;
use super::pending::Pending;
use super::recovery::Disk;

/// How many transactions become durable together at most, so that the first of them does not wait for too many.
const GROUP_LIMIT: usize = 1024;

/// A transaction with the one who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) txn: Txn,
    pub(super) reply: oneshot::Sender<Result<Committed, Error>>,
}

pub(super) struct Writer {
    requests: mpsc::Receiver<Request>,
    state: State,
    history: History,
    limits: HistoryLimits,
    /// `None`: the store is in memory only.
    disk: Option<Disk>,
    live: Arc<Live>,
    metrics: Metrics,
}

impl Writer {
    pub(super) fn open(
        options: &Options,
        requests: mpsc::Receiver<Request>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let (disk, state, history) = match &options.dir {
            Some(dir) => {
                let (disk, state, history) = Disk::open(Directory::lock(dir)?)?;
                (Some(disk), state, history)
            }
            None => (None, State::default(), History::default()),
        };
        let live = Arc::new(Live::new(&state, &history, options.watcher_limit, metrics.clone()));
        let writer = Self { requests, state, history, limits: options.history, disk, live, metrics };
        writer.measure();
        Ok(writer)
    }

    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut group = Vec::new();
        while self.requests.blocking_recv_many(&mut group, GROUP_LIMIT) > 0 {
            self.metrics.queue.set(i64::try_from(self.requests.len()).unwrap_or(i64::MAX));
            self.commit(group.drain(..));
            if let Some(disk) = &mut self.disk {
                disk.checkpoint();
            }
        }
        self.live.close();
    }

    fn commit(&mut self, group: impl ExactSizeIterator<Item = Request>) {
        if let Err(error) = self.recover_if_needed() {
            group.for_each(|request| answer(request.reply, Err(error.share())));
            return;
        }
        let began = Instant::now();
        let mut pending = Pending::new(self.state.clone());
        let mut answers = Vec::with_capacity(group.len());
        for Request { txn, reply } in group {
            answers.push((reply, pending.apply(txn)));
        }
        // Even a conflict waits for the disk: it may be with a commit of this very group.
        if !pending.events.is_empty()
            && let Err(error) = self.write(pending)
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the store could not write");
            self.metrics.failures.inc_by(answers.len() as u64);
            answers.into_iter().for_each(|(reply, _)| answer(reply, Err(error.share())));
            // At once, since readers should not wait for the next writer to see what was written nevertheless.
            if let Err(error) = self.recover_if_needed() {
                tracing::error!(error = &error as &dyn std::error::Error, "the store has not recovered yet");
            }
            return;
        }
        self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "groups are small")]
        self.metrics.group_size.observe(answers.len() as f64);
        for (reply, result) in answers {
            let counter = if result.is_ok() { &self.metrics.commits } else { &self.metrics.conflicts };
            counter.inc();
            answer(reply, result);
        }
    }

    /// Makes events durable and then visible.
    fn write(&mut self, pending: Pending) -> Result<(), Error> {
        let Pending { state, events } = pending;
        let trim = self.history.excess(self.limits, events.len());
        if let Some(disk) = &mut self.disk {
            let trimmed: Vec<_> =
                trim.map(|up_to| self.history.up_to(up_to).cloned().collect()).unwrap_or_default();
            disk.commit(&events, &trimmed, self.history.oldest())?;
        }
        if let Some(up_to) = trim {
            self.history.trim(up_to);
        }
        self.state = state;
        self.publish(&events);
        Ok(())
    }

    fn publish(&mut self, events: &[Arc<Event>]) {
        events.iter().for_each(|event| self.history.push(Arc::clone(event)));
        self.live.publish(&self.state, &self.history, events);
        self.measure();
    }

    /// After a failure, takes over what the disk turns out to hold.
    fn recover_if_needed(&mut self) -> Result<(), Error> {
        let Some(disk) = self.disk.as_mut().filter(|disk| !disk.is_sound()) else { return Ok(()) };
        let mut state = self.state.clone();
        let found = disk.recover(&mut state)?;
        tracing::info!(commits = found.events.len(), "the store has recovered from a failure");
        self.state = state;
        self.history.trim(found.oldest);
        self.publish(&found.events);
        Ok(())
    }

    fn measure(&self) {
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.history_events.set(gauge(self.history.len()));
        self.metrics.history_bytes.set(gauge(self.history.bytes()));
        self.metrics.objects.set(gauge(self.state.len()));
        self.metrics.revision.set(i64::try_from(self.state.revision).unwrap_or(i64::MAX));
    }
}

/// Whoever does not wait any longer has no use for the answer.
fn answer(reply: oneshot::Sender<Result<Committed, Error>>, result: Result<Committed, Error>) {
    drop(reply.send(result));
}
