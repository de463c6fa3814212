//! Trees to messages, as Go's generated code writes them: fields in the order of their numbers, keys of maps
//! sorted, and the zero values of what Go has by value.

use sampan_model::{Map, Str, Value};

use super::backwards::Backwards;
use super::forms;
use super::layout::{Field, Form, Layout, Message, MessageId, Node, Repeat, Target};

/// A value that its field cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field} of {message} cannot be written: {why}")]
pub struct EncodeError {
    message: Str,
    field: Str,
    why: String,
}

static NOTHING: Map = Map::new();

/// Writes a tree as a message, without an envelope.
pub fn encode(layout: &Layout, id: MessageId, value: &Value, out: &mut Backwards) -> Result<(), EncodeError> {
    let encoder = Encoder { layout };
    let map = value.as_object().unwrap_or(&NOTHING);
    encoder.message(id, map, out)
}

struct Encoder<'a> {
    layout: &'a Layout,
}

impl Encoder<'_> {
    fn message(&self, id: MessageId, map: &Map, out: &mut Backwards) -> Result<(), EncodeError> {
        let message = self.layout.get(id);
        self.node(message, &message.nodes[0], map, out)
    }

    fn node(
        &self,
        message: &Message,
        node: &Node,
        map: &Map,
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        for (number, target) in node.iter().rev() {
            match target {
                Target::Embedded(inner) => {
                    let before = out.len();
                    self.node(message, &message.nodes[usize::from(*inner)], map, out)?;
                    out.close(*number, before);
                }
                Target::Field(index) => {
                    let field = &message.fields[usize::from(*index)];
                    match map.get(&field.name).filter(|value| !value.is_null()) {
                        Some(value) => self.field(message, field, *number, value, out)?,
                        None if field.by_value => {
                            self.value(message, field, *number, &Value::Null, out)?;
                        }
                        None => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn field(
        &self,
        message: &Message,
        field: &Field,
        number: u32,
        value: &Value,
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        match (field.repeat, value) {
            (Repeat::Once, value) => self.value(message, field, number, value, out),
            (Repeat::List, Value::Array(items)) => {
                items.iter().rev().try_for_each(|item| self.value(message, field, number, item, out))
            }
            (Repeat::Map, Value::Object(map)) => {
                for (key, value) in map.iter().rev() {
                    let before = out.len();
                    self.value(message, field, 2, value, out)?;
                    out.bytes(1, key.as_bytes());
                    out.close(number, before);
                }
                Ok(())
            }
            _ => Err(error(message, field, format!("found {}", value.type_name()))),
        }
    }

    /// One value; null is the zero value.
    fn value(
        &self,
        message: &Message,
        field: &Field,
        number: u32,
        value: &Value,
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        let before = out.len();
        match (field.form, value) {
            (Form::Message(id), Value::Object(map)) => {
                self.message(id, map, out)?;
                out.close(number, before);
            }
            (Form::Message(id), Value::Null) => {
                self.message(id, &NOTHING, out)?;
                out.close(number, before);
            }
            (Form::OneOrMany(id), Value::Array(items)) => {
                for item in items.iter().rev() {
                    let before = out.len();
                    self.message(id, item.as_object().unwrap_or(&NOTHING), out)?;
                    out.close(2, before);
                }
                out.close(number, before);
            }
            (Form::OneOrMany(id) | Form::StringsOr(id), Value::Object(map)) => {
                self.message(id, map, out)?;
                out.close(1, before);
                out.close(number, before);
            }
            (Form::BoolOr(id), Value::Object(map)) => {
                self.message(id, map, out)?;
                out.close(2, before);
                // A schema is allowed: Go keeps both.
                out.number(1, 1);
                out.close(number, before);
            }
            (Form::BoolOr(_), Value::Bool(allowed)) => {
                out.number(1, u64::from(*allowed));
                out.close(number, before);
            }
            (Form::StringsOr(_), Value::Array(items)) => {
                for item in items.iter().rev() {
                    out.bytes(2, item.as_str().unwrap_or("").as_bytes());
                }
                out.close(number, before);
            }
            (form, value) => {
                forms::write(form, number, value, out).map_err(|why| error(message, field, why))?;
            }
        }
        Ok(())
    }
}

fn error(message: &Message, field: &Field, why: String) -> EncodeError {
    EncodeError { message: message.name.clone(), field: field.name.clone(), why }
}
