//! A typed view of some stored objects, as exact as the store itself: derived once, then kept up by what changes.
//!
//! Whoever decides something many times a second by many objects (roles, the pods of a node, quotas) cannot read them
//! all each time, and must not decide by what was true a moment ago. A [`Mirror`] takes what its watchers hold whenever it
//! is used, without waiting for anything: the hub offers events before a commit is acknowledged, so what a client was
//! told is in every view that is taken afterwards. When nothing has changed, a use costs two atomic loads.
//!
//! A watcher holds so many events and no more, so a view that nobody uses for long is made anew at its next use. Where that
//! would take too long (all pods of a cluster), [`Mirror::keep_up`] has a task take the changes when no reader does.
//!
//! It knows no kind: what the view is, its [`View`] says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sampan_store::{Entry, Error, EventKind, Store, Watcher};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long changes wait for a reader before the owner's task takes them. In this time fewer come than a watcher holds: that
/// would be 40,000 a second.
const UNREAD_TIMEOUT: Duration = Duration::from_millis(100);

/// What is derived. Cloning it must be cheap: readers keep the old one while the new one is made.
pub trait View: Clone + Send + Sync + 'static {
    /// `entry` stands under its key now.
    fn put(&mut self, entry: &Entry);
    /// Nothing stands under `key` any more.
    fn remove(&mut self, key: &str);
}

/// Remembers that there is something, and wakes the owner's task, if there is one.
#[derive(Debug)]
struct Changed {
    flag: AtomicBool,
    owner: Notify,
}

impl Wake for Changed {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.owner.notify_one();
    }
}

