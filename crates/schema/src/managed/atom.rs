//! How ownership treats a type: as one thing, or part by part.

use sampan_model::{Map, Value};

use crate::types::{ListSemantics, ObjectType, SchemaSet, Shape, TypeId};

/// A type as ownership sees it.
#[derive(Clone, Copy)]
pub(super) enum Atom<'a> {
    /// Owned as a whole: scalars, and containers said to be atomic.
    Leaf,
    /// Owned field by field.
    Object(&'a ObjectType),
    /// Owned key by key.
    Map(TypeId),
    /// Owned element by element.
    List(TypeId, &'a ListSemantics),
    /// Without a type: maps are owned key by key, anything else as a whole.
    Deduced,
}

/// The part of `id` in ownership; `None` is a value without a type.
pub(super) fn of(set: &SchemaSet, id: Option<TypeId>) -> Atom<'_> {
    let Some(id) = id else { return Atom::Deduced };
    match &set.get(id).shape {
        Shape::Object(object) if !object.atomic => Atom::Object(object),
        Shape::Map { values, atomic: false } => Atom::Map(*values),
        Shape::List { items, semantics } if *semantics != ListSemantics::Atomic => {
            Atom::List(*items, semantics)
        }
        Shape::Any if set.is_lenient() => Atom::Deduced,
        _ => Atom::Leaf,
    }
}

impl Atom<'_> {
    /// The type of what stands at a key of a map.
    pub(super) fn child(&self, key: &str) -> Option<TypeId> {
        match self {
            Atom::Object(object) => object.field(key).map(|field| field.ty),
            Atom::Map(values) => Some(*values),
            Atom::Leaf | Atom::List(..) | Atom::Deduced => None,
        }
    }

    /// Whether the key is a field that the type declares.
    pub(super) fn declares(&self, key: &str) -> bool {
        matches!(self, Atom::Object(object) if object.field(key).is_some())
    }
}

/// The map, if there is one; null is no map.
pub(super) fn map(value: Option<&Value>) -> Option<&Map> {
    value.and_then(Value::as_object)
}

/// The list, if there is one; null is no list.
pub(super) fn list(value: Option<&Value>) -> Option<&[Value]> {
    value.and_then(Value::as_array)
}
