//! DELETE of one object and of a collection.

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use sampan_model::meta::ObjectMeta;
use sampan_model::object_meta::{FINALIZER_FOREGROUND as FOREGROUND, FINALIZER_ORPHAN as ORPHAN};
use sampan_model::status::Details;
use sampan_model::{FieldError, GroupKind, Status, Str, Value};
use sampan_store::{Entry, Expect, Memo, NewValue, Op, Txn};

use super::update::precondition_failed;
use super::write::{ATTEMPTS, CommitError, Written, format_time, stored};
use super::{Attributes, ListAnswer, ListOptions, Registry, object, store_error};
use crate::http_io::query::Query;
use crate::strategy::Dependents;
use crate::{Context, Strategy, Verb};

/// `metav1.DeleteOptions`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub propagation_policy: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

impl DeleteOptions {
    /// From a body, or from the query where there is no body. 422 with the API's causes when something is wrong.
    pub fn parse(body: Option<&Value>, query: &Query) -> Result<Self, Status> {
        let mut options = Self::default();
        let mut errors = Vec::new();
        let mut dry_run: Vec<String> =
            query.all("dryRun").filter(|v| !v.is_empty()).map(str::to_owned).collect();
        if let Some(body) = body {
            options.grace_period_seconds = body.get("gracePeriodSeconds").and_then(Value::as_i64);
            options.propagation_policy =
                body.get("propagationPolicy").and_then(Value::as_str).map(str::to_owned);
            options.orphan_dependents = body.get("orphanDependents").and_then(Value::as_bool);
            let precondition =
                |field| body.at(&["preconditions", field]).and_then(Value::as_str).map(str::to_owned);
            options.uid = precondition("uid");
            options.resource_version = precondition("resourceVersion");
            dry_run.extend(body.array_at(&["dryRun"]).iter().filter_map(Value::as_str).map(str::to_owned));
        } else {
            options.grace_period_seconds = query.integer("gracePeriodSeconds")?;
            options.propagation_policy =
                query.has("propagationPolicy").then(|| query.get("propagationPolicy").to_owned());
            options.orphan_dependents = query.has("orphanDependents").then(|| query.flag("orphanDependents"));
        }
        if let (Some(policy), Some(_)) = (&options.propagation_policy, options.orphan_dependents) {
            errors.push(FieldError::invalid(
                "propagationPolicy",
                policy.as_str(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        if let Some(policy) = options.propagation_policy.as_deref()
            && !matches!(policy, "Foreground" | "Background" | "Orphan")
        {
            errors.push(FieldError::not_supported_as_listed(
                "propagationPolicy",
                policy,
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
        if dry_run.iter().any(|v| v != "All") {
            errors.push(FieldError::not_supported("dryRun", dry_run.clone(), &["All"]));
        }
        options.dry_run = !dry_run.is_empty();
        if errors.is_empty() {
            Ok(options)
        } else {
            Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &errors))
        }
    }
}

/// The outcome of a deletion.
#[derive(Debug)]
pub enum Deleted {
    /// The object is gone, and the kind answers with a Status.
    Gone(Status, Vec<String>),
    /// The object as it is now (it waits for finalizers or its grace period), or as it was last.
    Object(Written),
}

/// What is to be done with an object that a client wants deleted.
enum Plan {
    /// It goes at once; this is its last state.
    Remove(Value),
    /// It stays, marked.
    Mark(Value),
    /// Nothing: it is on its way already.
    Wait,
}

impl Registry {
    /// Deletes the object that `a` names.
    pub async fn delete(&self, a: &Attributes, options: &DeleteOptions) -> Result<Deleted, Status> {
        for _ in 0..ATTEMPTS {
            match self.try_delete(a, options).await {
                Ok(deleted) => return Ok(deleted),
                Err(CommitError::Raced) => {}
                Err(CommitError::Status(status)) => return Err(status),
            }
        }
        Err(Status::modified(&a.resource.group_resource(), &a.name))
    }

    /// Deletes every object that `list` selects; answers the list, as it was.
    pub async fn delete_collection(
        &self,
        a: &Attributes,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<ListAnswer, Status> {
        let answer = self.list(a, list).await?;
        for entry in answer.items.clone().entries() {
            let (namespace, name) = object::names(&a.storage, &entry.key);
            let one = Attributes { namespace: namespace.into(), name: name.into(), ..a.clone() };
            match self.delete(&one, options).await {
                Ok(_) => {}
                Err(status) if status.code() == 404 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(ListAnswer { continue_token: String::new(), remaining: None, ..answer })
    }

    async fn try_delete(&self, a: &Attributes, options: &DeleteOptions) -> Result<Deleted, CommitError> {
        let fail = CommitError::Status;
        let snapshot = self.store.snapshot();
        let entry = snapshot.get(&a.key()).ok_or_else(|| fail(a.not_found()))?;
        let old = object::parse(entry).map_err(fail)?;
        let now = self.now();
        let lookup = self.lookup(&snapshot);
        let cx = Context::new(a, now, options.dry_run, &lookup);
        check_preconditions(a, options, entry, &old).map_err(fail)?;
        let strategy = &*a.resource.strategy;
        self.admission.validate(&cx, Verb::Delete, &old, Some(&old)).await.map_err(fail)?;
        if options.propagation_policy.is_none() && options.orphan_dependents.is_none() {
            strategy.deletion_warnings(&old).into_iter().for_each(|w| cx.warn(w));
        }
        match plan(strategy, &old, options, now) {
            Plan::Wait => {
                let bytes = object::bytes(&a.resource, entry).map_err(fail)?;
                Ok(Deleted::Object(Written { object: bytes, created: false, warnings: cx.take_warnings() }))
            }
            Plan::Mark(object) => {
                let bytes = self.commit(a, &cx, Some(entry), &object, a.key()).await?;
                Ok(Deleted::Object(Written { object: bytes, created: false, warnings: cx.take_warnings() }))
            }
            Plan::Remove(last) => {
                let uid = last.uid().to_owned();
                let bytes = self.remove(a, &cx, entry, &old, last).await?;
                let warnings = cx.take_warnings();
                if strategy.delete_returns_object() {
                    return Ok(Deleted::Object(Written { object: bytes, created: false, warnings }));
                }
                let details = Details {
                    name: a.name.to_string(),
                    group: a.resource.gvr.group.to_string(),
                    kind: a.resource.gvr.resource.to_string(),
                    uid,
                    ..Details::default()
                };
                Ok(Deleted::Gone(Status::success(Some(details)), warnings))
            }
        }
    }

    /// Removes an object whose last finalizer an update took away.
    pub(super) async fn finish_deletion(
        &self,
        a: &Attributes,
        cx: &Context<'_>,
        entry: &Arc<Entry>,
        stored: &Value,
        last: Value,
    ) -> Result<Written, CommitError> {
        let bytes = self.remove(a, cx, entry, stored, last).await?;
        Ok(Written { object: bytes, created: false, warnings: cx.take_warnings() })
    }

    /// Takes the object out of the store; `last` is what watchers and the client see of it, `old` what is stored.
    async fn remove(
        &self,
        a: &Attributes,
        cx: &Context<'_>,
        entry: &Arc<Entry>,
        old: &Value,
        last: Value,
    ) -> Result<Bytes, CommitError> {
        let fail = CommitError::Status;
        if cx.dry_run {
            let object = super::write::unstored(&a.resource, &last, Some(entry.revision));
            return Ok(object::encoded(&object));
        }
        a.resource.strategy.on_delete(cx, &last);
        self.admission.removed(cx, old).await.map_err(fail)?;
        let view = Arc::new(object::View::new(&a.storage, &last));
        let value = NewValue { memo: Memo::filled(view), ..stored(&a.storage, &last) };
        let key = Arc::clone(&entry.key);
        let mut ops = vec![Op::Delete { key, expect: Expect::Revision(entry.revision), last: Some(value) }];
        ops.extend(cx.take_ops());
        match self.store.commit(Txn { ops }).await {
            Ok(committed) => {
                let last = committed.entries.into_iter().next().flatten();
                let last = last.ok_or_else(|| fail(Status::internal("a deletion without its last entry")))?;
                object::bytes(&a.resource, &last).map_err(fail)
            }
            Err(sampan_store::Error::Conflict { .. }) => Err(CommitError::Raced),
            Err(error) => Err(fail(store_error(&error))),
        }
    }
}

fn check_preconditions(
    a: &Attributes,
    options: &DeleteOptions,
    entry: &Entry,
    old: &Value,
) -> Result<(), Status> {
    let resource = a.resource.group_resource();
    if let Some(uid) = &options.uid
        && uid != old.uid()
    {
        return Err(Status::conflict(
            &resource,
            &a.name,
            precondition_failed(&entry.key, "UID", uid, old.uid()),
        ));
    }
    if let Some(version) = &options.resource_version
        && *version != entry.revision.to_string()
    {
        return Err(Status::conflict(
            &resource,
            &a.name,
            precondition_failed(&entry.key, "ResourceVersion", version, &entry.revision.to_string()),
        ));
    }
    Ok(())
}

/// Grace, finalizers and marks: what upstream's `BeforeDelete` and `deletionFinalizersForGarbageCollection` decide.
fn plan(strategy: &dyn Strategy, old: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let mut object = old.clone();
    let (deleting, left) = (old.is_deleting(), grace_left(old));
    let mut graceful = strategy.grace_period_seconds(old, options.grace_period_seconds);
    match graceful {
        Some(seconds) if !deleting => mark(&mut object, after(now, seconds), seconds, true),
        // Once its time runs it may only become shorter, and nothing else of the deletion can be changed.
        Some(_) if left > 0 => match options.grace_period_seconds.map(|s| if s < 0 { 1 } else { s }) {
            Some(asked) if asked < left => {
                // Counted from the deletion that set it going.
                let ends = old.meta_str("deletionTimestamp").parse().unwrap_or(now);
                mark(&mut object, after(ends, asked - left), asked, false);
            }
            _ => return Plan::Wait,
        },
        // Its time is over.
        Some(_) => graceful = None,
        None => {}
    }
    let finalizers_changed = set_dependents_finalizers(strategy, &mut object, options);
    let held = !object.finalizers().is_empty() || strategy.holds_deletion(&object);
    if !held && grace_left(&object) == 0 {
        object.meta_mut().remove("resourceVersion");
        return Plan::Remove(object);
    }
    if held && graceful.is_none() {
        if deleting && !finalizers_changed {
            return Plan::Wait;
        }
        if !deleting {
            mark(&mut object, now, 0, true);
        }
    }
    strategy.prepare_for_deletion(&mut object);
    Plan::Mark(object)
}

fn grace_left(object: &Value) -> i64 {
    object.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0)
}

fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

/// Sets `deletionTimestamp` and `deletionGracePeriodSeconds`; the first time the generation grows.
fn mark(object: &mut Value, ends: Timestamp, grace_seconds: i64, first: bool) {
    let generation = object.generation();
    let meta = object.meta_mut();
    meta.insert("deletionTimestamp", format_time(ends));
    meta.insert("deletionGracePeriodSeconds", grace_seconds);
    if first && generation > 0 {
        meta.insert("generation", generation + 1);
    }
}

/// Records for the garbage collector what is to become of dependents. Whether anything changed.
fn set_dependents_finalizers(strategy: &dyn Strategy, object: &mut Value, options: &DeleteOptions) -> bool {
    let before: Vec<Str> = object.finalizers().iter().filter_map(Value::as_str).map(Str::from).collect();
    let has = |name: &str| before.iter().any(|f| f == name);
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation_policy.as_deref()) {
        (Some(orphan), _) => (orphan, false),
        (None, Some("Orphan")) => (true, false),
        (None, Some("Foreground")) => (false, true),
        (None, Some(_)) => (false, false),
        (None, None) if has(ORPHAN) || has(FOREGROUND) => (has(ORPHAN), has(FOREGROUND)),
        (None, None) => (strategy.default_dependents() == Dependents::Orphan, false),
    };
    let mut after: Vec<Str> = before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    if orphan {
        after.push(ORPHAN.into());
    }
    if foreground {
        after.push(FOREGROUND.into());
    }
    let mut sorted = (before.clone(), after.clone());
    sorted.0.sort();
    sorted.1.sort();
    if sorted.0 == sorted.1 {
        return false;
    }
    if after.is_empty() {
        object.meta_mut().remove("finalizers");
    } else {
        object.meta_mut().insert("finalizers", after);
    }
    true
}
