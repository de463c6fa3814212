//! What all writes share: checking metadata, keeping managed fields, encoding once, committing.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, FieldPath, Status, Value};
use sampan_schema::managed;
use sampan_store::{Entry, Expect, Memo, NewValue, Op, Txn};

use super::object::{self, View};
use super::{Attributes, Registry, store_error};
use crate::encode;
use crate::http_io::query::WriteOptions;
use crate::{Context, Resource};

/// The outcome of a write.
#[derive(Debug)]
pub struct Written {
    /// The object as the client gets it: in the version of the request, with its resourceVersion.
    pub object: Bytes,
    /// Whether it did not exist before.
    pub created: bool,
    /// Sentences for `Warning` headers.
    pub warnings: Vec<String>,
}

/// How often a write that lost a race is tried again on the newer state.
pub(super) const ATTEMPTS: usize = 100;

/// Why a commit did not happen.
pub(super) enum CommitError {
    /// The object was not as it was in the snapshot, or something written beside it was not: try again.
    Raced,
    /// Anything else.
    Status(Status),
}

pub(super) use sampan_model::time::format_time;

impl Registry {
    /// Commits `object` (in the stored version, complete) and what the strategies add to it.
    pub(super) async fn commit(
        &self,
        a: &Attributes,
        cx: &Context<'_>,
        old: Option<&Arc<Entry>>,
        object: &Value,
        key: String,
    ) -> Result<Bytes, CommitError> {
        let also = cx.take_ops();
        let mut value = stored(&a.storage, object);
        if let Some(old) = old
            && also.iter().all(|op| matches!(op, Op::Check { .. }))
            && unchanged(old, &value)
            // A new key at rest reaches an object by any write, also by one that changes nothing.
            && !self.store.is_stale(old)
        {
            return object::bytes(&a.resource, old).map_err(CommitError::Status);
        }
        if cx.dry_run {
            let object = unstored(&a.resource, object, old.map(|e| e.revision));
            return Ok(object::encoded(&object));
        }
        value.memo = Memo::filled(Arc::new(View::new(&a.storage, object)));
        let expect = old.map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
        let mut ops = vec![Op::Put { key: key.into(), expect, value }];
        ops.extend(also);
        match self.store.commit(Txn { ops }).await {
            Ok(committed) => {
                let entry = committed.entries.into_iter().next().flatten();
                let entry =
                    entry.ok_or_else(|| CommitError::Status(Status::internal("a write without an entry")))?;
                object::bytes(&a.resource, &entry).map_err(CommitError::Status)
            }
            Err(sampan_store::Error::Conflict { .. }) => Err(CommitError::Raced),
            Err(error) => Err(CommitError::Status(store_error(&error))),
        }
    }
}

/// Writes down in `new.metadata.managedFields` who set which field.
pub(super) fn keep_managed_fields(
    a: &Attributes,
    options: &WriteOptions,
    old: Option<&Value>,
    new: &mut Value,
    now: Timestamp,
    reset: Option<&managed::FieldSet>,
) -> Result<(), Status> {
    let api_version = a.resource.group_version().to_string();
    let manager = manager(a, options, &api_version);
    managed::update(&a.resource.schema, old, new, &manager, &format_time(now), reset).map_err(managed_error)
}

/// The bytes of an object to be stored.
pub(super) fn stored(storage: &Resource, object: &Value) -> NewValue {
    encode::stored(object, &encode::type_prefix(&storage.kind, &storage.group_version().to_string()))
}

/// The tree of an answer that was not stored: in the version of the request, with the old revision if there is one.
pub(super) fn unstored(resource: &Resource, object: &Value, revision: Option<u64>) -> Value {
    let mut object = object::from_storage(resource, object.clone());
    object::set_type(resource, &mut object);
    object.set_meta("resourceVersion", revision.map(|r| r.to_string()));
    object
}

/// Whether the bytes of `old` are those of `new` but for the revision.
fn unchanged(old: &Entry, new: &NewValue) -> bool {
    let Some(at) = new.revision_at else { return *old.value == new.bytes };
    let (head, tail) = new.bytes.split_at(at);
    old.value
        .strip_prefix(head)
        .and_then(|rest| rest.strip_suffix(tail))
        .is_some_and(|middle| !middle.is_empty() && middle.iter().all(u8::is_ascii_digit))
}

/// Who writes, as managed fields name it.
pub(super) fn manager<'a>(
    a: &'a Attributes,
    options: &'a WriteOptions,
    api_version: &'a str,
) -> managed::Manager<'a> {
    let name =
        if options.field_manager.is_empty() { a.default_manager.as_str() } else { &options.field_manager };
    managed::Manager { name, api_version, subresource: &a.subresource }
}

/// A failure of managed fields, in the words of the API.
pub(super) fn managed_error(error: managed::Error) -> Status {
    match error {
        managed::Error::Conflicts(ref conflicts) => {
            let causes = conflicts
                .iter()
                .map(|c| sampan_model::Cause {
                    reason: "FieldManagerConflict".into(),
                    message: c.cause_message(),
                    field: c.path.clone(),
                })
                .collect();
            Status::failure(409, sampan_model::Reason::Conflict, error.to_string())
                .with_details(sampan_model::status::Details { causes, ..Default::default() })
        }
        managed::Error::Invalid(message) => Status::unknown(message),
        managed::Error::BadRequest(message) => Status::bad_request(message),
    }
}

/// What is wrong with the metadata of a new or changed object; names are checked by the kind's rule.
pub(super) fn metadata_errors(
    cx: &Context<'_>,
    strategy: &dyn crate::Strategy,
    object: &Value,
) -> Vec<FieldError> {
    let path = FieldPath::field("metadata");
    let empty = sampan_model::Map::new();
    let meta = object.meta().unwrap_or(&empty);
    sampan_model::object_meta::validate_object_meta(
        meta,
        cx.resource.namespaced,
        |name, prefix| strategy.validate_name(name, prefix),
        &path,
    )
}

/// What may not change in the metadata of an object.
pub(super) fn metadata_update_errors(object: &Value, old: &Value) -> Vec<FieldError> {
    let path = FieldPath::field("metadata");
    let empty = sampan_model::Map::new();
    sampan_model::object_meta::validate_object_meta_update(
        object.meta().unwrap_or(&empty),
        old.meta().unwrap_or(&empty),
        &path,
    )
}
