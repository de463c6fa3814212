//! ResourceQuota: nothing is written that would take a namespace beyond what it may use.
//!
//! What is used stands in the status of each quota, and is raised and lowered in the transaction that writes
//! or removes the object, so it is exact at every revision:
//!
//! - A write that changes what is used expects the quota as it saw it. A lost race runs it again.
//! - A write that saw no quota, or none that it concerns, expects that none was made or changed meanwhile:
//!   a key of the namespace ([`mark_key`]) is rewritten with each new or changed spec.
//! - Those who write to one namespace that has quotas wait for each other, so races are rare: see [`Turns`].
//! - A quota whose status is not that of its spec (it is new, or its spec was changed) is counted anew, from a
//!   state that holds it: right after its own write, or by the next write that it concerns.
//!
//! Files: `evaluator` says what of a kind is counted, `charge` decides about a write, `count` counts a namespace.

mod charge;
mod claims;
mod count;
mod evaluator;
mod limited;
mod pods;
mod quota;
mod scopes;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::registry::SnapshotLookup;
use sampan_apiserver::registry::object::parse;
use sampan_apiserver::{Context, Resource, Verb, encode};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};
use sampan_store::{Expect, NewValue, Op, Snapshot, Store};
use tokio::sync::Mutex;

use super::is;
use super::rule::Write;
use charge::{Change, Refusal};
use evaluator::Evaluator;
pub(super) use limited::Limited;
use quota::Quota;

/// Keeps namespaces within their quotas.
pub(super) struct ResourceQuota {
    store: Arc<dyn Store>,
    turns: Turns,
    limited: Vec<Limited>,
}

impl std::fmt::Debug for ResourceQuota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceQuota").field("limited", &self.limited).finish_non_exhaustive()
    }
}

impl ResourceQuota {
    /// `limited`: what may be used only where a quota covers it.
    pub(super) fn new(store: Arc<dyn Store>, limited: Vec<Limited>) -> Self {
        Self { store, turns: Turns::default(), limited }
    }

    /// The quotas of the namespace of a write. When there are any (or there is something that needs one) it waits for the
    /// namespace's turn, and looks at the newest state.
    async fn look(&self, cx: &Context<'_>) -> Seen {
        let mut snapshot = self.store.snapshot();
        let none = snapshot.range(&quota_key(cx.namespace, ""), None).next().is_none();
        if none && self.limited.is_empty() {
            return Seen { mark: expect_mark(cx, &snapshot), quotas: Vec::new(), matters: false };
        }
        // An update that removes the object looks twice; its turn is still its own then.
        if !cx.writes(&mark_key(cx.namespace)) {
            cx.hold(self.turns.take(cx.namespace).await);
        }
        snapshot = self.store.snapshot();
        let lookup = SnapshotLookup::new(&snapshot);
        let entries = snapshot.range(&quota_key(cx.namespace, ""), None);
        let mut quotas: Vec<_> = entries.filter_map(|entry| parse(entry).ok()).map(Quota::new).collect();
        for quota in quotas.iter_mut().filter(|q| !q.is_counted()) {
            count::fill(quota, &lookup, cx.namespace);
        }
        Seen { mark: expect_mark(cx, &snapshot), quotas, matters: true }
    }

    /// Writes the quotas that a change moves, beside the object.
    fn write(cx: &Context<'_>, quotas: Vec<Quota>, moved: Vec<(usize, super::amounts::Amounts)>) {
        let mut quotas: Vec<Option<Quota>> = quotas.into_iter().map(Some).collect();
        for (i, used) in moved {
            let Some(quota) = quotas[i].take() else { continue };
            let (name, revision) = (quota.name.clone(), quota.revision);
            let object = quota.with_used(&used);
            let value = encode::stored(&object, &encode::type_prefix("ResourceQuota", "v1"));
            let key = quota_key(cx.namespace, &name).into();
            cx.also(Op::Put { key, expect: Expect::Revision(revision), value });
        }
    }
}

/// The key of a quota.
fn quota_key(namespace: &str, name: &str) -> String {
    format!("/registry/resourcequotas/{namespace}/{name}")
}

/// The key that is rewritten whenever a quota of the namespace is made or gets another spec.
fn mark_key(namespace: &str) -> String {
    format!("/registry/ranges/resourcequotas/{namespace}")
}

