//! What a watch promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Limits, commit, delete, newest, put, take, write};
use crate::{Error, EventKind, Expect, Revision, Store};

/// One stream, in order, without a seam.
pub async fn a_watch_from_the_past_replays_then_follows(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    for n in 0..10 {
        write(&store, &format!("/a/{n}"), "v").await;
    }
    let mut watcher = store.watch("/a/", start + 4).expect("it is in the history");
    for n in 10..20 {
        write(&store, &format!("/a/{n}"), "v").await;
    }
    let expected: Vec<_> = (4..20).map(|n| (start + 1 + n, format!("/a/{n}"))).collect();
    assert_eq!(take(&mut watcher, 16).await, expected);
    assert_eq!(watcher.progress(), start + 20);
}

/// Nothing of what was before.
pub async fn a_watch_from_now_sees_only_what_comes(store: Arc<dyn Store>) {
    write(&store, "/a/1", "v").await;
    let now = newest(&store).await;
    let mut watcher = store.watch("/a/", now).expect("it is the newest revision");
    assert_eq!(watcher.progress(), now);
    write(&store, "/a/2", "v").await;
    assert_eq!(take(&mut watcher, 1).await, [(now + 1, "/a/2".to_owned())]);
}

/// Creation, change, deletion, and creation again.
pub async fn an_event_knows_what_it_replaced(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    write(&store, "/a", "v").await;
    write(&store, "/a", "v").await;
    commit(&store, vec![delete("/a", Expect::Any)]).await;
    write(&store, "/a", "v").await;
    let mut watcher = store.watch("/a", start).expect("it is in the history");
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let batch = watcher.next().await.expect("the watch goes on");
        seen.extend(
            batch
                .iter()
                .map(|e| (e.kind, e.revision - start, e.previous.as_ref().map(|p| p.revision - start))),
        );
    }
    let expected = [
        (EventKind::Put, 1, None),
        (EventKind::Put, 2, Some(1)),
        (EventKind::Delete, 3, Some(2)),
        (EventKind::Put, 4, None),
    ];
    assert_eq!(seen, expected);
}

/// From the history and live, for prefixes that end anywhere in a key.
pub async fn a_watcher_sees_its_prefix_only(store: Arc<dyn Store>) {
    let keys = ["/a", "/a/", "/a/b", "/a/bc", "/a/bc/d", "/a/c", "/ab", "/b/a/b"];
    let prefixes = ["", "/", "/a", "/a/", "/a/b", "/a/bc/", "/b/"];
    let start = newest(&store).await;
    let mut live: Vec<_> =
        prefixes.iter().map(|p| store.watch(p, start).expect("it is the newest")).collect();
    for key in keys {
        write(&store, key, "v").await;
    }
    for (prefix, live) in prefixes.iter().zip(&mut live) {
        let expected: Vec<_> =
            keys.iter().filter(|k| k.starts_with(prefix)).map(ToString::to_string).collect();
        let mut replayed = store.watch(prefix, start).expect("it is in the history");
        for watcher in [live, &mut replayed] {
            let seen = take(watcher, expected.len()).await;
            assert_eq!(
                seen.into_iter().map(|(_, key)| key).collect::<Vec<_>>(),
                expected,
                "prefix {prefix:?}"
            );
        }
    }
}

/// A watcher that was busy finds all that has happened in one batch.
pub async fn waiting_events_come_together(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    let mut watcher = store.watch("/a/", start).expect("it is the newest revision");
    for n in 0..20 {
        write(&store, &format!("/a/{n}"), "v").await;
    }
    let many: Vec<_> = (0..5).map(|n| put(&format!("/a/{n}"), Expect::Any, "w")).collect();
    let last = commit(&store, many).await;
    let (mut batches, mut events) = (0, 0);
    while watcher.progress() < last {
        events += watcher.next().await.expect("the watch goes on").len();
        batches += 1;
    }
    assert_eq!(events, 25);
    assert!(batches <= 21, "a transaction's events are not torn apart");
}

/// An event is one object for all who were watching, so that what one keeps with it serves all; and it is kept for
/// them only, not for as long as the history holds the event.
pub async fn watchers_share_events(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    let mut one = store.watch("/a", start).expect("it is the newest revision");
    let mut two = store.watch("/", start).expect("it is the newest revision");
    write(&store, "/a", "v").await;
    let mut late = store.watch("/a", start).expect("it is in the history");
    let mut seen = Vec::new();
    for watcher in [&mut one, &mut two] {
        let batch = watcher.next().await.expect("the watch goes on");
        seen.extend(batch.iter().cloned());
    }
    assert_eq!(seen.len(), 2);
    let frame = Arc::new(7_u8);
    let kept = Arc::downgrade(&frame);
    seen[0].frame.get_or_init(|| frame);
    assert!(seen.iter().all(|e| e.frame.get_or_init(|| Arc::new(0_u8)) == Some(&7)));
    drop(seen);
    assert!(kept.upgrade().is_none(), "nobody is to be told any more");
    let again = late.next().await.expect("it is in the history");
    assert_eq!(again.iter().map(|e| &*e.entry.key).collect::<Vec<_>>(), ["/a"]);
}

