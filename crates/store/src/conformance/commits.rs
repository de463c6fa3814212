//! What a commit promises.

use std::sync::Arc;

use super::{check, commit, delete, newest, put, value, write, written};
use crate::{Error, Expect, Memo, NewValue, Op, Store, Txn};

/// Revisions count commits, one by one.
pub async fn every_commit_has_the_next_revision(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    for n in 1..=20 {
        assert_eq!(write(&store, &format!("/a/{}", n % 3), "v").await, start + n);
    }
    assert_eq!(newest(&store).await, start + 20);
    assert_eq!(commit(&store, vec![delete("/a/0", Expect::Any)]).await, start + 21);
}

/// The store inserts the revision where the writer says, or nowhere.
pub async fn the_revision_is_spliced_in_at_its_place(store: Arc<dyn Store>) {
    let places = [("begin", Some(0)), ("middle", Some(2)), ("end", Some(4)), ("nowhere", None)];
    for (name, revision_at) in places {
        let new = NewValue { bytes: b"abcd".to_vec(), revision_at, ..NewValue::default() };
        let op = Op::Put { key: name.into(), expect: Expect::Any, value: new };
        let done = store.commit(Txn { ops: vec![op] }).await.expect("a plain write");
        let mut expected = "abcd".to_owned();
        if let Some(at) = revision_at {
            expected.insert_str(at, &done.revision.to_string());
        }
        let entry = done.entries[0].as_ref().expect("a put gives its entry");
        assert_eq!(entry.value, expected, "{name}");
        assert_eq!((&*entry.key, entry.revision), (name, done.revision));
        let snapshot = store.fresh_snapshot().await.expect("the store is open");
        assert_eq!(snapshot.get(name).expect("it was written").value, expected, "{name}");
    }
}

/// Every expectation, on a key that exists and on one that does not.
pub async fn expectations_decide_and_conflicts_give_the_current_entry(store: Arc<dyn Store>) {
    let there = write(&store, "/there", "v").await;
    let cases = [
        ("/there", Expect::Any, true),
        ("/there", Expect::Absent, false),
        ("/there", Expect::Present, true),
        ("/there", Expect::Revision(there), true),
        ("/there", Expect::Revision(there + 1), false),
        ("/there", Expect::Revision(0), false),
        ("/absent", Expect::Any, true),
        ("/absent", Expect::Absent, true),
        ("/absent", Expect::Present, false),
        ("/absent", Expect::Revision(there), false),
        ("/absent", Expect::Revision(0), false),
    ];
    for (key, expect, holds) in cases {
        match store.commit(Txn { ops: vec![check(key, expect)] }).await {
            Ok(_) => assert!(holds, "{key} {expect:?} held"),
            Err(Error::Conflict { op, current }) => {
                assert!(!holds, "{key} {expect:?} did not hold");
                assert_eq!(op, 0);
                assert_eq!(current.map(|e| e.revision), (key == "/there").then_some(there));
            }
            Err(other) => panic!("{key} {expect:?}: {other}"),
        }
    }
    // The same decides about writes, against what the last commit has left.
    let second = commit(&store, vec![put("/there", Expect::Revision(there), "w")]).await;
    for op in [put("/there", Expect::Revision(there), "x"), delete("/there", Expect::Revision(there))] {
        let Err(Error::Conflict { current: Some(current), .. }) = store.commit(Txn { ops: vec![op] }).await
        else {
            panic!("an outdated revision must conflict");
        };
        assert_eq!((current.revision, &current.value[..]), (second, &written("w", second)[..]));
    }
    assert_eq!(newest(&store).await, second);
}

