//! What the encoder reads: a tree, or the outline of a text. The encoder asks both the same questions, so that one
//! object has one message whatever it was read from.

use std::borrow::Cow;

use sampan_model::{Map, Value};

/// A value, as far as the encoder looks at it at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum View<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Cow<'a, str>),
    Array,
    Object,
}

impl View<'_> {
    /// How complaints name a value of this sort.
    pub(super) fn type_name(&self) -> &'static str {
        let value = match self {
            View::Null => Value::Null,
            View::Bool(v) => Value::Bool(*v),
            View::Int(v) => Value::Int(*v),
            View::Float(v) => Value::Float(*v),
            View::String(_) => Value::from(""),
            View::Array => Value::Array(Vec::new()),
            View::Object => Value::Object(Map::new()),
        };
        value.type_name()
    }
}

/// Values that are found by nodes. What contains others is gone through from its end: the encoder writes backwards.
pub(super) trait Source {
    /// A place in the source.
    type Node: Copy;

    /// The value at a place.
    fn view(&self, node: Self::Node) -> View<'_>;
    /// The items of an array, the last first; nothing of anything else.
    fn items(&self, node: Self::Node) -> impl Iterator<Item = Self::Node>;
    /// The members of an object, the last first; nothing of anything else.
    fn members(&self, node: Self::Node) -> impl Iterator<Item = (Cow<'_, str>, Self::Node)>;
    /// The value as JSON.
    fn json(&self, node: Self::Node) -> Result<Cow<'_, [u8]>, String>;
}

/// A tree.
#[derive(Debug)]
pub(super) struct Tree<'a>(pub(super) std::marker::PhantomData<&'a Value>);

impl<'a> Source for Tree<'a> {
    type Node = &'a Value;

    fn view(&self, node: &'a Value) -> View<'_> {
        match node {
            Value::Null => View::Null,
            Value::Bool(v) => View::Bool(*v),
            Value::Int(v) => View::Int(*v),
            Value::Float(v) => View::Float(*v),
            Value::String(v) => View::String(Cow::Borrowed(v.as_str())),
            Value::Array(_) => View::Array,
            Value::Object(_) => View::Object,
        }
    }

    fn items(&self, node: &'a Value) -> impl Iterator<Item = &'a Value> {
        node.as_array().unwrap_or_default().iter().rev()
    }

    fn members(&self, node: &'a Value) -> impl Iterator<Item = (Cow<'_, str>, &'a Value)> {
        let members = node.as_object().into_iter().flat_map(|map| map.iter().rev());
        members.map(|(key, value)| (Cow::Borrowed(key.as_str()), value))
    }

    fn json(&self, node: &'a Value) -> Result<Cow<'_, [u8]>, String> {
        serde_json::to_vec(node).map(Cow::Owned).map_err(|error| error.to_string())
    }
}