/// For bookmarks, and for resuming.
pub async fn progress_passes_events_of_other_prefixes(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    let mut watcher = store.watch("/a/", start).expect("it is the newest revision");
    let mut last = start;
    for n in 0..10 {
        last = write(&store, &format!("/b/{n}"), "v").await;
    }
    while watcher.progress() < last {
        tokio::task::yield_now().await;
    }
    let wanted = write(&store, "/a/1", "v").await;
    write(&store, "/b/1", "v").await;
    // Not beyond what has not been taken yet.
    assert!(watcher.progress() < wanted);
    assert_eq!(take(&mut watcher, 1).await.len(), 1);
    assert!(watcher.progress() >= wanted);
}

/// Watches that begin at any moment, beside many writers.
pub async fn nothing_is_missed_or_repeated_while_writers_write(store: Arc<dyn Store>) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 60;
    let start = newest(&store).await;
    let end = start + WRITERS * EACH;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..EACH {
                    let key = format!("/a/{}", (writer * 7 + n) % 20);
                    write(&store, &key, "v").await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let watchers: Vec<_> = (0..24)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                while store.snapshot().revision() < start + n * 15 {
                    tokio::task::yield_now().await;
                }
                follow(&store, end).await;
            })
        })
        .collect();
    for task in writers.into_iter().chain(watchers) {
        task.await.expect("the task does not panic");
    }
}

/// Lists, watches from there, and compares with the state at the end.
async fn follow(store: &Arc<dyn Store>, end: Revision) {
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    let mut state: BTreeMap<Arc<str>, Revision> =
        snapshot.range("/a/", None).map(|e| (Arc::clone(&e.key), e.revision)).collect();
    let mut newest = snapshot.revision();
    let mut watcher = store.watch("/a/", newest).expect("it is in the history");
    while newest < end {
        for event in watcher.next().await.expect("the watch goes on").iter() {
            assert_eq!(event.revision, newest + 1, "every commit is seen once and in order");
            newest = event.revision;
            let before = state.insert(Arc::clone(&event.entry.key), event.revision);
            assert_eq!(event.previous.as_ref().map(|p| p.revision), before);
        }
    }
    let last = store.fresh_snapshot().await.expect("the store is open");
    assert!(last.range("/a/", None).map(|e| (&e.key, e.revision)).eq(state.iter().map(|(k, r)| (k, *r))));
}

/// Among watchers of the same prefix and of others.
pub async fn a_dropped_watcher_leaves_the_others_alone(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    let mut watchers: Vec<_> = (0..9)
        .map(|n| store.watch(if n % 3 == 0 { "/a/" } else { "/" }, start).expect("it is the newest revision"))
        .collect();
    let mut expected = Vec::new();
    while !watchers.is_empty() {
        let key = format!("/a/{}", watchers.len());
        expected.push((write(&store, &key, "v").await, key));
        drop(watchers.remove(watchers.len() / 2));
    }
    let mut watcher = store.watch("/", start).expect("it is in the history");
    assert_eq!(take(&mut watcher, expected.len()).await, expected);
}

/// It misses nothing by being ended.
pub async fn a_slow_watcher_is_ended_after_what_it_was_given_and_can_resume(store: Arc<dyn Store>) {
    let limit = Limits::NARROW.watcher_events;
    let start = newest(&store).await;
    let mut slow = store.watch("/a/", start).expect("it is the newest revision");
    let mut other = store.watch("/b/", start).expect("it is the newest revision");
    for n in 0..=limit {
        write(&store, &format!("/a/{n}"), "v").await;
    }
    let mut newest = start;
    let error = loop {
        match slow.next().await {
            Ok(batch) => {
                for event in batch.iter() {
                    assert_eq!(event.revision, newest + 1);
                    newest = event.revision;
                }
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::SlowWatcher { limit: l, unit: "events" } if l == limit), "{error}");
    assert_eq!(slow.progress(), newest);
    assert!(newest > start, "what it was given is not taken away");
    assert!(matches!(slow.next().await, Err(Error::SlowWatcher { .. })), "it is over");
    let mut resumed = store.watch("/a/", newest).expect("it is in the history");
    let missed = usize::try_from(start + limit as u64 + 1 - newest).expect("few");
    assert_eq!(take(&mut resumed, missed).await.len(), missed);
    let key = write(&store, "/b/1", "v").await;
    assert_eq!(take(&mut other, 1).await, [(key, "/b/1".to_owned())], "others do not suffer");
}