/// The task that keeps a view up; it ends when this is dropped.
#[derive(Debug)]
pub struct Owner(JoinHandle<()>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A view of everything below some prefixes of keys. It is made at its first use.
pub struct Mirror<V> {
    store: Arc<dyn Store>,
    prefixes: Vec<String>,
    empty: V,
    changed: Arc<Changed>,
    /// Someone has taken the changes and not shown them yet; set before `changed` is cleared.
    catching_up: AtomicBool,
    current: ArcSwap<V>,
    /// One watcher a prefix; none before the first use, and after a watch has ended.
    watchers: Mutex<Vec<Watcher>>,
}

impl<V: View> Mirror<V> {
    /// A view that begins as `empty` and follows everything below `prefixes` (none of which is below another).
    pub fn new(store: Arc<dyn Store>, prefixes: Vec<String>, empty: V) -> Self {
        Self {
            store,
            prefixes,
            changed: Arc::new(Changed { flag: AtomicBool::new(true), owner: Notify::new() }),
            catching_up: AtomicBool::new(false),
            current: ArcSwap::from_pointee(empty.clone()),
            empty,
            watchers: Mutex::default(),
        }
    }

    /// Takes changes that no reader takes, from the view's first use on. Needs the runtime.
    pub fn keep_up(mirror: &Arc<Self>) -> Owner {
        let mirror = Arc::clone(mirror);
        Owner(tokio::spawn(async move {
            loop {
                // A watcher wakes once; the next time after somebody took what it holds.
                mirror.changed.owner.notified().await;
                tokio::time::sleep(UNREAD_TIMEOUT).await;
                if mirror.changed.flag.load(Ordering::Acquire) {
                    mirror.catch_up();
                }
            }
        }))
    }

    /// The view as of now: with every change that anybody has been told of.
    pub fn read(&self) -> Arc<V> {
        if self.changed.flag.load(Ordering::Acquire) || self.catching_up.load(Ordering::Acquire) {
            self.catch_up();
        }
        self.current.load_full()
    }

    fn catch_up(&self) {
        let mut watchers = self.watchers.lock();
        self.catching_up.store(true, Ordering::Release);
        // Whoever waited for the lock finds the work done. What comes from here on sets it again.
        if self.changed.flag.swap(false, Ordering::AcqRel) {
            self.follow(&mut watchers);
        }
        self.catching_up.store(false, Ordering::Release);
    }

    fn follow(&self, watchers: &mut Vec<Watcher>) {
        let waker = Waker::from(Arc::clone(&self.changed));
        let mut view = V::clone(&self.current.load());
        let mut touched = false;
        loop {
            if watchers.is_empty() {
                match self.begin() {
                    Ok((built, fresh)) => (view, *watchers, touched) = (built, fresh, true),
                    // The history has moved on since the snapshot: take a newer one.
                    Err(Error::Compacted { .. }) => continue,
                    // The store is closed: what was true last stays, and there is nothing to change it.
                    Err(error) => {
                        tracing::debug!(%error, "a view cannot follow the store any more");
                        break;
                    }
                }
            }
            match drain(watchers, &waker, &mut view) {
                Ok(changed) => {
                    touched |= changed;
                    break;
                }
                Err(Error::Closed) => break,
                Err(error) => {
                    tracing::debug!(%error, prefixes = ?self.prefixes, "a view is made anew");
                    watchers.clear();
                }
            }
        }
        if touched {
            self.current.store(Arc::new(view));
        }
    }

    /// A view of the newest snapshot, and watchers of what comes after it.
    fn begin(&self) -> Result<(V, Vec<Watcher>), Error> {
        let snapshot = self.store.snapshot();
        let watch = |prefix: &String| self.store.watch(prefix, snapshot.revision());
        let watchers = self.prefixes.iter().map(watch).collect::<Result<_, _>>()?;
        let mut view = self.empty.clone();
        for entry in self.prefixes.iter().flat_map(|prefix| snapshot.range(prefix, None)) {
            view.put(entry);
        }
        Ok((view, watchers))
    }
}

/// Takes everything that waits. `false`: there was nothing.
fn drain<V: View>(watchers: &mut [Watcher], waker: &Waker, view: &mut V) -> Result<bool, Error> {
    let mut changed = false;
    for watcher in watchers {
        while let Poll::Ready(batch) = watcher.poll_next(&mut Context::from_waker(waker)) {
            for event in batch?.iter() {
                changed = true;
                match event.kind {
                    EventKind::Put => view.put(&event.entry),
                    EventKind::Delete => view.remove(&event.entry.key),
                }
            }
        }
    }
    Ok(changed)
}

impl<V> std::fmt::Debug for Mirror<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("prefixes", &self.prefixes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sampan_store::embedded::Embedded;
    use sampan_store::{Expect, NewValue, Op, Txn};

    use super::*;

    /// Keys and values, and how often the view was begun.
    #[derive(Clone, Default)]
    struct Copy(std::collections::BTreeMap<String, String>);

    impl View for Copy {
        fn put(&mut self, entry: &Entry) {
            self.0.insert(entry.key.to_string(), String::from_utf8_lossy(&entry.value).into_owned());
        }
        fn remove(&mut self, key: &str) {
            self.0.remove(key);
        }
    }

    async fn put(store: &Embedded, key: &str, value: &str) {
        let value = NewValue { bytes: value.into(), ..NewValue::default() };
        let op = Op::Put { key: key.into(), expect: Expect::Any, value };
        store.commit(Txn { ops: vec![op] }).await.unwrap();
    }

    async fn remove(store: &Embedded, key: &str) {
        let op = Op::Delete { key: key.into(), expect: Expect::Any, last: None };
        store.commit(Txn { ops: vec![op] }).await.unwrap();
    }

    fn shown(mirror: &Mirror<Copy>) -> String {
        let view = mirror.read();
        view.0.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn every_acknowledged_change_is_in_the_view() {
        let store = Arc::new(Embedded::in_memory());
        put(&store, "/a/1", "x").await;
        let mirror = Mirror::new(store.clone(), vec!["/a/".into(), "/b/".into()], Copy::default());
        assert_eq!(shown(&mirror), "/a/1=x");
        put(&store, "/b/1", "y").await;
        put(&store, "/c/1", "z").await;
        assert_eq!(shown(&mirror), "/a/1=x /b/1=y");
        put(&store, "/a/1", "w").await;
        remove(&store, "/b/1").await;
        assert_eq!(shown(&mirror), "/a/1=w");
    }

    #[tokio::test]
    async fn the_same_view_is_shared_until_something_changes() {
        let store = Arc::new(Embedded::in_memory());
        let mirror = Mirror::new(store.clone(), vec!["/a/".into()], Copy::default());
        let first = mirror.read();
        put(&store, "/b/1", "elsewhere").await;
        assert!(Arc::ptr_eq(&first, &mirror.read()));
        put(&store, "/a/1", "x").await;
        assert!(!Arc::ptr_eq(&first, &mirror.read()));
        assert!(first.0.is_empty(), "who holds a view keeps it as it was");
    }

    #[tokio::test]
    async fn a_view_that_was_not_used_for_long_is_made_anew() {
        let store = Arc::new(Embedded::in_memory());
        let mirror = Mirror::new(store.clone(), vec!["/a/".into()], Copy::default());
        assert_eq!(shown(&mirror), "");
        // More than may wait for one watcher.
        for round in 0..50 {
            let ops = (0..100).map(|i| Op::Put {
                key: format!("/a/{i:03}").into(),
                expect: Expect::Any,
                value: NewValue { bytes: format!("{round}").into(), ..NewValue::default() },
            });
            store.commit(Txn { ops: ops.collect() }).await.unwrap();
        }
        let view = mirror.read();
        assert_eq!((view.0.len(), view.0["/a/042"].as_str()), (100, "49"));
        put(&store, "/a/042", "after").await;
        assert_eq!(mirror.read().0["/a/042"], "after");
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_takes_the_changes_that_nobody_reads() {
        let store = Arc::new(Embedded::in_memory());
        let mirror = Arc::new(Mirror::new(store.clone(), vec!["/a/".into()], Copy::default()));
        let owner = Mirror::keep_up(&mirror);
        put(&store, "/a/1", "before").await;
        tokio::time::sleep(UNREAD_TIMEOUT * 2).await;
        assert!(mirror.current.load().0.is_empty(), "a view that was never used is not made");
        assert_eq!(shown(&mirror), "/a/1=before");
        for value in ["x", "y"] {
            put(&store, "/a/1", value).await;
            while mirror.current.load().0["/a/1"] != value {
                tokio::time::sleep(UNREAD_TIMEOUT).await;
            }
            assert!(!mirror.changed.flag.load(Ordering::Acquire), "nothing is left to read");
        }
        drop(owner);
        put(&store, "/a/1", "z").await;
        tokio::time::sleep(UNREAD_TIMEOUT * 2).await;
        assert_eq!(mirror.current.load().0["/a/1"], "y");
        assert_eq!(shown(&mirror), "/a/1=z");
    }

    #[tokio::test]
    async fn a_closed_store_leaves_the_last_view() {
        let store = Arc::new(Embedded::in_memory());
        put(&store, "/a/1", "x").await;
        let mirror = Mirror::new(store.clone(), vec!["/a/".into()], Copy::default());
        assert_eq!(shown(&mirror), "/a/1=x");
        store.close();
        assert_eq!(shown(&mirror), "/a/1=x");
    }
}
