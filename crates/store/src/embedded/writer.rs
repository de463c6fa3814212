//! The writer thread: the one owner of the state.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::history::{History, HistoryLimits};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::state::State;
use crate::{Committed, Error, Event, Transform, Txn};

use super::Options;
use super::directory::Directory;
use super::pending::Pending;
use super::pulse::Pulse;
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
    /// What happens to values on their way to the disk.
    transform: Option<Arc<dyn Transform>>,
    live: Arc<Live>,
    pulse: Arc<Pulse>,
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
                let transform = options.transform.clone();
                let (disk, state, history) = Disk::open(Directory::lock(dir)?, transform)?;
                (Some(disk), state, history)
            }
            None => (None, State::default(), History::default()),
        };
        let live = Arc::new(Live::new(&state, &history, options.watcher_limits, metrics.clone()));
        let transform = options.disk_transform().cloned();
        let limits = options.history;
        let pulse = Arc::default();
        let writer = Self { requests, state, history, limits, disk, transform, live, pulse, metrics };
        writer.measure();
        Ok(writer)
    }

    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut group = Vec::new();
        while self.requests.blocking_recv_many(&mut group, GROUP_LIMIT) > 0 {
            self.metrics.queue.set(i64::try_from(self.requests.len()).unwrap_or(i64::MAX));
            self.pulse.begin(Instant::now());
            let written = self.commit(group.drain(..));
            let sound = self.disk.as_ref().is_none_or(Disk::is_sound);
            self.pulse.end(written, sound, Instant::now());
            if let Some(disk) = &mut self.disk {
                disk.checkpoint();
            }
        }
    }

    /// Whether the group was written, where there was something to write.
    fn commit(&mut self, group: impl ExactSizeIterator<Item = Request>) -> Option<bool> {
        if let Err(error) = self.recover_if_needed() {
            group.for_each(|request| answer(request.reply, Err(error.share())));
            return Some(false);
        }
        let began = Instant::now();
        let transform = self.transform.clone();
        let mut pending = Pending::new(self.state.clone(), transform.as_deref());
        let mut answers = Vec::with_capacity(group.len());
        for Request { txn, reply } in group {
            answers.push((reply, pending.apply(txn)));
        }
        let has_events = !pending.events.is_empty();
        // Even a conflict waits for the disk: it may be with a commit of this very group.
        if has_events && let Err(error) = self.write(pending) {
            tracing::error!(error = &error as &dyn std::error::Error, "the store could not write");
            self.metrics.failures.inc_by(answers.len() as u64);
            for (reply, _) in answers {
                answer(reply, Err(error.share()));
            }
            // At once, since readers should not wait for the next writer to see what was written nevertheless.
            if let Err(error) = self.recover_if_needed() {
                tracing::error!(error = &error as &dyn std::error::Error, "the store has not recovered yet");
            }
            return Some(false);
        }
        self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "groups are small")]
        self.metrics.group_size.observe(answers.len() as f64);
        for (reply, result) in answers {
            let counter = match &result {
                Ok(_) => &self.metrics.commits,
                Err(Error::Seal { .. }) => &self.metrics.unsealed,
                Err(_) => &self.metrics.conflicts,
            };
            counter.inc();
            answer(reply, result);
        }
        has_events.then_some(true)
    }

    /// Makes events durable and then visible.
    fn write(&mut self, pending: Pending<'_>) -> Result<(), Error> {
        let Pending { state, events, sealed, .. } = pending;
        let trim = self.history.excess(self.limits, events.len());
        if let Some(disk) = &mut self.disk {
            let trimmed: Vec<_> =
                trim.map(|up_to| self.history.up_to(up_to).cloned().collect()).unwrap_or_default();
            disk.commit(&events, sealed, &trimmed, self.history.oldest())?;
        }
        if let Some(up_to) = trim {
            self.history.trim(up_to);
        }
        self.state = state;
        self.publish(&events);
        Ok(())
    }

    fn publish(&mut self, events: &[Arc<Event>]) {
        for event in events {
            self.history.push(Arc::clone(event));
        }
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

impl Drop for Writer {
    /// Also when it has panicked: those who watch must not wait for ever for what nobody will tell them.
    fn drop(&mut self) {
        self.pulse.ended();
        self.live.close();
    }
}

/// Whoever does not wait any longer has no use for the answer.
fn answer(reply: oneshot::Sender<Result<Committed, Error>>, result: Result<Committed, Error>) {
    drop(reply.send(result));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::embedded::recovery::Fault;
    use crate::{Expect, NewValue, Op};

    use super::*;

    fn open(dir: &Path) -> (mpsc::Sender<Request>, Writer) {
        let (sender, requests) = mpsc::channel(1);
        let history = HistoryLimits { events: 4, ..HistoryLimits::default() };
        let options = Options { history, ..Options::new(dir) };
        (sender, Writer::open(&options, requests, Metrics::default()).unwrap())
    }

    fn commit(writer: &mut Writer, key: &str) -> Result<Committed, Error> {
        let (reply, mut answer) = oneshot::channel();
        let op = Op::Put { key: key.into(), expect: Expect::Any, value: NewValue::default() };
        writer.commit([Request { txn: Txn { ops: vec![op] }, reply }].into_iter());
        answer.try_recv().unwrap()
    }

    fn fail(writer: &mut Writer, fault: Fault) {
        writer.disk.as_mut().unwrap().fault = Some(fault);
    }

    fn keys(writer: &Writer) -> Vec<String> {
        writer.live().snapshot().range("", None).map(|e| e.key.to_string()).collect()
    }

    #[tokio::test]
    async fn a_failed_commit_that_was_written_nevertheless_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let (_sender, mut writer) = open(dir.path());
        let mut watcher = writer.live().watch("/", 0).unwrap();
        assert_eq!(commit(&mut writer, "/a").unwrap().revision, 1);
        fail(&mut writer, Fault::FailAfterCommit);
        assert!(matches!(commit(&mut writer, "/b"), Err(Error::Engine(_))));
        assert_eq!(keys(&writer), ["/a", "/b"]);
        assert_eq!(commit(&mut writer, "/c").unwrap().revision, 3);
        assert_eq!(watcher.next().await.unwrap().iter().map(|e| e.revision).collect::<Vec<_>>(), [1, 2, 3]);
        drop(writer);
        assert_eq!(keys(&open(dir.path()).1), ["/a", "/b", "/c"]);
    }

    #[test]
    fn a_failed_commit_that_was_not_written_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let (_sender, mut writer) = open(dir.path());
        commit(&mut writer, "/a").unwrap();
        fail(&mut writer, Fault::FailBeforeCommit);
        assert!(matches!(commit(&mut writer, "/b"), Err(Error::Engine(_))));
        assert_eq!(keys(&writer), ["/a"]);
        assert_eq!(commit(&mut writer, "/c").unwrap().revision, 2);
        drop(writer);
        assert_eq!(keys(&open(dir.path()).1), ["/a", "/c"]);
    }

    #[test]
    fn a_failure_while_the_log_is_trimmed_confuses_nothing() {
        for fault in [Fault::FailBeforeCommit, Fault::FailAfterCommit] {
            let dir = tempfile::tempdir().unwrap();
            let (_sender, mut writer) = open(dir.path());
            for n in 0..40 {
                fail(&mut writer, fault);
                assert!(commit(&mut writer, &format!("/{}", n % 3)).is_err());
                commit(&mut writer, &format!("/{}", n % 5)).unwrap();
            }
            let before: Vec<_> = writer.live().snapshot().range("", None).cloned().collect();
            let oldest = writer.live().oldest();
            assert!(oldest > 0);
            drop(writer);
            let (_sender, writer) = open(dir.path());
            let after: Vec<_> = writer.live().snapshot().range("", None).cloned().collect();
            assert!(
                before.iter().map(|e| (&e.key, e.revision)).eq(after.iter().map(|e| (&e.key, e.revision)))
            );
            assert_eq!(writer.live().oldest(), oldest);
        }
    }

    #[tokio::test]
    async fn a_writer_that_panics_ends_those_who_watch() {
        let dir = tempfile::tempdir().unwrap();
        let (_sender, mut writer) = open(dir.path());
        let (live, pulse) = (writer.live(), writer.pulse());
        let mut watcher = live.watch("/", 0).unwrap();
        let thread = std::thread::spawn(move || {
            writer.commit(std::iter::once_with(|| -> Request { panic!("the writer fails") }));
        });
        assert!(thread.join().is_err());
        assert!(watcher.next().await.is_err(), "it would wait for ever");
        assert_eq!(pulse.health(Instant::now()), Err(crate::Unhealthy::Ended));
    }

    #[test]
    fn nothing_is_acknowledged_while_the_file_is_gone_and_all_is_well_when_it_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let (_sender, mut writer) = open(dir.path());
        commit(&mut writer, "/a").unwrap();
        let (file, away) = (dir.path().join("state.db"), dir.path().join("away"));
        // Closed after the failure, moved before the next commit opens it again.
        writer.disk.as_mut().unwrap().fault = Some(Fault::FailAfterCommit);
        writer.disk.as_mut().unwrap().commit(&[], Vec::new(), &[], 0).unwrap_err();
        std::fs::rename(&file, &away).unwrap();
        for _ in 0..3 {
            assert!(matches!(commit(&mut writer, "/b"), Err(Error::Engine(_))));
        }
        assert_eq!(keys(&writer), ["/a"]);
        std::fs::rename(&away, &file).unwrap();
        assert_eq!(commit(&mut writer, "/b").unwrap().revision, 2);
        assert_eq!(keys(&writer), ["/a", "/b"]);
    }
}
