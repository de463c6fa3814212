//! Which field has which number: a table joined to the types of a set.
//!
//! A line of the table is a message: its published name, then its fields, each `name=numbers:word`. More than
//! one number is the way through embedded structs, which JSON does not show: `hostPath=2.1`. A message that
//! stands twice has the fields of both lines. Words: `string int32 int64 double boolean bytes`, `time microtime
//! quantity intorstring`, `#` and a published name, and messages that JSON shows as something else: `raw`,
//! `items`, `oneormany#T`, `boolor#T`, `stringsor#T`. `[]` before a word is a list, `{}` a map from strings.

use std::collections::HashMap;

use sampan_model::Str;

use crate::types::{ObjectType, Presence, Schema, SchemaSet, Shape};

/// The messages of a set of types.
#[derive(Debug)]
pub struct Layout {
    messages: Vec<Message>,
    names: HashMap<Str, MessageId>,
}

/// A message's index in its [`Layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(u32);

/// A message.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// The last word of its published name, as complaints have it.
    pub(super) name: Str,
    /// Its fields by their JSON names, sorted.
    pub(super) fields: Vec<Field>,
    /// The message itself, then the structs embedded in it.
    pub(super) nodes: Vec<Node>,
}

/// The fields of a message or of a struct embedded in it, sorted by number.
pub(super) type Node = Vec<(u32, Target)>;

/// What stands under a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// A field of the message.
    Field(u16),
    /// An embedded struct, one of the message's nodes. Go has it by value: it is always written.
    Embedded(u16),
}

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in JSON.
    pub(super) name: Str,
    pub(super) repeat: Repeat,
    pub(super) form: Form,
    /// Go has it by value: it is written when it is absent too.
    pub(super) by_value: bool,
    /// What becomes of zero values in JSON.
    pub(super) presence: Presence,
    /// Whether null is a value of its own.
    pub(super) nullable: bool,
}

/// How often a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Once,
    List,
    Map,
}

/// How one value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    String,
    Int32,
    Int64,
    Double,
    Boolean,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// JSON as bytes, in a message's field 1.
    Raw,
    /// A list of strings, in a message's field 1.
    Items,
    Message(MessageId),
    /// A message (1), or a list of them (2).
    OneOrMany(MessageId),
    /// A boolean (1), or a message (2).
    BoolOr(MessageId),
    /// A message (1), or a list of strings (2).
    StringsOr(MessageId),
}

impl Layout {
    /// Reads a table.
    ///
    /// # Panics
    ///
    /// When the table is wrong: it is part of the program.
    pub fn new(set: &SchemaSet, table: &str) -> Self {
        let mut layout = Self { messages: Vec::new(), names: HashMap::new() };
        let lines = || table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines() {
            let name = line.split('\t').next().unwrap_or(line);
            layout.declare(name);
        }
        for line in lines() {
            let (name, columns) = line.split_once('\t').unwrap_or((line, ""));
            let object = set.find(name).and_then(|id| match &set.get(id).shape {
                Shape::Object(object) => Some(object),
                _ => None,
            });
            for column in columns.split('\t').filter(|column| !column.is_empty()) {
                let (field, numbers) =
                    layout.field(column, set, object).unwrap_or_else(|| panic!("{name}: {column}"));
                let id = layout.names[name];
                layout.messages[id.0 as usize].add(field, &numbers);
            }
        }
        layout.messages.shrink_to_fit();
        for message in &mut layout.messages {
            message.finish();
        }
        layout
    }

    fn declare(&mut self, name: &str) {
        if self.names.contains_key(name) {
            return;
        }
        let id = MessageId(u32::try_from(self.messages.len()).expect("an API has fewer than 2^32 types"));
        self.names.insert(name.into(), id);
        let name = name.rsplit('.').next().unwrap_or(name).into();
        self.messages.push(Message { name, nodes: vec![Node::new()], ..Message::default() });
    }

    fn field(&self, column: &str, set: &SchemaSet, object: Option<&ObjectType>) -> Option<(Field, Vec<u32>)> {
        let (name, rest) = column.split_once('=')?;
        let (numbers, word) = rest.split_once(':')?;
        let numbers = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>()?;
        let (repeat, word) = match word.split_at_checked(2) {
            Some(("[]", word)) => (Repeat::List, word),
            Some(("{}", word)) => (Repeat::Map, word),
            _ => (Repeat::Once, word),
        };
        let form = self.form(word)?;
        let field = object.and_then(|object| object.field(name));
        let presence = field.map_or(Presence::OmitZero, |field| field.presence);
        let nullable = field.is_some_and(|field| set.get(field.ty).nullable);
        let by_value = repeat == Repeat::Once
            && !nullable
            && match form {
                Form::String | Form::Int32 | Form::Int64 | Form::Double | Form::Boolean => {
                    presence != Presence::KeepZero
                }
                Form::Bytes => false,
                _ => presence == Presence::Always,
            };
        Some((Field { name: name.into(), repeat, form, by_value, presence, nullable }, numbers))
    }

