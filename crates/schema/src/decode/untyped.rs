//! The visitor that reads what has no type, and finds fields that stand twice.

use std::fmt;

use sampan_model::{Map, Str, Value};
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::keys::Keys;
use super::notes::Context;
use super::path::{Path, Step};
use super::scalar::Found;
use super::{Error, MAX_DEPTH};

/// Reads any value, noting duplicates.
pub(super) fn read<'de, D: Deserializer<'de>>(cx: &Context<'_>, reader: D) -> Result<Value, D::Error> {
    At { cx, path: &Path::ROOT, noting: true }.deserialize(reader)
}

/// A place where any value may stand.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) path: &'a Path<'a>,
    /// Whether duplicates are noted.
    pub(super) noting: bool,
}

impl At<'_> {
    fn check_depth<E: serde::de::Error>(self) -> Result<(), E> {
        if self.path.depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.cx.fail(Error::Limit { message: "exceeded max depth".into() }))
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Found::unsigned(v).to_value())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Found::Float(v).to_value())
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.into()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut entries: Vec<(Str, Value)> = Vec::new();
        let mut seen = Keys::default();
        while let Some(key) = map.next_key::<Str>()? {
            let path = self.path.join(Step::Key(&key));
            if self.noting && seen.again(&entries, &key) {
                self.cx.duplicate(&path);
            }
            let value = map.next_value_seed(At { path: &path, ..self })?;
            entries.push((key, value));
        }
        Ok(Value::Object(Map::from_unsorted(entries)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut list = Vec::new();
        loop {
            let path = self.path.join(Step::Index(list.len()));
            let Some(value) = seq.next_element_seed(At { path: &path, ..self })? else { break };
            list.push(value);
        }
        Ok(Value::Array(list))
    }
}
