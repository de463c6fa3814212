//! Reads the types of the API into a [`SchemaSet`].
//!
//! The build joined the published types and the overlay into `schema.tab` (its form is told in
//! `build.rs`); reading it is the whole work of a start, so it is one pass without look-ups.

use std::sync::Arc;

use sampan_model::{Str, Value};
use sampan_schema::types::PatchStrategy;
use sampan_schema::{Field, ListSemantics, ObjectType, Presence, SchemaSet, Shape, Type, TypeId};

use crate::protobuf;

static SCHEMA: &str = include_str!(concat!(env!("OUT_DIR"), "/schema.tab"));

/// All types of the built-in API, by their published names.
pub fn types() -> Arc<SchemaSet> {
    let mut set = SchemaSet::new().with_protobuf(protobuf::layout);
    let mut lines = SCHEMA.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, shape) = line.split_once('\t').unwrap_or((line, "A"));
        let (shape, nullable) = match shape.strip_prefix('?') {
            Some(shape) => (shape, true),
            None => (shape, false),
        };
        let shape = match (shape.as_bytes()[0], &shape[1..]) {
            (b'O', rest) => {
                let mut fields = Vec::with_capacity(16);
                while let Some(line) = lines.next_if(|l| l.starts_with('\t')) {
                    fields.push(field(&line[1..]));
                }
                fields.shrink_to_fit();
                Shape::Object(ObjectType { fields, atomic: rest == "!", ..ObjectType::default() })
            }
            (b'L', rest) => list(rest),
            (b'M', rest) => {
                let number = rest.trim_end_matches('!');
                Shape::Map { values: id(number), atomic: rest.len() > number.len() }
            }
            (letter, _) => scalar(letter),
        };
        let name = (name != "-").then(|| Str::const_new(name));
        set.add(Type { name, shape, nullable, constraints: None });
    }
    Arc::new(set)
}

fn id(number: &str) -> TypeId {
    TypeId(number.bytes().fold(0, |n, digit| n * 10 + u32::from(digit - b'0')))
}

fn scalar(letter: u8) -> Shape {
    match letter {
        b's' => Shape::String,
        b'i' => Shape::Int32,
        b'l' => Shape::Int64,
        b'n' => Shape::Number,
        b'b' => Shape::Boolean,
        b'y' => Shape::Bytes,
        b't' => Shape::Time,
        b'u' => Shape::MicroTime,
        b'q' => Shape::Quantity,
        b'x' => Shape::IntOrString,
        _ => Shape::Any,
    }
}

fn list(text: &'static str) -> Shape {
    let (items, semantics) = text.split_once('\t').unwrap_or((text, "a"));
    let semantics = match semantics.split_at(1) {
        ("m", keys) => ListSemantics::Map(keys.split(',').map(Str::const_new).collect()),
        ("s", _) => ListSemantics::Set,
        _ => ListSemantics::Atomic,
    };
    Shape::List { items: id(items), semantics }
}

fn field(line: &'static str) -> Field {
    let mut columns = line.split('\t');
    let mut next = || columns.next().unwrap_or("");
    let (name, ty, flags, patch, default) = (next(), next(), next(), next(), next());
    let mut field = Field {
        name: Str::const_new(name),
        ty: id(ty),
        presence: Presence::OmitZero,
        required: false,
        default: None,
        patch: PatchStrategy::default(),
    };
    for flag in flags.bytes() {
        match flag {
            b'a' | b'n' => field.presence = Presence::Always,
            b'k' => field.presence = Presence::KeepZero,
            _ => field.required = true,
        }
    }
    if !patch.is_empty() {
        let (strategies, key) = patch.split_once(':').unwrap_or((patch, ""));
        field.patch = PatchStrategy {
            merge: strategies.contains('m'),
            merge_key: (!key.is_empty()).then(|| Str::const_new(key)),
            retain_keys: strategies.contains('k'),
            replace: strategies.contains('r'),
        };
    }
    if !default.is_empty() {
        field.default =
            Some(serde_json::from_str::<Value>(default).expect("the overlay's defaults are JSON"));
    }
    field
}
