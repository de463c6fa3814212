//! The set of fields that a value mentions.

use std::collections::HashSet;

use sampan_model::{Map, Str, Value};

use super::atom::{self, Atom};
use super::{element, set};
use crate::types::{SchemaSet, TypeId};

/// Every leaf and every element that the value mentions.
pub(super) fn of(set: &SchemaSet, id: Option<TypeId>, value: &Value) -> Map {
    let (_, below) = parts(set, id, value);
    Map::from_unsorted(below)
}

/// Whether the place itself is a member, and what is below it.
fn parts(set: &SchemaSet, id: Option<TypeId>, value: &Value) -> (bool, Vec<(Str, Value)>) {
    let atom = atom::of(set, id);
    let mut below = Vec::new();
    match (atom, value) {
        (Atom::Object(_) | Atom::Map(_) | Atom::Deduced, Value::Object(map)) => {
            for (name, value) in map.iter() {
                let (mut member, parts) = parts(set, atom.child(name), value);
                member |=
                    value.is_null() || value.as_object().is_some_and(Map::is_empty) || !atom.declares(name);
                if let Some(node) = set::node(member, parts) {
                    below.push((element::field(name), node));
                }
            }
            (false, below)
        }
        (Atom::List(items, semantics), Value::Array(list)) => {
            let keys: Vec<Option<Str>> =
                list.iter().map(|item| element::item(set, items, semantics, item).ok()).collect();
            let mut seen = HashSet::new();
            let twice: HashSet<&Str> = keys.iter().flatten().filter(|key| !seen.insert(*key)).collect();
            for (key, item) in keys.iter().zip(list) {
                let Some(key) = key else { continue };
                if !twice.contains(key) {
                    let (_, parts) = parts(set, Some(items), item);
                    below.extend(set::node(true, parts).map(|node| (key.clone(), node)));
                }
            }
            below.extend(twice.into_iter().map(|key| (key.clone(), Value::Object(Map::new()))));
            (false, below)
        }
        (Atom::Object(_) | Atom::Map(_) | Atom::List(..), Value::Null) => (false, below),
        _ => (true, below),
    }
}

/// The set with every declared field that has members below it made a member too.
pub(super) fn with_named_fields(set: &SchemaSet, id: Option<TypeId>, fields: &Map) -> Map {
    let atom = atom::of(set, id);
    let mut out = Vec::with_capacity(fields.len());
    for (key, node) in fields.iter() {
        let Value::Object(node) = node else { continue };
        if key == "." || node.is_empty() {
            out.push((key.clone(), Value::Object(node.clone())));
            continue;
        }
        let (child, declared) = match (element::field_name(key), atom) {
            (Some(name), _) => (atom.child(name), atom.declares(name)),
            (None, Atom::List(items, _)) => (Some(items), false),
            (None, _) => (None, false),
        };
        let mut below = with_named_fields(set, child, node);
        if declared && !below.contains_key(".") {
            below.insert(".", Map::new());
        }
        out.push((key.clone(), Value::Object(below)));
    }
    Map::from_unsorted(out)
}
