//! What the past promises.

use std::sync::Arc;

use super::model::{Model, Step};
use super::{Limits, commit, delete, newest, write, written};
use crate::{Error, Expect, Revision, Store};

/// At every revision, in any order, also twice.
pub async fn an_old_snapshot_is_exact(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    for n in 0..60 {
        write(&store, &format!("/a/{}", n % 7), "v").await;
    }
    let last = commit(&store, vec![delete("/a/0", Expect::Present)]).await;
    let check = |revision: Revision| {
        let snapshot = store.snapshot_at(revision).expect("it is in the history");
        assert_eq!(snapshot.revision(), revision);
        for key in 0..7 {
            // The newest write of this key up to the revision: every seventh wrote it.
            let writes = (start + 1 + key..=revision.min(start + 60)).step_by(7);
            let expected = writes.last().filter(|_| !(key == 0 && revision == last));
            let value = snapshot.get(&format!("/a/{key}")).map(|e| e.value.to_vec());
            assert_eq!(value, expected.map(|r| written("v", r)), "key {key} at {revision}");
        }
    };
    (start..=last).for_each(check);
    (start..=last).rev().for_each(check);
    (0..200).map(|n| start + n * 37 % 62).for_each(check);
}

/// For snapshots and for watches.
pub async fn a_future_revision_is_refused(store: Arc<dyn Store>) {
    let newest = write(&store, "/a", "v").await;
    let expected = |error| matches!(error, Error::Future { requested, newest: n } if requested == newest + 1 && n == newest);
    assert!(expected(store.snapshot_at(newest + 1).expect_err("it is in the future")));
    assert!(expected(store.watch("/", newest + 1).expect_err("it is in the future")));
}

/// Scripts of random transactions, the same ones every time.
pub async fn random_histories_match_a_model(store: Arc<dyn Store>) {
    let mut random = Random(0x5a3d_9e37_79b9_7f4a);
    let mut model = Model::new(store).await;
    for _ in 0..150 {
        let ops = 1 + random.below(4);
        let step = (0..ops)
            .map(|_| (u8::try_from(random.below(40)).expect("below 40"), random.below(3) > 0))
            .collect();
        model.follow(&Step(step)).await;
    }
    model.check().await;
}

/// Beyond its limit the history goes, and says so; within, it stays exact.
pub async fn what_is_older_than_the_history_is_compacted(store: Arc<dyn Store>) {
    let start = newest(&store).await;
    let mut last = start;
    let mut written = 0;
    while store.oldest_revision() <= start {
        last = write(&store, &format!("/a/{}", written % 5), "v").await;
        written += 1;
        assert!(written < 50 * Limits::NARROW.history_events, "the history must end somewhere");
    }
    let oldest = store.oldest_revision();
    assert!(last - oldest >= Limits::NARROW.history_events as u64, "the history keeps what it must");
    let compacted = |error| matches!(error, Error::Compacted { requested, oldest: o } if requested == start && o >= oldest);
    assert!(compacted(store.snapshot_at(start).expect_err("it is too old")));
    assert!(compacted(store.watch("/", start).expect_err("it is too old")));
    assert_eq!(store.snapshot_at(oldest).expect("the oldest can be had").revision(), oldest);
    let mut watcher = store.watch("/", oldest).expect("the oldest can be resumed after");
    let seen = super::take(&mut watcher, usize::try_from(last - oldest).expect("few")).await;
    assert!(seen.iter().map(|(revision, _)| *revision).eq(oldest + 1..=last));
}

/// A small generator of random numbers (xorshift): the suite needs them to be the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
