//! What a kind may do differently, as a table of plain functions: one [`KindRules`] a kind.
//!
//! A field that is `None` means "as every other kind does". The functions are pure: they know no server,
//! no clock and no other object; what a few of them need of the request stands in [`Params`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use sampan_model::{FieldError, Value};

/// What some preparations need to know of the request.
#[derive(Debug, Clone, Copy)]
pub struct Params<'a> {
    /// When the request is served.
    pub now: Timestamp,
    /// The name of the user who makes it.
    pub user: &'a str,
    /// The uid of that user; may be empty.
    pub uid: &'a str,
    /// The groups of that user.
    pub groups: &'a [String],
    /// What the authenticator knows besides.
    pub extra: &'a BTreeMap<String, Vec<String>>,
}

/// Changes a new object.
pub type PrepareCreate = fn(&mut Value, &Params<'_>);
/// Changes the new form of an object that is stored as the second argument.
pub type PrepareUpdate = fn(&mut Value, &Value, &Params<'_>);
/// Says what is wrong with an object.
pub type Validate = fn(&Value) -> Vec<FieldError>;
/// Says what is wrong with a change: the new object, the old one.
pub type ValidateUpdate = fn(&Value, &Value) -> Vec<FieldError>;
/// Sentences for `Warning` headers; the second argument is `None` on create.
pub type Warnings = fn(&Value, Option<&Value>) -> Vec<String>;
/// A list of field paths.
pub type Paths = &'static [&'static [&'static str]];

/// How one part of a kind (`status`, `resize`, `approval`, ...) is written through its subresource.
#[derive(Debug, Clone, Copy)]
pub struct PartRules {
    /// Restores what this subresource may not change.
    pub prepare_update: PrepareUpdate,
    /// Says what is wrong with the change.
    pub validate_update: Option<ValidateUpdate>,
    /// Fields that this subresource never owns because it resets them.
    pub reset_fields: Paths,
}

/// What a kind does differently; see the module's text.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct KindRules {
    /// Sets defaults, those that depend on other fields as well as simple ones. Idempotent.
    pub default: Option<fn(&mut Value)>,
    /// Clears what a client may not set, sets what the server sets.
    pub prepare_create: Option<PrepareCreate>,
    /// The same for an update; raises the generation where the kind has one.
    pub prepare_update: Option<PrepareUpdate>,
    /// What is wrong with a new object, its metadata apart.
    pub validate: Option<Validate>,
    /// What is wrong with a change, its metadata apart.
    pub validate_update: Option<ValidateUpdate>,
    /// Sentences for `Warning` headers.
    pub warnings: Option<Warnings>,
    /// The rule of the kind's names, if it is not that of DNS subdomains. The flag: it is a `generateName`.
    pub validate_name: Option<fn(&str, bool) -> Vec<String>>,
    /// How `status` is written.
    pub status: Option<PartRules>,
    /// How other subresources that show the same object are written, by name.
    pub parts: &'static [(&'static str, PartRules)],
    /// Whether a PUT without a resourceVersion is accepted.
    pub unconditional_update: bool,
    /// Whether a PUT to a missing name creates.
    pub create_on_update: bool,
    /// Fields that the main endpoint never owns because it resets them.
    pub reset_fields: Paths,
    /// Whether a DELETE answers with the object.
    pub delete_returns_object: bool,
    /// Whether dependents stay when a deletion does not say what becomes of them.
    pub orphan_dependents: bool,
    /// Seconds of grace of a deletion, for kinds that have graceful deletion; the second argument is the client's wish.
    pub grace_period: Option<fn(&Value, Option<i64>) -> i64>,
}

impl KindRules {
    /// A kind that does nothing differently.
    pub const PLAIN: Self = Self {
        default: None,
        prepare_create: None,
        prepare_update: None,
        validate: None,
        validate_update: None,
        warnings: None,
        validate_name: None,
        status: None,
        parts: &[],
        unconditional_update: true,
        create_on_update: false,
        reset_fields: &[],
        delete_returns_object: false,
        orphan_dependents: false,
        grace_period: None,
    };
}

/// The usual fields that the main endpoint of a kind with status resets.
pub const STATUS: Paths = &[&["status"]];
/// The usual fields that a status endpoint resets.
pub const SPEC: Paths = &[&["spec"]];
