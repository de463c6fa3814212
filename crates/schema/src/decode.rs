//! Reads a body with the schema beside it: one pass that builds the tree, notes unknown and duplicate
//! fields, and refuses values of the wrong type with the words of Go's decoders.

use sampan_model::Value;

use crate::types::Schema;

/// A body that was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// The object, without what its schema does not know.
    pub value: Value,
    /// The paths of fields that the schema does not know, as upstream prints them.
    pub unknown: Vec<String>,
    /// The paths of fields that stand twice.
    pub duplicates: Vec<String>,
}

impl Decoded {
    /// What a strict decoder complains of, in upstream's words and order.
    pub fn strict_errors(&self) -> Vec<String> {
        let duplicates = self.duplicates.iter().map(|path| format!("duplicate field \"{path}\""));
        duplicates.chain(self.unknown.iter().map(|path| format!("unknown field \"{path}\""))).collect()
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// It is not JSON, or not YAML.
    #[error("{message}")]
    Syntax {
        /// The whole sentence.
        message: String,
    },
    /// A value has the wrong type.
    #[error("{message}")]
    Type {
        /// The place, as field errors write it.
        path: String,
        /// The whole sentence.
        message: String,
    },
    /// It is too deep or too large.
    #[error("{message}")]
    Limit {
        /// The whole sentence.
        message: String,
    },
}

impl Error {
    fn todo() -> Self {
        Error::Limit { message: "decoding is not built yet".into() }
    }
}

/// Reads a JSON body.
pub fn json(_schema: &Schema, _body: &[u8]) -> Result<Decoded, Error> {
    Err(Error::todo())
}

/// Reads a YAML body (or a JSON one: YAML contains it).
pub fn yaml(_schema: &Schema, _body: &[u8]) -> Result<Decoded, Error> {
    Err(Error::todo())
}

/// Reads a tree, as after a patch.
pub fn value(_schema: &Schema, _value: Value) -> Result<Decoded, Error> {
    Err(Error::todo())
}

/// Reads JSON of no schema, with the paths of duplicate fields.
pub fn untyped_json(_body: &[u8]) -> Result<(Value, Vec<String>), Error> {
    Err(Error::todo())
}

/// Reads YAML of no schema, with the paths of duplicate fields.
pub fn untyped_yaml(_body: &[u8]) -> Result<(Value, Vec<String>), Error> {
    Err(Error::todo())
}
