//! What a kind does differently from every other: hooks named for the phase of a write in which they run.
//!
//! All of them are synchronous functions of what they are given. What they need to know of other objects
//! they read through [`Lookup`], which is one snapshot of the live state; what they must write beside
//! the object goes into the same transaction by [`Context::also`].

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use sampan_model::{FieldError, GroupResource, Status, Value};
use sampan_schema::managed::FieldSet;
use sampan_store::Op;

use crate::audit::Recorder;
use crate::catalog::Catalog;
use crate::registry::Attributes;
use crate::{Resource, User};

/// Reads other objects as they are in one snapshot.
pub trait Lookup: Send + Sync {
    /// The object of that resource (in the storage's group), or `None`. `namespace` is empty for cluster scope.
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value>;
    /// All objects of that resource; `namespace` empty: of all namespaces.
    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value>;
    /// Whether that object exists.
    fn exists(&self, resource: &GroupResource, namespace: &str, name: &str) -> bool;
    /// Whether a raw key of the store exists (reservations that are no objects).
    fn has_key(&self, key: &str) -> bool;
    /// The raw keys with a prefix, in order.
    fn keys(&self, prefix: &str) -> Vec<String>;
    /// The resources that are served; `None` where that is not known.
    fn catalog(&self) -> Option<Arc<Catalog>> {
        None
    }
}

/// The circumstances of a write.
pub struct Context<'a> {
    /// The resource that is written.
    pub resource: &'a Resource,
    /// The subresource through which, if any.
    pub subresource: &'a str,
    /// The namespace of the path; empty at cluster scope.
    pub namespace: &'a str,
    /// The name of the path; empty where the body brings it.
    pub name: &'a str,
    /// Who writes.
    pub user: &'a User,
    /// When.
    pub now: Timestamp,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Whether the request is a PATCH.
    pub patches: bool,
    /// Other objects.
    pub lookup: &'a dyn Lookup,
    recorder: &'a Recorder,
    also: Mutex<Vec<Op>>,
    warnings: Mutex<Vec<String>>,
    held: Mutex<Vec<Box<dyn Send>>>,
}

impl<'a> Context<'a> {
    /// Circumstances with nothing to warn of or to write beside yet.
    pub fn new(a: &'a Attributes, now: Timestamp, dry_run: bool, lookup: &'a dyn Lookup) -> Self {
        Self {
            resource: &a.storage,
            subresource: &a.subresource,
            namespace: &a.namespace,
            name: &a.name,
            user: &a.user,
            now,
            dry_run,
            patches: a.patches,
            lookup,
            recorder: &a.audit,
            also: Mutex::default(),
            warnings: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// Adds an operation to the transaction that writes the object: an allocation, say, which must not
    /// outlive a failed write nor be missing after a successful one. A conflict in it makes the engine
    /// run the write again on a newer snapshot. Of several operations on one key the last stays.
    pub fn also(&self, op: Op) {
        let mut ops = self.also.lock();
        ops.retain(|earlier| earlier.key() != op.key());
        ops.push(op);
    }

    /// Whether [`Context::also`] was told of a key.
    pub fn writes(&self, key: &str) -> bool {
        self.also.lock().iter().any(|op| op.key() == key)
    }

    /// Takes back what [`Context::also`] was told of keys that begin so.
    pub fn take_back(&self, prefix: &str) {
        self.also.lock().retain(|op| !op.key().starts_with(prefix));
    }

    /// Keeps something (the guard of a lock, say) until the write is done or has failed.
    pub fn hold(&self, guard: impl Send + 'static) {
        self.held.lock().push(Box::new(guard));
    }

    /// Adds a `Warning` header to the answer.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().push(text.into());
    }

    /// Adds an annotation to the request's audit event; what was said first of a key stays.
    pub fn audit(&self, key: &str, value: impl Into<String>) {
        self.recorder.annotate(key, value);
    }

    /// What was added by [`Context::also`], taken out.
    pub fn take_ops(&self) -> Vec<Op> {
        std::mem::take(&mut self.also.lock())
    }

    /// What was added by [`Context::warn`], taken out.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }
}

/// How a deletion without options treats dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependents {
    /// They are collected in the background.
    Background,
    /// They stay, without their owner.
    Orphan,
}

/// What a kind does differently; the defaults are what most kinds do.
///
/// The phases of a create: decode, schema defaults, [`default`](Strategy::default), managed fields, mutating
/// admission, [`prepare_for_create`](Strategy::prepare_for_create), [`validate`](Strategy::validate),
/// validating admission, commit. So nobody owns what the server itself fills in. An update has the same phases with `old`, the object as it is stored.
pub trait Strategy: Send + Sync + std::fmt::Debug {
    /// Sets defaults that depend on other fields (the schema's own are set already). Must be idempotent.
    fn default(&self, _object: &mut Value) {}

    /// Clears what a client may not set (status), and sets what the server sets.
    fn prepare_for_create(&self, _cx: &Context<'_>, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// The same for an update: restores from `old` what this endpoint may not change, raises the generation.
    fn prepare_for_update(&self, _cx: &Context<'_>, _object: &mut Value, _old: &Value) -> Result<(), Status> {
        Ok(())
    }

    /// Whether `name` may be a name; upstream's sentences if not. `prefix`: it is a `generateName`.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        sampan_model::name::name_is_dns_subdomain(name, prefix)
    }

    /// What is wrong with a new object (its metadata is checked by the engine).
    fn validate(&self, _cx: &Context<'_>, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with a changed object (its metadata is checked by the engine).
    fn validate_update(&self, _cx: &Context<'_>, _object: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// Sentences for `Warning` headers; `old` is `None` on create.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// Sentences for `Warning` headers of a deletion that does not say what is to become of dependents.
    fn deletion_warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// What is to happen in the same transaction when the object finally goes (an allocation given back).
    fn on_delete(&self, _cx: &Context<'_>, _object: &Value) {}

    /// Fields that this endpoint never owns in managed fields because it resets them.
    fn reset_fields(&self) -> Option<&FieldSet> {
        None
    }

    /// Whether a PUT to a missing name creates.
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// Whether a PUT without a resourceVersion is accepted.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// Seconds of grace that a deletion of `object` gets; `requested` is what the client asked for. `None`:
    /// the kind has no graceful deletion and goes at once.
    fn grace_period_seconds(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// Whether something besides `metadata.finalizers` keeps a deleted object (the finalizers in a
    /// namespace's spec).
    fn holds_deletion(&self, _object: &Value) -> bool {
        false
    }

    /// What a deletion that does not remove the object at once changes in it (a namespace's phase).
    fn prepare_for_deletion(&self, _object: &mut Value) {}

    /// What happens to dependents when the client does not say.
    fn default_dependents(&self) -> Dependents {
        Dependents::Background
    }

    /// Whether a deletion answers with the object rather than a Status.
    fn delete_returns_object(&self) -> bool {
        false
    }
}

/// A kind that does nothing differently.
#[derive(Debug, Default, Clone, Copy)]
pub struct Plain;

impl Strategy for Plain {}
