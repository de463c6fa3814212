//! Reads a tree as serde reads a body, so that a patched object takes the same way as one just sent.

use sampan_model::{Str, Value};
use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{Error, IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

/// A tree to be read.
pub(super) struct Reader(pub(super) Value);

/// Why a tree could not be read: the visitor keeps the reason.
pub(super) type Refused = serde::de::value::Error;

impl IntoDeserializer<'_, Refused> for Reader {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(v),
            Value::Int(v) => visitor.visit_i64(v),
            Value::Float(v) => visitor.visit_f64(v),
            Value::String(v) => visitor.visit_string(v.into_string()),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Reader))),
            Value::Object(map) => {
                visitor.visit_map(MapDeserializer::new(map.into_iter().map(|(key, v)| (Key(key), Reader(v)))))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

struct Key(Str);

impl<E: Error> IntoDeserializer<'_, E> for Key {
    type Deserializer = StringDeserializer<E>;
    fn into_deserializer(self) -> StringDeserializer<E> {
        self.0.into_string().into_deserializer()
    }
}