/// One revision for all operations; one failed expectation, and none is applied.
pub async fn operations_are_applied_together_or_not_at_all(store: Arc<dyn Store>) {
    let first = commit(&store, vec![put("/a", Expect::Absent, "1"), put("/b", Expect::Absent, "1")]).await;
    let ops = vec![put("/a", Expect::Any, "2"), delete("/b", Expect::Any), check("/c", Expect::Present)];
    let Err(Error::Conflict { op: 2, current: None }) = store.commit(Txn { ops }).await else {
        panic!("the third operation must conflict");
    };
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    assert_eq!(snapshot.revision(), first);
    for key in ["/a", "/b"] {
        assert_eq!(snapshot.get(key).expect("nothing has changed").value, written("1", first));
    }
    let ops = vec![
        put("/c", Expect::Absent, "3"),
        delete("/b", Expect::Revision(first)),
        check("/a", Expect::Revision(first)),
        delete("/none", Expect::Any),
    ];
    let done = store.commit(Txn { ops }).await.expect("all expectations hold");
    assert_eq!(done.revision, first + 1);
    assert_eq!(done.entries.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    assert!(snapshot.get("/b").is_none());
    assert_eq!(snapshot.get("/a").expect("it was only checked").revision, first);
    assert_eq!(snapshot.get("/c").expect("it was put").revision, first + 1);
}

/// Checks, deletions of what is not there, and nothing at all.
pub async fn a_transaction_that_changes_nothing_has_no_revision(store: Arc<dyn Store>) {
    let revision = write(&store, "/a", "v").await;
    let nothings = [
        vec![check("/a", Expect::Present), check("/b", Expect::Absent)],
        vec![delete("/b", Expect::Any)],
        vec![],
    ];
    for ops in nothings {
        assert_eq!(commit(&store, ops).await, revision);
    }
    assert_eq!(newest(&store).await, revision);
    assert_eq!(write(&store, "/a", "v").await, revision + 1);
}

/// What no state could make right is refused, and changes nothing.
pub async fn a_senseless_transaction_is_refused(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    let beyond = NewValue { bytes: b"ab".to_vec(), revision_at: Some(3), ..NewValue::default() };
    let senseless = [
        vec![put("/a", Expect::Any, "1"), delete("/a", Expect::Any)],
        vec![Op::Put { key: "/a".into(), expect: Expect::Any, value: beyond }],
    ];
    for ops in senseless {
        assert!(matches!(store.commit(Txn { ops }).await, Err(Error::InvalidTxn(_))));
    }
    assert_eq!(newest(&store).await, start);
}

/// The value as it was, or the one that the writer gives for the occasion.
pub async fn a_deletion_gives_the_last_value(store: Arc<dyn Store>) {
    let first = commit(&store, vec![put("/a", Expect::Any, "1"), put("/b", Expect::Any, "1")]).await;
    let mut watcher = store.watch("/", first).expect("it is the newest revision");
    let last = Op::Delete { key: "/b".into(), expect: Expect::Present, last: Some(value("gone")) };
    let done =
        store.commit(Txn { ops: vec![delete("/a", Expect::Any), last] }).await.expect("both are there");
    let expected = [written("1", first), written("gone", done.revision)];
    let given: Vec<_> = done.entries.iter().flatten().map(|e| e.value.to_vec()).collect();
    assert_eq!(given, expected);
    let batch = watcher.next().await.expect("the watch goes on");
    let seen: Vec<_> = batch.iter().map(|e| e.entry.value.to_vec()).collect();
    assert_eq!(seen, expected);
    assert!(batch.iter().all(|e| e.revision == done.revision && e.kind == crate::EventKind::Delete));
    assert!(batch.iter().all(|e| e.previous.as_ref().is_some_and(|p| p.revision == first)));
}

/// What the writer knows about a value need not be derived again.
pub async fn a_memo_is_carried(store: Arc<dyn Store>) {
    let new = NewValue { memo: Memo::filled(Arc::new("known".to_owned())), ..value("v") };
    let op = Op::Put { key: "/a".into(), expect: Expect::Any, value: new };
    let done = store.commit(Txn { ops: vec![op] }).await.expect("a plain write");
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    for entry in [done.entries[0].as_ref(), snapshot.get("/a")] {
        let memo = entry.expect("it was written").memo.get_or_init(|| Arc::new("derived".to_owned()));
        assert_eq!(memo.map(String::as_str), Some("known"));
    }
}

/// Whether or not they are committed as one group.
pub async fn of_many_writers_that_create_one_key_one_wins(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store.commit(Txn { ops: vec![put("/a", Expect::Absent, &n.to_string())] }).await
            })
        })
        .collect();
    let mut won = Vec::new();
    let mut lost = Vec::new();
    for task in tasks {
        match task.await.expect("the task does not panic") {
            Ok(done) => won.push(done.revision),
            Err(Error::Conflict { current: Some(current), .. }) => lost.push(current.revision),
            Err(other) => panic!("neither won nor lost: {other}"),
        }
    }
    assert_eq!((won.len(), lost.len()), (1, 31));
    assert!(lost.iter().all(|revision| *revision == won[0]), "the losers see the winner's entry");
}

/// Optimistic concurrency loses no update.
pub async fn concurrent_increments_are_all_counted(store: Arc<dyn Store>) {
    let plain = |n: u64| NewValue { bytes: n.to_string().into_bytes(), ..NewValue::default() };
    let op = Op::Put { key: "/n".into(), expect: Expect::Absent, value: plain(0) };
    commit(&store, vec![op]).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..10 {
                    let snapshot = store.fresh_snapshot().await.expect("the store is open");
                    let mut entry = Arc::clone(snapshot.get("/n").expect("it was created"));
                    loop {
                        let n: u64 =
                            std::str::from_utf8(&entry.value).expect("digits").parse().expect("digits");
                        let expect = Expect::Revision(entry.revision);
                        let op = Op::Put { key: "/n".into(), expect, value: plain(n + 1) };
                        match store.commit(Txn { ops: vec![op] }).await {
                            Ok(_) => break,
                            Err(Error::Conflict { current: Some(current), .. }) => entry = current,
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task does not panic");
    }
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    assert_eq!(snapshot.get("/n").expect("it was created").value, "80");
}
