//! Whose turn it is in one controller. A key that waits is there once, however often it is added; one that is worked on and added meanwhile has another turn afterwards;
//! one that failed has its next turn after a while that grows. So it is never longer than there are objects.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::{Metrics, QueueMetrics};

/// The pauses of a key that fails: client-go's, but for its longest one (1000 s), for which nobody wants to wait once the cause is gone.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What a key is: small, and comparable.
pub(crate) trait Key: Clone + Eq + Hash + Ord + Send + Sync + std::fmt::Debug + 'static {}

impl<T: Clone + Eq + Hash + Ord + Send + Sync + std::fmt::Debug + 'static> Key for T {}

struct Inner<K> {
    ready: VecDeque<K>,
    /// Those of `ready`, and those that were added while they are worked on.
    dirty: HashSet<K>,
    working: HashSet<K>,
    later: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

/// See the module. Clones are the same queue.
pub(crate) struct WorkQueue<K>(Arc<Shared<K>>);

struct Shared<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
    name: &'static str,
    metrics: Metrics,
    counters: QueueMetrics,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Key> WorkQueue<K> {
    pub(crate) fn new(name: &'static str, metrics: &Metrics) -> Self {
        let inner = Inner {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            later: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        };
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            changed: Notify::new(),
            name,
            counters: metrics.queue(name),
            metrics: metrics.clone(),
        }))
    }

    /// The key has a turn.
    pub(crate) fn add(&self, key: K) {
        self.0.inner.lock().add(key, &self.0.counters);
        self.0.changed.notify_one();
    }

    /// The key has a turn after a while; the earliest such time counts.
    pub(crate) fn add_after(&self, key: K, after: Duration) {
        if after.is_zero() {
            return self.add(key);
        }
        let mut inner = self.0.inner.lock();
        let at = Instant::now() + after;
        match inner.due.get(&key).copied() {
            Some(due) if due <= at => return,
            Some(due) => {
                inner.later.remove(&(due, key.clone()));
            }
            None => {}
        }
        inner.due.insert(key.clone(), at);
        inner.later.insert((at, key));
        drop(inner);
        self.0.changed.notify_one();
    }

    /// Gives every key its turn, so many at one time. Never ends.
    pub(crate) async fn run<F, R>(&self, workers: usize, reconcile: F)
    where
        F: Fn(K) -> R,
        R: Future<Output = Result<(), kube::Error>>,
    {
        let work = || async {
            loop {
                let key = self.next().await;
                let result = reconcile(key.clone()).await;
                self.0.metrics.reconciled(self.0.name, result.is_ok());
                if let Err(error) = &result {
                    let (controller, error) = (self.0.name, error as &dyn std::error::Error);
                    // Others write too: that is no news, only a reason to look again.
                    if matches!(&result, Err(kube::Error::Api(status)) if status.code == 409) {
                        tracing::debug!(controller, ?key, error, "somebody else was faster");
                    } else {
                        tracing::warn!(controller, ?key, error, "cannot reconcile");
                    }
                }
                self.done(key, result.is_ok());
            }
        };
        futures::future::join_all((0..workers).map(|_| work())).await;
    }

    async fn next(&self) -> K {
        loop {
            let wake = {
                let mut inner = self.0.inner.lock();
                inner.wake(Instant::now(), &self.0.counters);
                if let Some(key) = inner.ready.pop_front() {
                    self.0.counters.depth.dec();
                    inner.dirty.remove(&key);
                    inner.working.insert(key.clone());
                    if !inner.ready.is_empty() {
                        self.0.changed.notify_one();
                    }
                    return key;
                }
                inner.later.first().map(|(at, _)| *at)
            };
            match wake {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.0.changed.notified() => {}
                },
                None => self.0.changed.notified().await,
            }
        }
    }

    fn done(&self, key: K, ok: bool) {
        let pause = {
            let mut inner = self.0.inner.lock();
            inner.working.remove(&key);
            if inner.dirty.contains(&key) {
                inner.ready.push_back(key.clone());
                self.0.counters.depth.inc();
            }
            if ok {
                inner.failures.remove(&key);
                None
            } else {
                let failures = inner.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
                Some(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE))
            }
        };
        self.0.changed.notify_one();
        if let Some(pause) = pause {
            self.0.counters.retries.inc();
            self.add_after(key, pause);
        }
    }
}

impl<K: Key> Inner<K> {
    fn add(&mut self, key: K, counters: &QueueMetrics) {
        if self.dirty.insert(key.clone()) {
            counters.adds.inc();
            if !self.working.contains(&key) {
                self.ready.push_back(key);
                counters.depth.inc();
            }
        }
    }

    fn wake(&mut self, now: Instant, counters: &QueueMetrics) {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.add(key, counters);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> WorkQueue<&'static str> {
        WorkQueue::new("test", &Metrics::default())
    }

    async fn now(queue: &WorkQueue<&'static str>) -> Option<&'static str> {
        tokio::time::timeout(Duration::from_nanos(1), queue.next()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_waits_is_there_once() {
        let queue = queue();
        for key in ["a", "b", "a"] {
            queue.add(key);
        }
        assert_eq!((now(&queue).await, now(&queue).await, now(&queue).await), (Some("a"), Some("b"), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_by_one_worker_at_a_time() {
        let queue = queue();
        queue.add("a");
        assert_eq!(now(&queue).await, Some("a"));
        queue.add("a");
        queue.add("a");
        assert_eq!(now(&queue).await, None, "it is being worked on");
        queue.done("a", true);
        assert_eq!(now(&queue).await, Some("a"), "it changed meanwhile");
        queue.done("a", true);
        assert_eq!(now(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_after_ever_longer_pauses() {
        let queue = queue();
        queue.add("a");
        let mut pauses = Vec::new();
        for _ in 0..16 {
            let begun = Instant::now();
            let key = queue.next().await;
            pauses.push(begun.elapsed().as_millis());
            queue.done(key, false);
        }
        assert_eq!(pauses[..4], [0, 5, 10, 20]);
        assert_eq!(pauses[14..], [40_960, 60_000]);
        queue.next().await;
        queue.done("a", true);
        queue.add("a");
        let key = queue.next().await;
        queue.done(key, false);
        let begun = Instant::now();
        queue.next().await;
        assert_eq!(begun.elapsed().as_millis(), 5, "a success ends it");
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_times_the_earliest_counts() {
        let queue = queue();
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(20));
        let begun = Instant::now();
        assert_eq!(queue.next().await, "a");
        assert_eq!(begun.elapsed().as_secs(), 5);
        queue.done("a", true);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(now(&queue).await, None);
    }
}
