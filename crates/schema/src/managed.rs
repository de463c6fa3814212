//! Who set which field: `metadata.managedFields`, kept at every write, and server-side apply.
//!
//! The rules are those of structured-merge-diff and of apimachinery's chain of field managers. Sets of
//! fields stay in the form of `fieldsV1`, so that a write that changes nothing converts nothing. What a
//! Go encoder would always write (structs by value, lists without `omitempty`) counts as present on both
//! sides of a comparison, whether the tree has it or not.

mod apply;
mod atom;
mod compare;
mod conflict;
mod element;
mod entries;
mod last_applied;
mod merge;
mod remove;
mod set;
mod to_set;
mod typed;
mod update;

pub use apply::apply;
pub use conflict::Conflict;
pub use set::FieldSet;
pub use update::update;

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

/// Why managed fields could not be kept, or a configuration not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Others manage fields that the configuration would change (409).
    #[error("{}", conflict::message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration or the object does not fit the schema (500).
    #[error("{0}")]
    Invalid(String),
    /// The request is wrong (400).
    #[error("{0}")]
    BadRequest(String),
}

#[cfg(test)]
mod tests;
