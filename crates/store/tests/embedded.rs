//! The embedded engine on a disk and in memory.

use std::sync::Arc;

use proptest::prelude::*;
use sampan_store::conformance::model::{Model, Step};
use sampan_store::conformance::{self, Limits};
use sampan_store::embedded::{Embedded, HistoryLimits, Options, WatcherLimits};
use sampan_store::{Expect, NewValue, Op, Store, Txn};

fn put(key: &str, value: &str) -> Txn {
    let value = NewValue { bytes: value.into(), revision_at: Some(1), ..NewValue::default() };
    Txn { ops: vec![Op::Put { key: key.into(), expect: Expect::Any, value }] }
}

fn limited(options: Options, limits: Limits) -> Options {
    let history = HistoryLimits { events: limits.history_events, ..HistoryLimits::default() };
    Options {
        history,
        watcher_limits: WatcherLimits { events: limits.watcher_events, ..WatcherLimits::default() },
        ..options
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_engine_on_a_disk_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    conformance::run_all(async |limits| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let options = Options::new(dir.path().join(n.to_string()));
        Arc::new(Embedded::open(limited(options, limits)).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_engine_in_memory_is_a_store() {
    conformance::run_all(async |limits| {
        Arc::new(Embedded::open(limited(Options::in_memory(), limits)).unwrap()) as Arc<dyn Store>
    })
    .await;
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop::collection::vec((0..30_u8, prop::bool::weighted(0.7)), 1..6).prop_map(Step);
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn histories_match_a_model_while_they_are_trimmed_and_after_a_restart(steps in steps(), events in 1..300_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let options = limited(Options::new(dir.path()), Limits { history_events: events, ..Limits::WIDE });
            let open = || Arc::new(Embedded::open(options.clone()).unwrap()) as Arc<dyn Store>;
            let mut model = Model::new(open()).await;
            let half = steps.len() / 2;
            for step in &steps[..half] {
                model.follow(step).await;
            }
            model.check().await;
            let mut model = model.reopen(open);
            model.check().await;
            for step in &steps[half..] {
                model.follow(step).await;
            }
            model.check().await;
            model.reopen(open).check().await;
        });
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(Options::new(dir.path())).unwrap();
    let mut watcher = store.watch("/a/", 0).unwrap();
    for n in 0..1000 {
        let done = store.commit(put(&format!("/a/{}", n % 10), "[]")).await.unwrap();
        assert_eq!(done.revision, n + 1);
    }
    let mut seen = 0;
    while seen < 1000 {
        seen += watcher.next().await.unwrap().len();
    }
    assert_eq!(watcher.progress(), 1000);
    assert!(matches!(Embedded::open(Options::new(dir.path())), Err(sampan_store::Error::InUse(_))));
    drop(store);
    assert!(matches!(watcher.next().await, Err(sampan_store::Error::Closed)));
    let store = Embedded::open(Options::new(dir.path())).unwrap();
    assert_eq!(store.snapshot().revision(), 1000);
    assert_eq!(store.snapshot().count("/a/"), 10);
    assert_eq!(store.snapshot().get("/a/9").unwrap().value, "[1000]");
    assert_eq!(store.snapshot_at(500).unwrap().get("/a/9").unwrap().value, "[500]");
    assert_eq!(store.commit(put("/b", "[]")).await.unwrap().revision, 1001);
}

#[tokio::test]
async fn a_closed_store_ends_watches_and_refuses_commits_but_can_be_read() {
    let store = Embedded::in_memory();
    store.commit(put("/a", "[]")).await.unwrap();
    let mut watcher = store.watch("/", 0).unwrap();
    store.close();
    assert!(matches!(store.commit(put("/a", "[]")).await, Err(sampan_store::Error::Closed)));
    assert_eq!(store.snapshot().get("/a").unwrap().value, "[1]");
    assert_eq!(watcher.next().await.unwrap().len(), 1);
    assert!(matches!(watcher.next().await, Err(sampan_store::Error::Closed)));
    let mut late = store.watch("/", 1).unwrap();
    assert!(matches!(late.next().await, Err(sampan_store::Error::Closed)));
    store.close();
}

#[tokio::test]
async fn a_commit_whose_caller_has_gone_is_written_nevertheless() {
    let store = Embedded::in_memory();
    let mut watcher = store.watch("/", 0).unwrap();
    {
        let abandoned = std::pin::pin!(store.commit(put("/a", "[]")));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = std::future::Future::poll(abandoned, &mut context);
    }
    assert_eq!(watcher.next().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_history_is_bounded_by_bytes_as_well() {
    let history = HistoryLimits { bytes: 100_000, ..HistoryLimits::default() };
    let store = Embedded::open(Options { history, ..Options::in_memory() }).unwrap();
    let big = "x".repeat(10_000);
    for _ in 0..100 {
        store.commit(put("/a", &format!("[]{big}"))).await.unwrap();
    }
    let kept = store.snapshot().revision() - store.oldest_revision();
    assert!((5..=11).contains(&kept), "{kept} values of 10 KB are kept");
}

#[tokio::test]
async fn metrics_tell_what_the_store_does() {
    let store = Embedded::in_memory();
    let mut registry = prometheus_client::registry::Registry::default();
    store.register_metrics(&mut registry);
    let watcher = store.watch("/", 0).unwrap();
    for _ in 0..3 {
        store.commit(put("/a", "[]")).await.unwrap();
    }
    let stale = NewValue::default();
    let op = Op::Put { key: "/a".into(), expect: Expect::Absent, value: stale };
    store.commit(Txn { ops: vec![op] }).await.unwrap_err();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "sampan_store_commits_total 3",
        "sampan_store_conflicts_total 1",
        "sampan_store_failures_total 0",
        "sampan_store_objects 1",
        "sampan_store_revision 3",
        "sampan_store_watchers 1",
        "sampan_store_slow_watchers_total 0",
        "sampan_store_history_events 3",
        "sampan_store_history_bytes 326",
        "sampan_store_queue_length ",
        "sampan_store_group_size_count ",
        "sampan_store_commit_duration_seconds_count ",
    ] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line} is not in\n{text}");
    }
    drop(watcher);
    text.clear();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("sampan_store_watchers 0"));
}

#[tokio::test]
async fn a_watcher_for_whom_large_values_wait_is_ended_by_their_bytes() {
    let watcher_limits = WatcherLimits { bytes: 10_000, ..WatcherLimits::default() };
    let store = Embedded::open(Options { watcher_limits, ..Options::in_memory() }).unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    store.register_metrics(&mut registry);
    let (mut stalled, mut reads) = (store.watch("/", 0).unwrap(), store.watch("/", 0).unwrap());
    let value = "x".repeat(6_000);
    for key in ["/a", "/b", "/c"] {
        // A single one is always taken, however large.
        store.commit(put(key, &value)).await.unwrap();
        assert_eq!(reads.next().await.unwrap().len(), 1);
    }
    assert_eq!(stalled.next().await.unwrap().len(), 1);
    let error = stalled.next().await.unwrap_err();
    assert_eq!(error.to_string(), "the watcher fell behind by more than 10000 bytes");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in ["sampan_store_slow_watchers_total 1", "sampan_store_slow_watchers_by_bytes_total 1"] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
