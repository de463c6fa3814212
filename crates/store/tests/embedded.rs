//! The embedded engine on a disk and in memory.

use sampan_store::embedded::{Embedded, Options};
use sampan_store::{Expect, NewValue, Op, Store, Txn};

fn put(key: &str, value: &str) -> Txn {
    let value = NewValue { bytes: value.into(), revision_at: Some(1), ..NewValue::default() };
    Txn { ops: vec![Op::Put { key: key.into(), expect: Expect::Any, value }] }
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
