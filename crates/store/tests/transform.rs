//! Values that lie on the disk in another form than in memory.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use sampan_store::conformance::model::{Model, Step};
use sampan_store::conformance::{self, Limits};
use sampan_store::embedded::{Embedded, HistoryLimits, Options, WatcherLimits};
use sampan_store::{
    Error, EventKind, Expect, Form, NewValue, Op, Store, Transform, TransformError, Transformed, Txn,
};

/// A lock that anybody can pick: every byte is changed by the number of a key, behind a head that says which
/// key and which place it is for. What lies under `/plain/` is left as it is.
#[derive(Debug)]
struct Toy {
    /// The key that writes; the ones up to it read.
    writes: AtomicU8,
    /// The oldest key that reads.
    oldest: u8,
    /// Whether writing fails.
    broken: AtomicBool,
    opened: AtomicUsize,
}

impl Toy {
    fn new(oldest: u8, writes: u8) -> Arc<Self> {
        Arc::new(Self {
            writes: AtomicU8::new(writes),
            oldest,
            broken: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
        })
    }

    fn key(&self) -> u8 {
        self.writes.load(Ordering::Relaxed)
    }
}

fn form(key: u8) -> Form {
    Form(NonZeroU64::new(u64::from(key)).unwrap())
}

impl Transform for Toy {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Transformed>, TransformError> {
        if key.starts_with("/plain/") {
            return Ok(None);
        }
        if self.broken.load(Ordering::Relaxed) {
            return Err("the lock is broken".into());
        }
        let number = self.key();
        let mut bytes = format!("toy{}{key}:", char::from(b'0' + number)).into_bytes();
        bytes.extend(value.iter().map(|byte| byte ^ (0x80 | number)));
        Ok(Some(Transformed { bytes, form: form(number) }))
    }

    fn open(&self, key: &str, stored: &[u8]) -> Result<Option<Transformed>, TransformError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let Some(rest) = stored.strip_prefix(b"toy") else { return Ok(None) };
        let number = rest[0] - b'0';
        if !(self.oldest..=self.key()).contains(&number) {
            return Err(format!("there is no key {number}").into());
        }
        let rest = rest[1..].strip_prefix(format!("{key}:").as_bytes()).ok_or("it belongs elsewhere")?;
        let bytes = rest.iter().map(|byte| byte ^ (0x80 | number)).collect();
        Ok(Some(Transformed { bytes, form: form(number) }))
    }

    fn is_current(&self, key: &str, at: Option<Form>) -> bool {
        at == (!key.starts_with("/plain/")).then(|| form(self.key()))
    }
}

fn options(dir: &Path, toy: &Arc<Toy>, limits: Limits) -> Options {
    Options {
        history: HistoryLimits { events: limits.history_events, ..HistoryLimits::default() },
        watcher_limits: WatcherLimits { events: limits.watcher_events, ..WatcherLimits::default() },
        transform: Some(Arc::clone(toy) as _),
        ..Options::new(dir)
    }
}

fn open(dir: &Path, toy: &Arc<Toy>) -> Result<Embedded, Error> {
    Embedded::open(options(dir, toy, Limits { history_events: 1000, ..Limits::WIDE }))
}

fn put(key: &str, value: &str) -> Op {
    let value = NewValue { bytes: value.into(), revision_at: Some(1), ..NewValue::default() };
    Op::Put { key: key.into(), expect: Expect::Any, value }
}

async fn write(store: &Embedded, key: &str, value: &str) {
    store.commit(Txn { ops: vec![put(key, value)] }).await.unwrap();
}

