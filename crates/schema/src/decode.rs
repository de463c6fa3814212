//! Reads a body with the schema beside it: one pass that builds the tree, notes unknown and duplicate
//! fields, and refuses values of the wrong type with the words of Go's decoders.
//!
//! JSON, YAML and trees all go through the same visitor (`typed`); YAML is read into a tree first, since
//! its aliases, its booleans and the line numbers of its complaints are its own.

mod json_words;
mod keys;
mod notes;
mod path;
mod scalar;
pub(crate) mod time;
mod tree;
mod typed;
mod untyped;
mod yaml;
mod yaml_scalar;

use sampan_model::Value;

use crate::types::{Schema, SchemaSet};
use notes::{Context, Note};

/// How deep an object may be nested. The JSON reader stops there by itself, so what is stored can be read
/// again; every walk over a tree may recurse.
pub const MAX_DEPTH: usize = 120;

/// A body that was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// The object, without what its schema does not know.
    pub value: Value,
    /// The paths of fields that the schema does not know, as upstream prints them.
    pub unknown: Vec<String>,
    /// The paths of fields that stand twice.
    pub duplicates: Vec<String>,
    /// Complaints in upstream's words and order.
    complaints: Vec<String>,
}

impl Decoded {
    /// What a strict decoder complains of, in upstream's words and order.
    pub fn strict_errors(&self) -> Vec<String> {
        self.complaints.clone()
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

/// Reads a JSON body.
pub fn json(schema: &Schema, body: &[u8]) -> Result<Decoded, Error> {
    let text = String::from_utf8_lossy(body);
    let cx = Context::new(schema.set());
    let mut reader = serde_json::Deserializer::from_str(&text);
    let read = typed::read(&cx, schema.id(), &mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(value) => Ok(finish(cx, value, Vec::new())),
        Err(error) => Err(cx.take_error().unwrap_or_else(|| json_words::interpret(&text, &error))),
    }
}

/// Reads a YAML body (or a JSON one: YAML contains it). Of several documents the first counts.
pub fn yaml(schema: &Schema, body: &[u8]) -> Result<Decoded, Error> {
    let (value, duplicates) = yaml::read(body)?;
    read_tree(schema, value, duplicates)
}

/// Reads a tree, as after a patch.
pub fn value(schema: &Schema, value: Value) -> Result<Decoded, Error> {
    read_tree(schema, value, Vec::new())
}

fn read_tree(schema: &Schema, value: Value, yaml_duplicates: Vec<String>) -> Result<Decoded, Error> {
    let cx = Context::new(schema.set());
    match typed::read(&cx, schema.id(), tree::Reader(value)) {
        Ok(value) => Ok(finish(cx, value, yaml_duplicates)),
        Err(error) => Err(cx.take_error().unwrap_or_else(|| Error::Syntax { message: error.to_string() })),
    }
}

/// Reads JSON of no schema, with the paths of duplicate fields.
pub fn untyped_json(body: &[u8]) -> Result<(Value, Vec<String>), Error> {
    let text = String::from_utf8_lossy(body);
    let none = SchemaSet::new();
    let cx = Context::new(&none);
    let mut reader = serde_json::Deserializer::from_str(&text);
    let read = untyped::read(&cx, &mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(value) => Ok((value, finish(cx, Value::Null, Vec::new()).duplicates)),
        Err(error) => Err(cx.take_error().unwrap_or_else(|| json_words::syntax(&text, &error))),
    }
}

/// Reads YAML of no schema. Duplicate keys are reported by line, as upstream does:
/// `line 7: key "k" already set in map`.
pub fn untyped_yaml(body: &[u8]) -> Result<(Value, Vec<String>), Error> {
    yaml::read(body).map_err(|error| match error {
        Error::Syntax { message } => {
            Error::Syntax { message: format!("error converting YAML to JSON: {message}") }
        }
        other => other,
    })
}

/// Puts the notes in upstream's order. Go types are decoded in one pass, so complaints come as the body
/// has them. Objects without Go types are searched three times: duplicates by the JSON reader, then
/// unknown fields of metadata, of the object (sorted), and of the metadata of embedded resources.
fn finish(cx: Context<'_>, value: Value, yaml_duplicates: Vec<String>) -> Decoded {
    let lenient = cx.set.is_lenient();
    let mut notes = cx.into_notes();
    if lenient {
        notes.sort_by(|a, b| match (a, b) {
            (Note::Duplicate(_), Note::Duplicate(_)) => std::cmp::Ordering::Equal,
            (Note::Duplicate(_), _) => std::cmp::Ordering::Less,
            (_, Note::Duplicate(_)) => std::cmp::Ordering::Greater,
            (Note::Unknown(a, a_stage), Note::Unknown(b, b_stage)) => (a_stage, a).cmp(&(b_stage, b)),
        });
    }
    let mut decoded = Decoded { value, complaints: yaml_duplicates, ..Decoded::default() };
    for note in notes {
        let (complaint, path, list) = match note {
            Note::Duplicate(path) => (format!("duplicate field \"{path}\""), path, &mut decoded.duplicates),
            Note::Unknown(path, _) => (format!("unknown field \"{path}\""), path, &mut decoded.unknown),
        };
        if !list.contains(&path) {
            list.push(path);
            decoded.complaints.push(complaint);
        }
    }
    decoded
}

#[cfg(test)]
mod tests;
