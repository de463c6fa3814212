//! Who set which field: `metadata.managedFields`, kept at every write, and server-side apply.

use sampan_model::{Str, Value};

use crate::types::Schema;

/// A set of fields of an object, as `fieldsV1` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet(());

impl FieldSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// From the form that `fieldsV1` has.
    pub fn from_value(_fields_v1: &Value) -> Result<Self, Error> {
        Err(Error::Invalid("field sets are not built yet".into()))
    }
}

/// Who writes.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a> {
    /// The name, from `fieldManager` or the user agent.
    pub name: &'a str,
    /// The version of the object in the request.
    pub api_version: &'a str,
    /// The subresource written through; empty for none.
    pub subresource: &'a str,
}

/// A field that an applied configuration would change although someone else manages it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Whose field it is.
    pub manager: Str,
    /// The subresource it was written through; empty for none.
    pub subresource: Str,
    /// The version it was written in.
    pub api_version: Str,
    /// When, for a manager that updates; `None` for one that applies.
    pub time: Option<Str>,
    /// The field, `.data.k`.
    pub path: String,
}

/// Why managed fields could not be kept, or a configuration not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Others manage fields that the configuration would change (409).
    #[error("{} conflicts", .0.len())]
    Conflicts(Vec<Conflict>),
    /// The configuration or the object does not fit the schema (500).
    #[error("{0}")]
    Invalid(String),
    /// The request is wrong (400).
    #[error("{0}")]
    BadRequest(String),
}

/// After a create, an update or a patch that is no apply: sets `metadata.managedFields` of `new` from its
/// difference to `old`.
pub fn update(
    _schema: &Schema,
    _old: Option<&Value>,
    _new: &mut Value,
    _manager: &Manager<'_>,
    _now: &str,
    _reset: Option<&FieldSet>,
) -> Result<(), Error> {
    Err(Error::Invalid("managed fields are not built yet".into()))
}

/// Server-side apply: merges `config` into `live` and returns the merged object, its managed fields up to
/// date.
pub fn apply(
    _schema: &Schema,
    _live: Option<&Value>,
    _config: Value,
    _manager: &Manager<'_>,
    _force: bool,
    _now: &str,
    _reset: Option<&FieldSet>,
) -> Result<Value, Error> {
    Err(Error::Invalid("server-side apply is not built yet".into()))
}