/// Whether a text stands in any file of the directory.
fn is_on_disk(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            (path.display().to_string(), std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_engine_with_a_transform_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    conformance::run_all(async |limits| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        let options = options(&dir.path().join(n.to_string()), &Toy::new(1, 1), limits);
        Arc::new(Embedded::open(options).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn histories_match_a_model_while_they_are_trimmed_and_keys_change() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { history_events: 300, ..Limits::WIDE };
    let toy = Toy::new(1, 1);
    let open = || Arc::new(Embedded::open(options(dir.path(), &toy, limits)).unwrap()) as Arc<dyn Store>;
    let mut model = Model::new(open()).await;
    for round in 0..4_u8 {
        for n in 0..200_u8 {
            let ops = (0..3).map(|i| (n.wrapping_mul(7 + i).wrapping_add(round) % 30, (n ^ i) % 5 != 0));
            let mut ops: Vec<_> = ops.collect();
            ops.sort_unstable();
            ops.dedup_by_key(|op| op.0);
            model.follow(&Step(ops)).await;
            if n == 100 {
                toy.writes.store(round + 1, Ordering::Relaxed);
            }
        }
        model.check().await;
        model = model.reopen(open);
        model.check().await;
    }
}

#[tokio::test]
async fn what_is_sealed_is_on_the_disk_only_sealed_and_what_is_plain_is_plain() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new(1, 1);
    let store = open(dir.path(), &toy).unwrap();
    write(&store, "/secret/a", "[]confidential").await;
    write(&store, "/plain/a", "[]everybody may know").await;
    assert_eq!(store.snapshot().get("/secret/a").unwrap().value, "[1]confidential");
    drop(store);
    assert!(!is_on_disk(dir.path(), "confidential"));
    assert!(is_on_disk(dir.path(), "[2]everybody may know"));
    let store = open(dir.path(), &toy).unwrap();
    assert_eq!(store.snapshot().get("/secret/a").unwrap().value, "[1]confidential");
    assert_eq!(store.snapshot().get("/plain/a").unwrap().value, "[2]everybody may know");
}

#[tokio::test]
async fn a_value_of_an_older_form_is_stale_until_it_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let plain = Embedded::open(Options::new(dir.path())).unwrap();
    write(&plain, "/secret/plain", "[]").await;
    write(&plain, "/plain/a", "[]").await;
    assert!(!plain.is_stale(plain.snapshot().get("/secret/plain").unwrap()));
    drop(plain);
    let stale = |store: &Embedded| {
        let snapshot = store.snapshot();
        snapshot.range("", None).filter(|e| store.is_stale(e)).map(|e| e.key.to_string()).collect::<Vec<_>>()
    };
    let toy = Toy::new(1, 1);
    let store = open(dir.path(), &toy).unwrap();
    assert_eq!(stale(&store), ["/secret/plain"]);
    write(&store, "/secret/plain", "[]").await;
    write(&store, "/secret/1", "[]").await;
    assert_eq!(stale(&store), [""; 0]);
    // A key that changes while the store is open, and the same after a restart.
    toy.writes.store(2, Ordering::Relaxed);
    assert_eq!(stale(&store), ["/secret/1", "/secret/plain"]);
    write(&store, "/secret/1", "[]").await;
    drop(store);
    let store = open(dir.path(), &toy).unwrap();
    assert_eq!(stale(&store), ["/secret/plain"]);
}

#[tokio::test]
async fn a_value_that_cannot_be_opened_ends_the_start_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let right = Toy::new(1, 1);
    let store = open(dir.path(), &right).unwrap();
    for n in 0..20 {
        write(&store, &format!("/secret/{n:02}"), "[]confidential").await;
    }
    drop(store);
    let before = files(dir.path());
    for _ in 0..2 {
        let error = open(dir.path(), &Toy::new(2, 2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unable to transform key \"/secret/00\" of revision 1 (and of 19 more)"
        );
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "there is no key 1");
        assert!(matches!(error, Error::Unreadable { revision: 1, others: 19, .. }));
    }
    assert!(before == files(dir.path()), "a start that fails leaves the files as they are");
    let store = open(dir.path(), &right).unwrap();
    assert_eq!(store.snapshot().get("/secret/07").unwrap().value, "[8]confidential");
    assert_eq!(store.snapshot().len(), 20);
}

