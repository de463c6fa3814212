//! What a snapshot promises.

use std::sync::Arc;

use super::{commit, delete, write, written};
use crate::{Expect, Store};

/// However the store changes.
pub async fn a_snapshot_stays_as_it_is(store: Arc<dyn Store>) {
    for n in 0..100 {
        write(&store, &format!("/a/{n:03}"), "1").await;
    }
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    let before: Vec<_> = snapshot.range("/a/", None).cloned().collect();
    for n in 0..100 {
        match n % 3 {
            0 => write(&store, &format!("/a/{n:03}"), "2").await,
            1 => commit(&store, vec![delete(&format!("/a/{n:03}"), Expect::Present)]).await,
            _ => write(&store, &format!("/a/{n:03}/b"), "2").await,
        };
    }
    let after: Vec<_> = snapshot.range("/a/", None).cloned().collect();
    assert_eq!(before.len(), 100);
    assert!(before.iter().zip(&after).all(|(a, b)| Arc::ptr_eq(a, b)) && before.len() == after.len());
}

/// At once, and with its revision.
pub async fn an_acknowledged_commit_is_in_a_fresh_snapshot(store: Arc<dyn Store>) {
    for n in 0..50 {
        let revision = write(&store, "/a", &n.to_string()).await;
        let snapshot = store.fresh_snapshot().await.expect("the store is open");
        assert!(snapshot.revision() >= revision);
        assert_eq!(snapshot.get("/a").expect("it was written").value, written(&n.to_string(), revision));
    }
}

const KEYS: [&str; 9] = ["/", "/a", "/a/", "/a/1", "/a/1/x", "/a/2", "/a0", "/b/ä", "/b/ö"];

/// Keys are ordered as bytes; `from` is included, and may lie outside of the prefix.
pub async fn a_range_is_ordered_and_ends_with_its_prefix(store: Arc<dyn Store>) {
    for key in KEYS.iter().rev() {
        write(&store, key, "v").await;
    }
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    assert_eq!(snapshot.len(), KEYS.len());
    for prefix in KEYS.iter().chain(&["", "/a/1/", "/c", "/b/\u{10ffff}"]) {
        for from in [None].into_iter().chain(KEYS.iter().map(Some)).chain([Some(&"/a/1\0"), Some(&"z")]) {
            let given: Vec<_> = snapshot.range(prefix, from.copied()).map(|e| &*e.key).collect();
            let expected: Vec<_> = KEYS
                .into_iter()
                .filter(|key| key.starts_with(prefix) && from.is_none_or(|from| key >= from))
                .collect();
            assert_eq!(given, expected, "prefix {prefix:?} from {from:?}");
            assert_eq!(snapshot.range(prefix, from.copied()).len(), expected.len());
            assert_eq!(snapshot.count_from(prefix, from.copied()), expected.len());
        }
    }
}

/// Also for many keys, and while they come and go.
pub async fn a_count_is_the_length_of_the_range(store: Arc<dyn Store>) {
    for n in 0..300 {
        write(&store, &format!("/{}/{n}", n % 7), "v").await;
        if n % 4 == 0 {
            commit(&store, vec![delete(&format!("/{}/{}", (n / 2) % 7, n / 2), Expect::Any)]).await;
        }
    }
    let snapshot = store.fresh_snapshot().await.expect("the store is open");
    for prefix in ["", "/", "/0/", "/3", "/6/2", "/7/"] {
        assert_eq!(snapshot.count(prefix), snapshot.range(prefix, None).count(), "{prefix}");
    }
    assert_eq!(snapshot.len(), snapshot.count(""));
}
