//! Trees and texts to messages, as Go's generated code writes them: fields in the order of their numbers, keys of
//! maps sorted (as trees and stored texts have them), and the zero values of what Go has by value.

use std::marker::PhantomData;

use sampan_model::{Str, Value};

use super::backwards::Backwards;
use super::forms;
use super::layout::{Field, Form, Layout, Message, MessageId, Node, Repeat, Target};
use super::outline::{NotJson, Outline};
use super::source::{Source, Tree, View};

/// A value that its field cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field} of {message} cannot be written: {why}")]
pub struct EncodeError {
    message: Str,
    field: Str,
    why: String,
}

/// A text that cannot be written as a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranscodeError {
    /// It cannot be read.
    #[error(transparent)]
    Text(#[from] NotJson),
    /// A value in it has no place in the message.
    #[error(transparent)]
    Value(#[from] EncodeError),
}

/// Writes a tree as a message, without an envelope.
pub fn encode(layout: &Layout, id: MessageId, value: &Value, out: &mut Backwards) -> Result<(), EncodeError> {
    let mut slots = Vec::new();
    Encoder { layout, source: &Tree(PhantomData), slots: &mut slots }.message(id, Some(value), out)
}

/// Writes JSON texts as messages, without trees. Keep one for many texts: it keeps its room.
#[derive(Debug, Default)]
pub struct Transcoder {
    outline: Outline,
    slots: Vec<Option<u32>>,
}

impl Transcoder {
    /// Writes a text as a message, without an envelope. Members that the message does not have are passed over.
    pub fn transcode(
        &mut self,
        layout: &Layout,
        id: MessageId,
        json: &[u8],
        out: &mut Backwards,
    ) -> Result<(), TranscodeError> {
        let text = self.outline.of(json)?;
        self.slots.clear();
        let mut encoder = Encoder { layout, source: &text, slots: &mut self.slots };
        encoder.message(id, Some(0), out)?;
        Ok(())
    }
}

struct Encoder<'a, S: Source> {
    layout: &'a Layout,
    source: &'a S,
    /// The values of the fields of the messages that are being written, the innermost last.
    slots: &'a mut Vec<Option<S::Node>>,
}

impl<S: Source> Encoder<'_, S> {
    /// The message of an object; of nothing, the message without any field.
    fn message(
        &mut self,
        id: MessageId,
        object: Option<S::Node>,
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        let layout = self.layout;
        let message = layout.get(id);
        let base = self.slots.len();
        self.slots.resize(base + message.fields.len(), None);
        if let Some(object) = object {
            // Members are mostly sorted, as fields are: the next is looked for where the last was found.
            let mut hint = message.fields.len();
            for (key, node) in self.source.members(object) {
                if let Some(index) = message.index_before(&key, hint) {
                    hint = index;
                    self.slots[base + index].get_or_insert(node);
                }
            }
        }
        let written = self.node(message, &message.nodes[0], base, out);
        self.slots.truncate(base);
        written
    }

    fn node(
        &mut self,
        message: &Message,
        node: &Node,
        base: usize,
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        for (number, target) in node.iter().rev() {
            match target {
                Target::Embedded(inner) => {
                    let before = out.len();
                    self.node(message, &message.nodes[usize::from(*inner)], base, out)?;
                    out.close(*number, before);
                }
                Target::Field(index) => {
                    let field = &message.fields[usize::from(*index)];
                    let found = self.slots[base + usize::from(*index)];
                    let source = self.source;
                    match found.map(|node| (node, source.view(node))) {
                        Some((node, view)) if view != View::Null => {
                            self.field(message, field, *number, (node, view), out)?;
                        }
                        _ if field.by_value => self.zero(message, field, *number, out)?,
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        message: &Message,
        field: &Field,
        number: u32,
        (node, view): (S::Node, View<'_>),
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        let source = self.source;
        match (field.repeat, view) {
            (Repeat::Once, view) => self.value(message, field, number, (node, view), out),
            (Repeat::List, View::Array) => source
                .items(node)
                .try_for_each(|item| self.value(message, field, number, (item, source.view(item)), out)),
            (Repeat::Map, View::Object) => {
                for (key, value) in source.members(node) {
                    let before = out.len();
                    self.value(message, field, 2, (value, source.view(value)), out)?;
                    out.bytes(1, key.as_bytes());
                    out.close(number, before);
                }
                Ok(())
            }
            (_, view) => Err(error(message, field, format!("found {}", view.type_name()))),
        }
    }

    /// The zero value.
    fn zero(
        &mut self,
        message: &Message,
        field: &Field,
        number: u32,
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        let before = out.len();
        if let Form::Message(id) = field.form {
            self.message(id, None, out)?;
            out.close(number, before);
            return Ok(());
        }
        forms::write(field.form, number, &View::Null, out).map_err(|why| error(message, field, why))
    }

    /// One value; null is the zero value.
    fn value(
        &mut self,
        message: &Message,
        field: &Field,
        number: u32,
        (node, view): (S::Node, View<'_>),
        out: &mut Backwards,
    ) -> Result<(), EncodeError> {
        let before = out.len();
        let source = self.source;
        match (field.form, view) {
            (_, View::Null) => self.zero(message, field, number, out)?,
            (Form::Message(id), View::Object) => {
                self.message(id, Some(node), out)?;
                out.close(number, before);
            }
            (Form::OneOrMany(id), View::Array) => {
                for item in source.items(node) {
                    let before = out.len();
                    self.message(id, Some(item), out)?;
                    out.close(2, before);
                }
                out.close(number, before);
            }
            (Form::OneOrMany(id) | Form::StringsOr(id), View::Object) => {
                self.message(id, Some(node), out)?;
                out.close(1, before);
                out.close(number, before);
            }
            (Form::BoolOr(id), View::Object) => {
                self.message(id, Some(node), out)?;
                out.close(2, before);
                // A schema is allowed: Go keeps both.
                out.number(1, 1);
                out.close(number, before);
            }
            (Form::BoolOr(_), View::Bool(allowed)) => {
                out.number(1, u64::from(allowed));
                out.close(number, before);
            }
            (Form::StringsOr(_), View::Array) => {
                for item in source.items(node) {
                    let text = source.view(item);
                    out.bytes(2, if let View::String(text) = &text { text.as_bytes() } else { b"" });
                }
                out.close(number, before);
            }
            (Form::Raw, _) => {
                let json = source.json(node).map_err(|why| error(message, field, why))?;
                out.bytes(1, &json);
                out.close(number, before);
            }
            (Form::Items, View::Array) => {
                for item in source.items(node) {
                    let View::String(text) = source.view(item) else {
                        let why = "found a list of something else than strings";
                        return Err(error(message, field, why.to_owned()));
                    };
                    out.bytes(1, text.as_bytes());
                }
                out.close(number, before);
            }
            (form, view) => {
                forms::write(form, number, &view, out).map_err(|why| error(message, field, why))?;
            }
        }
        Ok(())
    }
}

fn error(message: &Message, field: &Field, why: String) -> EncodeError {
    EncodeError { message: message.name.clone(), field: field.name.clone(), why }
}
