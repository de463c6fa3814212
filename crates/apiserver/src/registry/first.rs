//! The objects that must exist from the start: those that are missing are written, in one commit. One that is made anew is deleted in a
//! commit before; a crash in between leaves it to the next start.

use std::sync::Arc;

use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};
use sampan_store::{Expect, Op, Snapshot, Txn};

use super::write::{format_time, stored};
use super::{Attributes, Registry, object, store_error};
use crate::{Context, Resource, User};

/// What is to become of an object that is there already.
#[derive(Debug, Clone, PartialEq)]
pub enum Existing {
    /// It stays as it is.
    Keep,
    /// It becomes this.
    Update(Value),
    /// It is deleted, and the wanted one is made.
    Recreate,
}

/// Decides about an object that is there: its resource, itself, and the one that is wanted.
pub type Reconcile = dyn Fn(&Resource, &Value, &Value) -> Existing + Send + Sync;

impl Registry {
    /// Writes objects that must exist from the start, in one commit (after another one for what is made anew); what becomes of those that exist, `reconcile` says.
    /// Answers how many were written.
    pub async fn ensure(
        &self,
        objects: Vec<(Arc<Resource>, Value)>,
        reconcile: &Reconcile,
    ) -> Result<usize, Status> {
        let snapshot = self.store.snapshot();
        self.check_versions(&snapshot)?;
        let (mut gone, mut ops) = (Vec::new(), Vec::new());
        let user = Arc::new(User::apiserver());
        for (resource, wanted) in objects {
            let key = resource.key(wanted.namespace(), wanted.name());
            let Some(entry) = snapshot.get(&key) else {
                ops.extend(self.new_object(&snapshot, &user, &resource, wanted, key)?);
                continue;
            };
            let existing = object::parse(entry)?;
            match reconcile(&resource, &existing, &wanted) {
                Existing::Keep => {}
                Existing::Update(mut changed) => {
                    sampan_schema::complete(&resource.schema, &mut changed);
                    let (expect, value) = (Expect::Revision(entry.revision), stored(&resource, &changed));
                    ops.push(Op::Put { key: key.into(), expect, value });
                }
                Existing::Recreate => {
                    let expect = Expect::Revision(entry.revision);
                    gone.push(Op::Delete { key: key.as_str().into(), expect, last: None });
                    ops.extend(self.new_object(&snapshot, &user, &resource, wanted, key)?);
                }
            }
        }
        let count = ops.len();
        for ops in [gone, ops] {
            if !ops.is_empty() {
                self.store.commit(Txn { ops }).await.map_err(|e| store_error(&e))?;
            }
        }
        Ok(count)
    }

    /// Reads are slices of what is stored: every object must lie there in the version in which its resource is stored by
    /// this release.
    fn check_versions(&self, snapshot: &Snapshot) -> Result<(), Status> {
        for resource in self.catalog().resources() {
            let version = resource.storage_version.to_string();
            if resource.virtual_resource.is_some() || resource.group_version() != resource.storage_version {
                continue;
            }
            let prefix = crate::encode::type_prefix(&resource.kind, &version);
            let mut entries = snapshot.range(&resource.key_prefix(""), None);
            if let Some(entry) = entries.find(|entry| !entry.value.starts_with(prefix.as_bytes())) {
                return Err(Status::internal(format!(
                    "the stored object {} is not a {} of {version}: it was written by a release that this one cannot read",
                    entry.key, resource.kind
                )));
            }
        }
        Ok(())
    }

    fn new_object(
        &self,
        snapshot: &Snapshot,
        user: &Arc<User>,
        resource: &Arc<Resource>,
        mut object: Value,
        key: String,
    ) -> Result<Vec<Op>, Status> {
        let lookup = self.lookup(snapshot);
        object.meta_mut().insert("creationTimestamp", format_time(self.now()));
        object.meta_mut().insert("uid", uuid::Uuid::new_v4().to_string());
        sampan_schema::default(&resource.schema, &mut object);
        resource.strategy.default(&mut object);
        let a = Attributes {
            storage: Arc::clone(resource),
            subresource: "".into(),
            namespace: object.namespace().into(),
            name: object.name().into(),
            user: Arc::clone(user),
            default_manager: "".into(),
            audit: crate::audit::Recorder::default(),
            patches: false,
            resource: Arc::clone(resource),
        };
        let cx = Context::new(&a, self.now(), false, &lookup);
        resource.strategy.prepare_for_create(&cx, &mut object)?;
        let mut ops = cx.take_ops();
        sampan_schema::normalise(&resource.schema, &mut object);
        sampan_schema::complete(&resource.schema, &mut object);
        ops.push(Op::Put { key: key.into(), expect: Expect::Absent, value: stored(resource, &object) });
        Ok(ops)
    }
}
