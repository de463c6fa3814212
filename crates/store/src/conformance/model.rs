//! A store as a list of whole states, against which histories are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{commit, delete, newest, put, written};
use crate::{EventKind, Expect, Revision, Snapshot, Store};

/// One transaction: keys by number, and whether each is written or removed. A key counts once.
#[derive(Debug, Clone)]
pub struct Step(pub Vec<(u8, bool)>);

type State = BTreeMap<String, Vec<u8>>;

/// What a watcher should see of a change: revision, kind, key, value before.
type Change = (Revision, EventKind, String, Option<Vec<u8>>);

/// A store and what should be in it, at every revision.
#[expect(missing_debug_implementations, reason = "a store has no form to show")]
pub struct Model {
    store: Arc<dyn Store>,
    states: BTreeMap<Revision, State>,
    changes: Vec<Change>,
}

impl Model {
    /// Begins with an empty store.
    pub async fn new(store: Arc<dyn Store>) -> Self {
        let states = BTreeMap::from([(newest(&store).await, State::new())]);
        Self { store, states, changes: Vec::new() }
    }

    /// Lets go of the store, which must be the last hold on it, and goes on with another that should hold the same.
    #[must_use]
    pub fn reopen(self, open: impl FnOnce() -> Arc<dyn Store>) -> Self {
        let Self { store, states, changes } = self;
        drop(store);
        Self { store: open(), states, changes }
    }

    /// Commits a step.
    pub async fn follow(&mut self, step: &Step) {
        let (revision, mut state) =
            self.states.last_key_value().map(|(r, s)| (*r, s.clone())).expect("one state is there");
        let keys: BTreeMap<String, bool> = step.0.iter().map(|(key, put)| (name(*key), *put)).collect();
        let mut ops = Vec::new();
        let changes = self.changes.len();
        for (key, is_put) in keys {
            let before = state.get(&key).cloned();
            if is_put {
                ops.push(put(&key, Expect::Any, &key));
                state.insert(key.clone(), written(&key, revision + 1));
                self.changes.push((revision + 1, EventKind::Put, key, before));
            } else {
                ops.push(delete(&key, Expect::Any));
                if state.remove(&key).is_some() {
                    self.changes.push((revision + 1, EventKind::Delete, key, before));
                }
            }
        }
        let expected = revision + u64::from(self.changes.len() > changes);
        assert_eq!(commit(&self.store, ops).await, expected);
        self.states.insert(expected, state);
    }

    /// Compares everything that the store still has with what should be there.
    pub async fn check(&self) {
        let live = self.store.fresh_snapshot().await.expect("the store is open");
        let (newest, state) = self.states.last_key_value().expect("one state is there");
        assert_eq!(live.revision(), *newest);
        same(&live, state);
        let oldest = self.store.oldest_revision();
        let kept: Vec<_> = self.states.range(oldest..).collect();
        // From both ends towards the middle, so that rebuilt snapshots serve each other in every way.
        for i in 0..kept.len() {
            let (revision, state) = kept[if i % 2 == 0 { i / 2 } else { kept.len() - 1 - i / 2 }];
            let snapshot = self.store.snapshot_at(*revision).expect("it is in the history");
            assert_eq!(snapshot.revision(), *revision);
            same(&snapshot, state);
        }
        for (revision, _) in kept.iter().step_by(7) {
            for prefix in ["/", "/k/1", "/k/7"] {
                self.check_watch(prefix, **revision).await;
            }
        }
    }

    async fn check_watch(&self, prefix: &str, after: Revision) {
        let expected: Vec<_> = self
            .changes
            .iter()
            .filter(|(r, _, key, _)| *r > after && key.starts_with(prefix))
            .cloned()
            .collect();
        let mut watcher = self.store.watch(prefix, after).expect("it is in the history");
        let mut seen: Vec<Change> = Vec::new();
        while seen.len() < expected.len() {
            let batch = watcher.next().await.expect("the watch goes on");
            seen.extend(batch.iter().map(|e| {
                let before = e.previous.as_ref().map(|p| p.value.to_vec());
                (e.revision, e.kind, e.entry.key.to_string(), before)
            }));
        }
        assert_eq!(seen, expected);
    }
}

fn name(key: u8) -> String {
    format!("/k/{key}")
}

fn same(snapshot: &Snapshot, state: &State) {
    let given: Vec<_> = snapshot.range("", None).map(|e| (e.key.to_string(), e.value.to_vec())).collect();
    let expected: Vec<_> = state.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(given, expected, "at revision {}", snapshot.revision());
    assert_eq!(snapshot.count("/k/1"), state.keys().filter(|k| k.starts_with("/k/1")).count());
}
