//! Messages to the trees that the same objects in JSON would become: unknown fields are passed over, a message
//! that stands twice is merged, and zero values are dropped where Go's JSON would leave them out.

use sampan_model::{Map, Str, Value};

use super::forms::{self, wrong_wire};
use super::layout::{self, Field, Form, Layout, Message, MessageId, Node, Repeat, Target};
use super::wire::{self, Malformed, Reader};
use crate::decode::MAX_DEPTH;
use crate::types::Presence;

/// Reads a message that is not in an envelope.
pub fn decode(layout: &Layout, id: MessageId, bytes: &[u8]) -> Result<Value, Malformed> {
    Decoder { layout }.message(id, bytes, Map::new(), 0).map(Value::Object)
}

struct Decoder<'a> {
    layout: &'a Layout,
}

/// What was found of a field so far.
enum Slot {
    Empty,
    One(Value),
    List(Vec<Value>),
    Map(Vec<(Str, Value)>),
}

impl Slot {
    /// The list, made empty if there was none.
    fn list(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Slot::List(_)) {
            *self = Slot::List(Vec::new());
        }
        match self {
            Slot::List(items) => items,
            _ => unreachable!("it was made a list just above"),
        }
    }
}

impl Decoder<'_> {
    /// Reads a message over what was read of it before.
    fn message(&self, id: MessageId, bytes: &[u8], before: Map, depth: usize) -> Result<Map, Malformed> {
        if depth >= MAX_DEPTH {
            return Err(Malformed::new("exceeded max depth"));
        }
        let message = self.layout.get(id);
        let mut slots: Vec<Slot> = Vec::with_capacity(message.fields.len());
        slots.resize_with(message.fields.len(), || Slot::Empty);
        for (name, value) in before {
            if let Some(index) = message.index(&name) {
                slots[index] = match (message.fields[index].repeat, value) {
                    (Repeat::List, Value::Array(items)) => Slot::List(items),
                    (Repeat::Map, Value::Object(map)) => Slot::Map(map.into_iter().collect()),
                    (_, value) => Slot::One(value),
                };
            }
        }
        self.fields(message, &message.nodes[0], bytes, &mut slots, depth)?;
        let mut entries = Vec::new();
        for (field, slot) in message.fields.iter().zip(slots) {
            let value = match slot {
                Slot::Empty => continue,
                Slot::One(value) => value,
                Slot::List(items) => Value::Array(items),
                Slot::Map(entries) => Value::Object(Map::from_unsorted(entries)),
            };
            if keeps(field, &value) {
                entries.push((field.name.clone(), value));
            }
        }
        Ok(Map::from_unsorted(entries))
    }

    fn fields(
        &self,
        message: &Message,
        node: &Node,
        bytes: &[u8],
        slots: &mut [Slot],
        depth: usize,
    ) -> Result<(), Malformed> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (number, wire) = reader.tag(&message.name)?;
            match layout::target(node, number) {
                None => reader.skip(wire)?,
                Some(Target::Embedded(inner)) => {
                    if wire != wire::BYTES {
                        return Err(wrong_wire(wire, &message.name));
                    }
                    let bytes = reader.bytes()?;
                    self.fields(message, &message.nodes[usize::from(inner)], bytes, slots, depth)?;
                }
                Some(Target::Field(index)) => {
                    let index = usize::from(index);
                    self.field(&message.fields[index], wire, &mut reader, &mut slots[index], depth)?;
                }
            }
        }
        Ok(())
    }

    fn field(
        &self,
        field: &Field,
        wire: u8,
        reader: &mut Reader<'_>,
        slot: &mut Slot,
        depth: usize,
    ) -> Result<(), Malformed> {
        match field.repeat {
            Repeat::Once => {
                let before = match std::mem::replace(slot, Slot::Empty) {
                    Slot::One(value) => value,
                    _ => Value::Null,
                };
                *slot = Slot::One(self.value(field, wire, reader, before, depth + 1)?);
            }
            Repeat::List => {
                let items = slot.list();
                if wire == wire::BYTES && forms::wire_type(field.form) != wire::BYTES {
                    // Packed: nobody writes it for proto2, every reader takes it.
                    let mut packed = Reader::new(reader.bytes()?);
                    while !packed.is_empty() {
                        let wire = forms::wire_type(field.form);
                        items.push(self.value(field, wire, &mut packed, Value::Null, depth + 2)?);
                    }
                } else {
                    items.push(self.value(field, wire, reader, Value::Null, depth + 2)?);
                }
            }
            Repeat::Map => {
                if wire != wire::BYTES {
                    return Err(wrong_wire(wire, &field.name));
                }
                let entry = self.entry(field, reader.bytes()?, depth + 2)?;
                match slot {
                    Slot::Map(entries) => entries.push(entry),
                    _ => *slot = Slot::Map(vec![entry]),
                }
            }
        }
        Ok(())
    }

    fn entry(&self, field: &Field, bytes: &[u8], depth: usize) -> Result<(Str, Value), Malformed> {
        let (mut key, mut value) = (Str::default(), Value::Null);
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            match reader.tag(&field.name)? {
                (1, wire::BYTES) => key = String::from_utf8_lossy(reader.bytes()?).into_owned().into(),
                (1, wire) => return Err(wrong_wire(wire, &field.name)),
                (2, wire) => value = self.value(field, wire, &mut reader, value, depth)?,
                (_, wire) => reader.skip(wire)?,
            }
        }
        Ok((key, if value.is_null() { forms::zero(field.form) } else { value }))
    }

    /// One value. Of a message that stands again, `before` is what it was.
    fn value(
        &self,
        field: &Field,
        wire: u8,
        reader: &mut Reader<'_>,
        before: Value,
        depth: usize,
    ) -> Result<Value, Malformed> {
        if wire != forms::wire_type(field.form) {
            return Err(wrong_wire(wire, &field.name));
        }
        match field.form {
            Form::Int32 | Form::Int64 | Form::Boolean => Ok(forms::from_varint(field.form, reader.varint()?)),
            Form::Double => Ok(forms::from_double(f64::from_bits(reader.fixed64()?))),
            Form::Message(id) => {
                let before = if let Value::Object(map) = before { map } else { Map::new() };
                self.message(id, reader.bytes()?, before, depth).map(Value::Object)
            }
            Form::OneOrMany(id) | Form::BoolOr(id) | Form::StringsOr(id) => {
                self.either(field, id, reader.bytes()?, depth)
            }
            form => forms::from_bytes(form, reader.bytes()?, depth),
        }
    }

    /// A message that JSON shows as one of two things.
    fn either(&self, field: &Field, id: MessageId, bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
        let (mut one, mut allows, mut many) = (None, false, Vec::new());
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (number, wire) = reader.tag(&field.name)?;
            match (field.form, number, wire) {
                (Form::BoolOr(_), 1, wire::VARINT) => allows = reader.varint()? != 0,
                (Form::BoolOr(_), 2, wire::BYTES)
                | (Form::OneOrMany(_) | Form::StringsOr(_), 1, wire::BYTES) => {
                    let before = one.take().unwrap_or_default();
                    one = Some(self.message(id, reader.bytes()?, before, depth)?);
                }
                (Form::OneOrMany(_), 2, wire::BYTES) => {
                    let item = self.message(id, reader.bytes()?, Map::new(), depth + 1)?;
                    many.push(Value::Object(item));
                }
                (Form::StringsOr(_), 2, wire::BYTES) => {
                    many.push(String::from_utf8_lossy(reader.bytes()?).into_owned().into());
                }
                (_, 1 | 2, wire) => return Err(wrong_wire(wire, &field.name)),
                _ => reader.skip(wire)?,
            }
        }
        // As Go's JSON encoder decides: lists before a message for one or many, a message before a boolean,
        // strings before a message.
        Ok(match (field.form, one, many.is_empty()) {
            (_, _, false) => Value::Array(many),
            (_, Some(one), true) => Value::Object(one),
            (Form::BoolOr(_), None, true) => Value::Bool(allows),
            (_, None, true) => Value::Null,
        })
    }
}

/// Whether a field's value is kept in the tree: what [`crate::normalise`] would keep.
fn keeps(field: &Field, value: &Value) -> bool {
    match field.presence {
        _ if value.is_null() => field.nullable,
        Presence::OmitZero => match value {
            // An empty message is there: its field is a pointer.
            Value::Object(map) => field.repeat != Repeat::Map || !map.is_empty(),
            value => !value.is_empty(),
        },
        Presence::KeepZero | Presence::Always => true,
    }
}