/// The write is to fail if a quota was made or changed since `snapshot`.
fn expect_mark(cx: &Context<'_>, snapshot: &Snapshot) -> Expect {
    let key = mark_key(cx.namespace);
    let expect = snapshot.get(&key).map_or(Expect::Absent, |mark| Expect::Revision(mark.revision));
    cx.also(Op::Check { key: key.into(), expect });
    expect
}

/// What a write saw of the quotas of its namespace.
struct Seen {
    /// That none was made or changed since.
    mark: Expect,
    quotas: Vec<Quota>,
    /// Whether there is anything to decide.
    matters: bool,
}

#[async_trait]
impl Admission for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        cx.resource.namespaced
            && match verb {
                Verb::Create | Verb::Update => {
                    Evaluator::handles(cx.resource, cx.subresource, verb) || is(cx, "", "resourcequotas")
                }
                _ => false,
            }
    }

    async fn validate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let mut mark = Expect::Any;
        if Evaluator::handles(cx.resource, cx.subresource, verb) {
            let seen = self.look(cx).await;
            mark = seen.mark;
            if seen.matters {
                let change = Change {
                    evaluator: Evaluator::of(cx.resource),
                    new: Some(object),
                    old,
                    enforced: Evaluator::enforces(cx.resource, cx.subresource, verb),
                };
                let moved =
                    charge::charge(&seen.quotas, &change, &self.limited).map_err(
                        |refusal| match refusal {
                            Refusal::Forbidden(why) => Write::checking(cx, verb, old).forbidden(object, why),
                            Refusal::Error(why) => Status::unknown(why),
                        },
                    )?;
                Self::write(cx, seen.quotas, moved);
            }
        }
        if is(cx, "", "resourcequotas") && old.is_none_or(|old| old.get("spec") != object.get("spec")) {
            let key = mark_key(cx.namespace).into();
            cx.also(Op::Put { key, expect: mark, value: NewValue::default() });
        }
        Ok(())
    }

    async fn removed(&self, cx: &Context<'_>, object: &Value) -> Result<(), Status> {
        if !cx.resource.namespaced {
            return Ok(());
        }
        let is_quota = cx.resource.gvr.group.is_empty() && cx.resource.gvr.resource == "resourcequotas";
        if let Some(evaluator) = Evaluator::counting(cx.resource) {
            let mut quotas = self.look(cx).await.quotas;
            // An update that takes the last finalizer away has been charged for what it would have changed.
            cx.take_back(&quota_key(cx.namespace, ""));
            // A quota that goes need not know that it does.
            quotas.retain(|q| !is_quota || q.name != object.name());
            let change = Change { evaluator, new: None, old: Some(object), enforced: false };
            let moved = charge::charge(&quotas, &change, &[]).unwrap_or_default();
            Self::write(cx, quotas, moved);
        }
        if is_quota {
            let snapshot = self.store.snapshot();
            let last = snapshot.count(&quota_key(cx.namespace, "")) <= 1;
            if let Some(mark) = snapshot.get(&mark_key(cx.namespace)).filter(|_| last) {
                let expect = Expect::Revision(mark.revision);
                cx.also(Op::Delete { key: Arc::clone(&mark.key), expect, last: None });
            }
        }
        Ok(())
    }

    fn follows(&self, resource: &Resource, verb: Verb) -> bool {
        resource.gvr.group.is_empty()
            && resource.gvr.resource == "resourcequotas"
            && matches!(verb, Verb::Create | Verb::Update)
    }

    /// Counts a new quota, and one whose spec has changed. Upstream's controller does it soon after.
    fn settle(&self, cx: &Context<'_>, _verb: Verb, object: &mut Value) -> bool {
        let mut quota = Quota::new(object.clone());
        if quota.is_counted() {
            return false;
        }
        count::fill(&mut quota, cx.lookup, object.namespace());
        let used = quota.used.clone();
        *object = quota.with_used(&used);
        true
    }
}

/// Who may write to a namespace that has quotas: one at a time. Without it, of all that try at once one would be
/// written, and all others would run again.
#[derive(Debug)]
struct Turns(Vec<Arc<Mutex<()>>>);

/// Namespaces share this many turns, so that they take no memory of their own.
const TURNS: usize = 64;

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Arc::default()).collect())
    }
}

impl Turns {
    async fn take(&self, namespace: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        namespace.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0);
        Arc::clone(&self.0[place]).lock_owned().await
    }
}