#[tokio::test]
async fn a_value_that_was_moved_to_another_key_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new(1, 1);
    let store = open(dir.path(), &toy).unwrap();
    write(&store, "/secret/a", "[]a").await;
    write(&store, "/secret/b", "[]b").await;
    drop(store);
    let connection = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
    let moved = connection
        .execute("UPDATE events SET value = (SELECT value FROM events WHERE key = '/secret/a') WHERE key = '/secret/b'", [])
        .unwrap();
    assert_eq!(moved, 1);
    drop(connection);
    match open(dir.path(), &toy) {
        Err(Error::Unreadable { key, others: 0, .. }) => assert_eq!(&*key, "/secret/b"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_old_key_may_go_once_all_has_been_written_anew_and_costs_only_history() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new(1, 1);
    let store = open(dir.path(), &toy).unwrap();
    for n in 0..10 {
        write(&store, &format!("/secret/{n}"), "[]old").await;
        write(&store, &format!("/plain/{n}"), "[]").await;
    }
    store
        .commit(Txn { ops: vec![Op::Delete { key: "/secret/9".into(), expect: Expect::Any, last: None }] })
        .await
        .unwrap();
    toy.writes.store(2, Ordering::Relaxed);
    for n in 0..9 {
        write(&store, &format!("/secret/{n}"), "[]new").await;
    }
    write(&store, "/plain/late", "[]").await;
    let newest = store.snapshot().revision();
    drop(store);
    for _ in 0..2 {
        let store = open(dir.path(), &Toy::new(2, 2)).unwrap();
        let snapshot = store.snapshot();
        assert_eq!((snapshot.revision(), snapshot.len()), (newest, 20));
        assert_eq!(snapshot.get("/secret/0").unwrap().value, "[22]new");
        // The last event that shows an old value is the one that replaced /secret/8.
        assert_eq!(store.oldest_revision(), newest - 1);
        assert!(matches!(store.watch("/", newest - 2), Err(Error::Compacted { .. })));
        assert_eq!(store.snapshot_at(newest - 1).unwrap().len(), 19);
    }
    // With a longer history than fits the first start: it is folded on the disk, and goes on.
    let store = open(dir.path(), &Toy::new(2, 2)).unwrap();
    for n in 0..3000 {
        write(&store, &format!("/secret/{}", n % 9), "[]newer").await;
    }
    let oldest = store.oldest_revision();
    drop(store);
    let store = open(dir.path(), &Toy::new(2, 2)).unwrap();
    assert_eq!(store.oldest_revision(), oldest);
    assert_eq!(store.snapshot().len(), 20);
}

#[tokio::test]
async fn what_cannot_be_sealed_is_refused_alone_and_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new(1, 1);
    let store = open(dir.path(), &toy).unwrap();
    write(&store, "/secret/a", "[]a").await;
    write(&store, "/secret/b", "[]b").await;
    toy.broken.store(true, Ordering::Relaxed);
    for ops in [
        vec![put("/secret/c", "[]")],
        vec![put("/plain/x", "[]"), put("/secret/c", "[]"), put("/plain/y", "[]")],
    ] {
        match store.commit(Txn { ops }).await {
            Err(Error::Seal { key, source }) => {
                assert_eq!((&*key, source.to_string().as_str()), ("/secret/c", "the lock is broken"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((store.snapshot().revision(), store.snapshot().len()), (2, 2));
    write(&store, "/plain/x", "[]").await;
    let last = NewValue { bytes: b"[]gone".to_vec(), revision_at: Some(1), ..NewValue::default() };
    let delete = Op::Delete { key: "/secret/a".into(), expect: Expect::Any, last: Some(last) };
    let done = store.commit(Txn { ops: vec![delete] }).await.unwrap();
    assert_eq!(done.entries[0].as_ref().unwrap().value, "[4]gone");
    let mut registry = prometheus_client::registry::Registry::default();
    store.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("sampan_store_seal_failures_total 2"), "{text}");
    drop(store);
    assert!(!is_on_disk(dir.path(), "gone"));
    let store = open(dir.path(), &toy).unwrap();
    let keys: Vec<_> = store.snapshot().range("", None).map(|e| e.key.to_string()).collect();
    assert_eq!(keys, ["/plain/x", "/secret/b"]);
    let batch = store.watch("/secret/a", 1).unwrap().next().await.unwrap();
    let event = batch.iter().next().unwrap();
    assert_eq!((event.kind, event.revision), (EventKind::Delete, 4));
    assert_eq!(event.entry.value, "[1]a", "after a restart the event shows the value of before");
}

#[tokio::test]
async fn a_store_in_memory_has_nothing_to_seal() {
    let toy = Toy::new(1, 1);
    let store =
        Embedded::open(Options { transform: Some(Arc::clone(&toy) as _), ..Options::in_memory() }).unwrap();
    toy.broken.store(true, Ordering::Relaxed);
    write(&store, "/secret/a", "[]a").await;
    assert!(!store.is_stale(store.snapshot().get("/secret/a").unwrap()));
}
