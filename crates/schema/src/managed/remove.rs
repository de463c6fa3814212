//! Takes the fields of a set out of a value.

use sampan_model::{Map, Value};

use super::atom::{self, Atom};
use super::{element, set};
use crate::types::{SchemaSet, TypeId};

/// The value without the members of `fields`. A container that loses all it had becomes null.
pub(super) fn remove(set: &SchemaSet, id: Option<TypeId>, value: Value, fields: &Map) -> Value {
    let atom = atom::of(set, id);
    match (atom, value) {
        (Atom::Object(_) | Atom::Map(_) | Atom::Deduced, Value::Object(map)) => {
            let mut out: Vec<_> = Vec::with_capacity(map.len());
            for (name, value) in map {
                let kept = match fields.get(&element::field(&name)) {
                    Some(Value::Object(node)) if set::is_member(node) => continue,
                    Some(Value::Object(node)) => remove(set, atom.child(&name), value, node),
                    _ => value,
                };
                out.push((name, kept));
            }
            if out.is_empty() { Value::Null } else { Value::Object(Map::from_unsorted(out)) }
        }
        (Atom::List(items, semantics), Value::Array(list)) => {
            let mut out = Vec::with_capacity(list.len());
            for item in list {
                let key = element::item(set, items, semantics, &item).unwrap_or_default();
                match fields.get(&key) {
                    Some(Value::Object(node)) if set::is_member(node) => {}
                    Some(Value::Object(node)) => out.push(remove(set, Some(items), item, node)),
                    _ => out.push(item),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Atom::Leaf, Value::Object(_) | Value::Array(_)) => Value::Null,
        (_, value) => value,
    }
}
