//! Merges an applied configuration into a live object: leaves of the configuration win, nothing is removed.

use std::collections::{HashMap, HashSet};

use sampan_model::{Map, Str, Value};

use super::atom::{self, Atom};
use super::element;
use crate::types::{ListSemantics, SchemaSet, TypeId};

/// The merged object.
pub(super) fn merge(set: &SchemaSet, id: TypeId, live: &Value, config: &Value) -> Result<Value, String> {
    Ok(value(set, Some(id), Some(live), Some(config))?.unwrap_or(Value::Null))
}

fn keep_right(left: Option<&Value>, right: Option<&Value>) -> Option<Value> {
    right.or(left).cloned()
}

fn value(
    set: &SchemaSet,
    id: Option<TypeId>,
    left: Option<&Value>,
    right: Option<&Value>,
) -> Result<Option<Value>, String> {
    let atom = atom::of(set, id);
    let mapped = |value: Option<&Value>| matches!(value, None | Some(Value::Null | Value::Object(_)));
    let listed = |value: Option<&Value>| matches!(value, None | Some(Value::Null | Value::Array(_)));
    match atom {
        Atom::Object(_) | Atom::Map(_) if mapped(left) && mapped(right) => map(set, atom, left, right),
        Atom::Deduced if atom::map(left).is_some() && matches!(right, None | Some(Value::Object(_))) => {
            map(set, atom, left, right)
        }
        Atom::List(items, semantics) if listed(left) && listed(right) => {
            list(set, items, semantics, left, right)
        }
        _ => Ok(keep_right(left, right)),
    }
}

fn map(
    set: &SchemaSet,
    atom: Atom<'_>,
    left: Option<&Value>,
    right: Option<&Value>,
) -> Result<Option<Value>, String> {
    let (a, b) = (atom::map(left), atom::map(right));
    if a.is_none_or(Map::is_empty) && b.is_none_or(Map::is_empty) {
        return Ok(keep_right(left, right));
    }
    let mut out: Vec<(Str, Value)> = Vec::new();
    for (name, part) in a.into_iter().flat_map(Map::iter) {
        let other = b.and_then(|b| b.get(name));
        let merged = match other {
            None => Some(part.clone()),
            Some(_) => value(set, atom.child(name), Some(part), other)?,
        };
        out.extend(merged.map(|value| (name.clone(), value)));
    }
    for (name, part) in b.into_iter().flat_map(Map::iter) {
        if a.is_none_or(|a| !a.contains_key(name)) {
            out.push((name.clone(), part.clone()));
        }
    }
    Ok((!out.is_empty()).then(|| Value::Object(Map::from_unsorted(out))))
}

/// Merges two lists element by element. Elements of both keep the order of the configuration; elements
/// that only the live object has keep their place before what follows them there.
fn list(
    set: &SchemaSet,
    items: TypeId,
    semantics: &ListSemantics,
    left: Option<&Value>,
    right: Option<&Value>,
) -> Result<Option<Value>, String> {
    let (a, b) = (atom::list(left).unwrap_or(&[]), atom::list(right).unwrap_or(&[]));
    if a.is_empty() && b.is_empty() {
        return Ok(keep_right(left, right));
    }
    let keys = |list: &[Value]| -> Result<Vec<Str>, String> {
        list.iter().map(|item| element::item(set, items, semantics, item)).collect()
    };
    let (left_keys, right_keys) = (keys(a)?, keys(b)?);
    // Of elements that stand twice in the live list none is merged with.
    let mut at_left: HashMap<&Str, Option<&Value>> = HashMap::new();
    for (key, item) in left_keys.iter().zip(a) {
        at_left.entry(key).and_modify(|there| *there = None).or_insert(Some(item));
    }
    let at_right: HashSet<&Str> = right_keys.iter().collect();
    let mut shared = right_keys.iter().filter(|key| at_left.contains_key(key));
    let mut next_shared = shared.next();
    let mut done: HashSet<&Str> = HashSet::new();
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let merged = |key: &Str, item: &Value| match at_left.get(key) {
        Some(there) => value(set, Some(items), Some(there.unwrap_or(&Value::Null)), Some(item)),
        None => Ok(Some(item.clone())),
    };
    let (mut l, mut r) = (0, 0);
    while l < a.len() || r < b.len() {
        if l < a.len() && r < b.len() {
            let key = &left_keys[l];
            if *key == right_keys[r] {
                done.insert(key);
                out.extend(merged(key, &b[r])?);
                l += 1;
                r += 1;
                next_shared = shared.next();
                continue;
            }
            if at_right.contains(key) && next_shared.is_some_and(|next| next != key) {
                l += 1;
                continue;
            }
        }
        if l < a.len() {
            let key = &left_keys[l];
            if !at_right.contains(key) {
                out.push(a[l].clone());
                l += 1;
                continue;
            }
            if done.contains(key) {
                l += 1;
            }
        }
        if r < b.len() {
            let key = &right_keys[r];
            done.insert(key);
            out.extend(merged(key, &b[r])?);
            r += 1;
            if next_shared == Some(key) {
                next_shared = shared.next();
            }
        }
    }
    Ok(Some(Value::Array(out)))
}
