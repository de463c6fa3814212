//! The visitor that reads a value of a type: it drops what Go's decoder would not keep, normalises scalars,
//! and refuses what does not fit.

use std::fmt;

use sampan_model::{Map, Str, Value};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::keys::Keys;
use super::notes::Context;
use super::path::{Path, Step};
use super::scalar::{self, Found};
use super::{Error, MAX_DEPTH, untyped};
use crate::complete::is_zero;
use crate::types::{Field, ObjectType, Presence, Shape, Type, TypeId};

/// Reads a value of type `id`.
pub(super) fn read<'de, D: Deserializer<'de>>(
    cx: &Context<'_>,
    id: TypeId,
    reader: D,
) -> Result<Value, D::Error> {
    let value = At { cx, id, path: &Path::ROOT }.deserialize(reader)?;
    // A null body decodes into an object without any field.
    Ok(if value.is_null() { Value::Object(Map::new()) } else { value })
}

/// A place where a value of type `id` is expected.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) id: TypeId,
    pub(super) path: &'a Path<'a>,
}

impl<'a> At<'a> {
    pub(super) fn ty(&self) -> &'a Type {
        self.cx.set.get(self.id)
    }

    /// A value of the wrong type: refused, unless validation is to report it.
    fn misfit<E: serde::de::Error>(self, found: &Found<'_>) -> Result<Value, E> {
        if self.cx.set.is_lenient() {
            return Ok(found.to_value());
        }
        Err(self.refuse(found))
    }

    fn refuse<E: serde::de::Error>(self, found: &Found<'_>) -> E {
        let message = scalar::mismatch(self.cx.set, self.id, self.path, found);
        self.cx.fail(Error::Type { path: self.path.to_string(), message })
    }

    fn scalar<E: serde::de::Error>(self, found: &Found<'_>) -> Result<Value, E> {
        match scalar::read(&self.ty().shape, found) {
            Ok(value) => Ok(value),
            Err(scalar::Misfit::Kind) => self.misfit(found),
            Err(scalar::Misfit::Text(_)) if self.cx.set.is_lenient() => Ok(found.to_value()),
            Err(scalar::Misfit::Text(message)) => {
                Err(self.cx.fail(Error::Type { path: self.path.to_string(), message }))
            }
        }
    }

    fn check_depth<E: serde::de::Error>(self) -> Result<(), E> {
        if self.path.depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.cx.fail(Error::Limit { message: "exceeded max depth".into() }))
    }

    fn untyped(self) -> untyped::At<'a> {
        untyped::At { cx: self.cx, path: self.path, noting: self.cx.set.is_lenient() }
    }

    fn object<'de, A: MapAccess<'de>>(self, object: &'a ObjectType, mut map: A) -> Result<Value, A::Error> {
        let (cx, ty) = (self.cx, self.ty());
        let mut entries: Vec<(Str, Value)> = Vec::with_capacity(map.size_hint().unwrap_or(0).min(32));
        let mut seen = Seen::default();
        let mut unknown_seen = Keys::default();
        while let Some(key) = map.next_key_seed(KeySeed(object))? {
            let field = match key {
                Key::Known(index) => &object.fields[index],
                Key::Unknown(name) => {
                    let step = Step::Field { name: &name, owner: None, embedded: false };
                    let path = self.path.join(step);
                    if object.preserve_unknown {
                        if unknown_seen.again(&entries, &name) {
                            cx.duplicate(&path);
                        }
                        let at = untyped::At { cx, path: &path, noting: cx.set.is_lenient() };
                        let value = map.next_value_seed(at)?;
                        entries.push((name, value));
                    } else {
                        cx.unknown(&path);
                        if cx.set.is_lenient() {
                            map.next_value_seed(untyped::At { cx, path: &path, noting: true })?;
                        } else {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                    continue;
                }
            };
            let path = self.path.join(Step::Field {
                name: &field.name,
                owner: ty.name.as_deref(),
                embedded: object.embedded_resource,
            });
            let Key::Known(index) = key else { continue };
            if seen.again(index) {
                cx.duplicate(&path);
                entries.retain(|(name, _)| *name != field.name);
            }
            let value = map.next_value_seed(At { cx, id: field.ty, path: &path })?;
            if keeps(cx, field, &value) {
                entries.push((field.name.clone(), value));
            }
        }
        Ok(Value::Object(Map::from_unsorted(entries)))
    }

    fn map<'de, A: MapAccess<'de>>(self, values: TypeId, mut map: A) -> Result<Value, A::Error> {
        let cx = self.cx;
        let mut entries: Vec<(Str, Value)> = Vec::with_capacity(map.size_hint().unwrap_or(0).min(32));
        let mut seen = Keys::default();
        while let Some(key) = map.next_key::<Str>()? {
            let path = self.path.join(Step::Key(&key));
            if seen.again(&entries, &key) {
                cx.duplicate(&path);
            }
            let at = At { cx, id: values, path: &path };
            let value = at.or_zero(map.next_value_seed(at)?);
            if value.is_null() && cx.set.is_lenient() && !at.ty().nullable {
                continue;
            }
            entries.push((key, value));
        }
        Ok(Value::Object(Map::from_unsorted(entries)))
    }

    /// Go leaves the zero value in an element that is null; no bytes are the empty string.
    fn or_zero(self, value: Value) -> Value {
        if !value.is_null() || self.cx.set.is_lenient() || self.ty().nullable {
            return value;
        }
        match self.ty().shape {
            Shape::Bytes => Value::String(Str::default()),
            _ => crate::complete::zero(self.cx.set, self.id),
        }
    }
}

/// Whether a field's value is kept in the tree.
fn keeps(cx: &Context<'_>, field: &Field, value: &Value) -> bool {
    match field.presence {
        _ if value.is_null() => cx.set.get(field.ty).nullable,
        // An empty list of managed fields asks for them to be cleared, although it is never written.
        Presence::OmitZero if field.name == "managedFields" => true,
        Presence::OmitZero => !is_zero(cx.set, field.ty, value),
        Presence::KeepZero | Presence::Always => true,
    }
}

/// Which fields of an object have been seen.
#[derive(Default)]
struct Seen {
    low: u128,
    high: Vec<usize>,
}

impl Seen {
    fn again(&mut self, index: usize) -> bool {
        if index < 128 {
            let bit = 1 << index;
            let again = self.low & bit != 0;
            self.low |= bit;
            return again;
        }
        let again = self.high.contains(&index);
        self.high.push(index);
        again
    }
}

enum Key {
    Known(usize),
    Unknown(Str),
}

struct KeySeed<'a>(&'a ObjectType);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Key, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(match self.0.fields.binary_search_by(|field| field.name.as_str().cmp(name)) {
            Ok(index) => Key::Known(index),
            Err(_) => Key::Unknown(name.into()),
        })
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        if matches!(self.ty().shape, Shape::Any) {
            return self.untyped().deserialize(reader);
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the API")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<Value, E> {
        self.scalar(&Found::Bool(v))
    }
    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Value, E> {
        self.scalar(&Found::Int(v))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Value, E> {
        self.scalar(&Found::unsigned(v))
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        self.scalar(&Found::Float(v))
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Value, E> {
        if matches!(self.ty().shape, Shape::String) {
            return Ok(Value::String(v.into()));
        }
        self.scalar(&Found::String(v))
    }
    fn visit_string<E: serde::de::Error>(self, v: String) -> Result<Value, E> {
        if matches!(self.ty().shape, Shape::String) {
            return Ok(Value::String(v.into()));
        }
        self.scalar(&Found::String(&v))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        match &self.ty().shape {
            Shape::Object(object) => self.object(object, map),
            Shape::Map { values, .. } => self.map(*values, map),
            _ if self.cx.set.is_lenient() => self.untyped().visit_map(map),
            _ => Err(self.refuse(&Found::Object)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let items = match self.ty().shape {
            Shape::List { items, .. } => items,
            _ if self.cx.set.is_lenient() => return self.untyped().visit_seq(seq),
            _ => return Err(self.refuse(&Found::Array)),
        };
        let mut list = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(64));
        loop {
            let path = self.path.join(Step::Index(list.len()));
            let at = At { cx: self.cx, id: items, path: &path };
            let Some(value) = seq.next_element_seed(at)? else { break };
            list.push(at.or_zero(value));
        }
        if list.capacity() > list.len() * 2 {
            list.shrink_to_fit();
        }
        Ok(Value::Array(list))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Value, E> {
        Err(E::custom("bytes are no value of the API"))
    }
}
