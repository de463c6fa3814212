//! What a store is, in tests that every engine runs.
//!
//! Each property is a function that takes a fresh, empty store and panics when the store breaks its
//! promise. They rely on nothing but the [`Store`] trait: an engine whose live state follows another
//! process's commits late passes too, since they ask for fresh snapshots and wait for events.

pub mod commits;
pub mod history;
pub mod model;
pub mod snapshots;
pub mod watches;

use std::sync::Arc;

use crate::{Expect, NewValue, Op, Revision, Store, Txn, Watcher};

/// How the suite wants a store to be limited, so that it reaches the limits soon.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many events the history keeps, at least. It may keep a few hundred more.
    pub history_events: usize,
    /// How many events may wait for a watcher.
    pub watcher_events: usize,
}

impl Limits {
    /// Limits that no property but those about limits comes near.
    pub const WIDE: Self = Self { history_events: 100_000, watcher_events: 100_000 };
    /// Limits to run into.
    pub const NARROW: Self = Self { history_events: 64, watcher_events: 32 };
}

/// Runs the whole suite, with a fresh store for every property.
pub async fn run_all(make: impl AsyncFn(Limits) -> Arc<dyn Store>) {
    macro_rules! run {
        ($limits:expr; $($property:path),+ $(,)?) => {
            $(
                tracing::info!(property = stringify!($property), "store conformance");
                $property(make($limits).await).await;
            )+
        };
    }
    run!(Limits::WIDE;
        commits::every_commit_has_the_next_revision,
        commits::the_revision_is_spliced_in_at_its_place,
        commits::expectations_decide_and_conflicts_give_the_current_entry,
        commits::operations_are_applied_together_or_not_at_all,
        commits::a_transaction_that_changes_nothing_has_no_revision,
        commits::a_senseless_transaction_is_refused,
        commits::a_deletion_gives_the_last_value,
        commits::a_memo_is_carried,
        commits::of_many_writers_that_create_one_key_one_wins,
        commits::concurrent_increments_are_all_counted,
        snapshots::a_snapshot_stays_as_it_is,
        snapshots::an_acknowledged_commit_is_in_a_fresh_snapshot,
        snapshots::a_range_is_ordered_and_ends_with_its_prefix,
        snapshots::a_count_is_the_length_of_the_range,
        history::an_old_snapshot_is_exact,
        history::a_future_revision_is_refused,
        history::random_histories_match_a_model,
        watches::a_watch_from_the_past_replays_then_follows,
        watches::a_watch_from_now_sees_only_what_comes,
        watches::an_event_knows_what_it_replaced,
        watches::a_watcher_sees_its_prefix_only,
        watches::waiting_events_come_together,
        watches::watchers_share_events,
        watches::progress_passes_events_of_other_prefixes,
        watches::nothing_is_missed_or_repeated_while_writers_write,
        watches::a_dropped_watcher_leaves_the_others_alone,
    );
    run!(Limits::NARROW;
        history::what_is_older_than_the_history_is_compacted,
        watches::a_slow_watcher_is_ended_after_what_it_was_given_and_can_resume,
    );
}

/// A value with a place for its revision, and the revision's place marked by brackets.
pub(crate) fn value(text: &str) -> NewValue {
    let bytes = format!("{text}[]").into_bytes();
    NewValue { revision_at: Some(bytes.len() - 1), bytes, ..NewValue::default() }
}

/// What a value becomes when it is written.
pub(crate) fn written(text: &str, revision: Revision) -> Vec<u8> {
    format!("{text}[{revision}]").into_bytes()
}

pub(crate) fn put(key: &str, expect: Expect, text: &str) -> Op {
    Op::Put { key: key.into(), expect, value: value(text) }
}

pub(crate) fn delete(key: &str, expect: Expect) -> Op {
    Op::Delete { key: key.into(), expect, last: None }
}

pub(crate) fn check(key: &str, expect: Expect) -> Op {
    Op::Check { key: key.into(), expect }
}

/// Commits what must succeed.
pub(crate) async fn commit(store: &Arc<dyn Store>, ops: Vec<Op>) -> Revision {
    store.commit(Txn { ops }).await.expect("nothing stands against this commit").revision
}

/// Puts one key.
pub(crate) async fn write(store: &Arc<dyn Store>, key: &str, text: &str) -> Revision {
    commit(store, vec![put(key, Expect::Any, text)]).await
}

pub(crate) async fn newest(store: &Arc<dyn Store>) -> Revision {
    store.fresh_snapshot().await.expect("the store is open").revision()
}

/// The next `count` events, as (revision, key).
pub(crate) async fn take(watcher: &mut Watcher, count: usize) -> Vec<(Revision, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let batch = watcher.next().await.expect("the watch goes on");
        seen.extend(batch.iter().map(|e| (e.revision, e.entry.key.to_string())));
    }
    assert_eq!(seen.len(), count, "more events than were written: {seen:?}");
    seen
}