    fn form(&self, word: &str) -> Option<Form> {
        if let Some((word, name)) = word.split_once('#') {
            let id = *self.names.get(name)?;
            return match word {
                "" => Some(Form::Message(id)),
                "oneormany" => Some(Form::OneOrMany(id)),
                "boolor" => Some(Form::BoolOr(id)),
                "stringsor" => Some(Form::StringsOr(id)),
                _ => None,
            };
        }
        Some(match word {
            "string" => Form::String,
            "int32" => Form::Int32,
            "int64" => Form::Int64,
            "double" => Form::Double,
            "boolean" => Form::Boolean,
            "bytes" => Form::Bytes,
            "time" => Form::Time,
            "microtime" => Form::MicroTime,
            "quantity" => Form::Quantity,
            "intorstring" => Form::IntOrString,
            "raw" => Form::Raw,
            "items" => Form::Items,
            _ => return None,
        })
    }

    /// The message of a published name.
    pub fn find(&self, name: &str) -> Option<MessageId> {
        self.names.get(name).copied()
    }

    /// The message of a type.
    pub fn of(&self, schema: &Schema) -> Option<MessageId> {
        self.find(schema.ty().name.as_ref()?)
    }

    pub(super) fn get(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// The numbers of the fields of a message by their JSON names, for tests of the table.
    pub fn numbers(&self, id: MessageId) -> Vec<(&str, u32)> {
        let message = self.get(id);
        let mut list = Vec::new();
        for (number, target) in message.nodes.iter().flatten() {
            if let Target::Field(index) = target {
                list.push((message.fields[usize::from(*index)].name.as_str(), *number));
            }
        }
        list.sort_unstable();
        list
    }
}

impl Message {
    fn add(&mut self, field: Field, numbers: &[u32]) {
        let index = u16::try_from(self.fields.len()).expect("a type has fewer than 2^16 fields");
        self.fields.push(field);
        let Some((last, way)) = numbers.split_last() else { return };
        let mut node = 0;
        for number in way {
            node = match self.nodes[node].iter().find(|(n, _)| n == number) {
                Some((_, Target::Embedded(next))) => usize::from(*next),
                Some((_, Target::Field(_))) => panic!("{}: {number} is a field", self.name),
                None => {
                    let next = u16::try_from(self.nodes.len()).expect("a type has few embedded structs");
                    self.nodes[node].push((*number, Target::Embedded(next)));
                    self.nodes.push(Node::new());
                    usize::from(next)
                }
            };
        }
        self.nodes[node].push((*last, Target::Field(index)));
    }

    /// Sorts fields by name and nodes by number.
    fn finish(&mut self) {
        let mut order: Vec<usize> = (0..self.fields.len()).collect();
        order.sort_by(|a, b| self.fields[*a].name.cmp(&self.fields[*b].name));
        let mut place = vec![0_u16; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = u16::try_from(new).expect("a type has fewer than 2^16 fields");
        }
        self.fields.sort_by(|a, b| a.name.cmp(&b.name));
        self.fields.shrink_to_fit();
        for node in &mut self.nodes {
            for (_, target) in node.iter_mut() {
                if let Target::Field(index) = target {
                    *index = place[usize::from(*index)];
                }
            }
            node.sort_by_key(|(number, _)| *number);
            node.shrink_to_fit();
        }
    }

    /// The place of a field among the message's fields, which is probably the one before `hint`.
    pub(super) fn index_before(&self, name: &str, hint: usize) -> Option<usize> {
        // A few that are absent lie between.
        let near = self.fields[..hint.min(self.fields.len())].iter().rev().take(4);
        match near.enumerate().find(|(_, field)| field.name == name) {
            Some((distance, _)) => Some(hint - 1 - distance),
            None => self.index(name),
        }
    }

    /// The place of a field among the message's fields.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()
    }
}

/// What stands under a number of a node.
pub(super) fn target(node: &Node, number: u32) -> Option<Target> {
    // Numbers mostly count from 1.
    let guess = (number as usize).wrapping_sub(1);
    if let Some((n, target)) = node.get(guess)
        && *n == number
    {
        return Some(*target);
    }
    node.binary_search_by_key(&number, |(n, _)| *n).ok().map(|i| node[i].1)
}
