//! The difference between two objects, as sets of fields: what is new or changed, and what is gone.

use std::collections::HashMap;

use sampan_model::{Map, Str, Value};

use super::atom::{self, Atom};
use super::{element, set};
use crate::complete::{is_zero, zero_ref};
use crate::types::{ListSemantics, ObjectType, Presence, SchemaSet, Shape, TypeId};

/// Longer lists are matched by hashing their keys.
const FEW: usize = 32;

/// What a comparison finds at a place.
#[derive(Default)]
struct Change {
    changed: Node,
    removed: Node,
}

#[derive(Default)]
struct Node {
    member: bool,
    below: Vec<(Str, Value)>,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    fn push(&mut self, key: &Str, node: Node) {
        if let Some(value) = set::node(node.member, node.below) {
            self.below.push((key.clone(), value));
        }
    }
}

impl Change {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    fn push(&mut self, key: &Str, change: Change) {
        self.changed.push(key, change.changed);
        self.removed.push(key, change.removed);
    }

    /// A container that only one side has is itself new or gone.
    fn one_sided(mut self, old: Option<&Value>, new: Option<&Value>) -> Self {
        self.changed.member |= old.is_none();
        self.removed.member |= new.is_none();
        self
    }

    fn leaf(changed: bool) -> Self {
        Change { changed: Node { member: changed, below: Vec::new() }, ..Change::default() }
    }
}

/// The fields that `new` adds or changes, and those of `old` that it has no more. Fields that are never
/// owned (names, versions, `managedFields`) are left out.
pub(super) fn compare(set: &SchemaSet, id: TypeId, old: &Value, new: &Value) -> Result<(Map, Map), String> {
    let comparer = Comparer { set };
    let change = comparer.value(Some(id), Some(old), Some(new), Level::Root)?;
    Ok((Map::from_unsorted(change.changed.below), Map::from_unsorted(change.removed.below)))
}

/// Fields of some levels are never owned.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Metadata,
    Below,
}

impl Level {
    fn child(self, key: &str) -> Level {
        if self == Level::Root && key == "metadata" { Level::Metadata } else { Level::Below }
    }

    fn owns(self, key: &str) -> bool {
        match self {
            Level::Root => key != "apiVersion" && key != "kind",
            Level::Metadata => !UNOWNED_METADATA.contains(&key),
            Level::Below => true,
        }
    }
}

/// Fields of `metadata` that nobody owns.
const UNOWNED_METADATA: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Takes out of a set what nobody owns.
pub(super) fn strip(fields: &mut Map) {
    fields.remove("f:apiVersion");
    fields.remove("f:kind");
    let Some(Value::Object(metadata)) = fields.get_mut("f:metadata") else { return };
    metadata.remove(".");
    for name in UNOWNED_METADATA {
        metadata.remove(&format!("f:{name}"));
    }
    if metadata.is_empty() {
        fields.remove("f:metadata");
    }
}

struct Comparer<'a> {
    set: &'a SchemaSet,
}

impl Comparer<'_> {
    fn value(
        &self,
        id: Option<TypeId>,
        old: Option<&Value>,
        new: Option<&Value>,
        level: Level,
    ) -> Result<Change, String> {
        match atom::of(self.set, id) {
            Atom::Leaf => Ok(self.leaf(id, old, new)),
            Atom::Object(object) => {
                if misfits(old, Value::as_object) || misfits(new, Value::as_object) {
                    return Ok(self.leaf(id, old, new));
                }
                self.object(object, old, new, level)
            }
            Atom::Map(values) => {
                if misfits(old, Value::as_object) || misfits(new, Value::as_object) {
                    return Ok(self.leaf(id, old, new));
                }
                self.map(Some(values), old, new)
            }
            Atom::List(items, semantics) => {
                if misfits(old, Value::as_array) || misfits(new, Value::as_array) {
                    return Ok(self.leaf(id, old, new));
                }
                self.list(items, semantics, old, new)
            }
            Atom::Deduced => self.deduced(old, new),
        }
    }

    fn deduced(&self, old: Option<&Value>, new: Option<&Value>) -> Result<Change, String> {
        let mapped = |value: Option<&Value>| matches!(value, None | Some(Value::Object(_)));
        if mapped(old) && mapped(new) {
            return self.map(None, old, new);
        }
        let mut change = self.leaf(None, old, new);
        if let Some(Value::Object(_)) = old {
            change.removed.below = self.map(None, old, None)?.removed.below;
        }
        if let Some(Value::Object(_)) = new {
            change.changed.below = self.map(None, None, new)?.changed.below;
        }
        Ok(change)
    }

    fn leaf(&self, id: Option<TypeId>, old: Option<&Value>, new: Option<&Value>) -> Change {
        match (old, new) {
            (None, None) => Change::default(),
            (None, Some(_)) => Change::leaf(true),
            (Some(_), None) => {
                Change { removed: Node { member: true, below: Vec::new() }, ..Change::default() }
            }
            (Some(old), Some(new)) => Change::leaf(old != new && !self.same(id, old, new)),
        }
    }

    fn object(
        &self,
        object: &ObjectType,
        old: Option<&Value>,
        new: Option<&Value>,
        level: Level,
    ) -> Result<Change, String> {
        let (left, right) = (atom::map(old), atom::map(new));
        if left.is_none_or(Map::is_empty)
            && right.is_none_or(Map::is_empty)
            && !object.fields.iter().any(|field| field.presence == Presence::Always)
        {
            return Ok(self.leaf(None, old, new));
        }
        let mut change = Change::default();
        let mut fields = object.fields.iter().peekable();
        let mut left_entries = left.into_iter().flat_map(Map::iter).peekable();
        let mut right_entries = right.into_iter().flat_map(Map::iter).peekable();
        loop {
            // The smallest name of the three.
            let mut name = fields.peek().map(|field| field.name.as_str());
            for key in [left_entries.peek(), right_entries.peek()].into_iter().flatten() {
                let key = key.0.as_str();
                if name.is_none_or(|name| key < name) {
                    name = Some(key);
                }
            }
            let Some(name) = name else { break };
            let field = fields.next_if(|field| field.name == name);
            let mut old_part = left_entries.next_if(|(key, _)| *key == name).map(|(_, value)| value);
            let mut new_part = right_entries.next_if(|(key, _)| *key == name).map(|(_, value)| value);
            if let Some(field) = field
                && field.presence == Presence::Always
            {
                let zero = || zero_ref(self.set, field.ty);
                old_part = old_part.or_else(|| left.map(|_| zero()));
                new_part = new_part.or_else(|| right.map(|_| zero()));
            }
            if (old_part.is_none() && new_part.is_none()) || !level.owns(name) {
                continue;
            }
            let id = field.map(|field| field.ty);
            let part = self.value(id, old_part, new_part, level.child(name))?;
            if !part.is_empty() {
                change.push(&element::field(name), part);
            }
        }
        Ok(change.one_sided(old, new))
    }

    fn map(
        &self,
        values: Option<TypeId>,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<Change, String> {
        let (left, right) = (atom::map(old), atom::map(new));
        if left.is_none_or(Map::is_empty) && right.is_none_or(Map::is_empty) {
            return Ok(self.leaf(None, old, new));
        }
        let mut change = Change::default();
        let mut left = left.into_iter().flat_map(Map::iter).peekable();
        let mut right = right.into_iter().flat_map(Map::iter).peekable();
        loop {
            let name = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) => (*a).min(*b),
                (Some((a, _)), None) => *a,
                (None, Some((b, _))) => *b,
                (None, None) => break,
            };
            let old_part = left.next_if(|(key, _)| *key == name).map(|(_, value)| value);
            let new_part = right.next_if(|(key, _)| *key == name).map(|(_, value)| value);
            let part = self.value(values, old_part, new_part, Level::Below)?;
            if !part.is_empty() {
                change.push(&element::field(name), part);
            }
        }
        Ok(change.one_sided(old, new))
    }

    fn list(
        &self,
        items: TypeId,
        semantics: &ListSemantics,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<Change, String> {
        let (left, right) = (atom::list(old).unwrap_or(&[]), atom::list(new).unwrap_or(&[]));
        if left.is_empty() && right.is_empty() {
            return Ok(self.leaf(None, old, new));
        }
        let mut change = Change::default();
        if self.aligned(items, semantics, left, right) {
            for (old, new) in left.iter().zip(right) {
                let part = self.value(Some(items), Some(old), Some(new), Level::Below)?;
                if !part.is_empty() {
                    change.push(&element::item(self.set, items, semantics, new)?, part);
                }
            }
        } else {
            self.match_items(items, semantics, left, right, &mut change)?;
        }
        Ok(change.one_sided(old, new))
    }

    /// Whether two lists have the same elements in the same order, each once: then no keys need be built.
    fn aligned(&self, items: TypeId, semantics: &ListSemantics, left: &[Value], right: &[Value]) -> bool {
        let same = |a: &Value, b: &Value| element::same_item(self.set, items, semantics, a, b);
        left.len() == right.len()
            && left.len() <= FEW
            && left.iter().zip(right).all(|(a, b)| same(a, b))
            && (1..left.len()).all(|i| left[..i].iter().all(|earlier| !same(earlier, &left[i])))
    }

    fn match_items(
        &self,
        items: TypeId,
        semantics: &ListSemantics,
        left: &[Value],
        right: &[Value],
        change: &mut Change,
    ) -> Result<(), String> {
        let mut order: Vec<Str> = Vec::with_capacity(left.len().max(right.len()));
        let mut sides: HashMap<Str, (Vec<&Value>, Vec<&Value>)> = HashMap::new();
        for (is_left, item) in left.iter().map(|i| (true, i)).chain(right.iter().map(|i| (false, i))) {
            let key = element::item(self.set, items, semantics, item)?;
            let sides = sides.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                (Vec::new(), Vec::new())
            });
            if is_left { sides.0.push(item) } else { sides.1.push(item) }
        }
        let compare =
            |old: Option<&Value>, new: Option<&Value>| self.value(Some(items), old, new, Level::Below);
        for key in order {
            let Some((old, new)) = sides.remove(&key) else { continue };
            let part = match (old.as_slice(), new.as_slice()) {
                ([] | [_], [] | [_]) => compare(old.first().copied(), new.first().copied())?,
                // Duplicates are one thing together.
                ([_, _, ..], [_, _, ..]) => {
                    let same = old.len() == new.len()
                        && old.iter().zip(&new).all(|(a, b)| a == b || self.same(Some(items), a, b));
                    Change::leaf(!same)
                }
                ([_, _, ..], _) => {
                    let mut part = match new.first() {
                        Some(new) => compare(None, Some(new))?,
                        None => Change::default(),
                    };
                    part.removed.member = true;
                    part
                }
                (_, _) => {
                    let mut part = match old.first() {
                        Some(old) => compare(Some(old), None)?,
                        None => Change::default(),
                    };
                    part.changed.member = true;
                    part
                }
            };
            if !part.is_empty() {
                change.push(&key, part);
            }
        }
        Ok(())
    }

    /// Whether two values are written alike, although their trees may differ in zero values.
    fn same(&self, id: Option<TypeId>, a: &Value, b: &Value) -> bool {
        if a == b {
            return true;
        }
        let Some(id) = id else {
            return match (a, b) {
                (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                    a.as_f64() == b.as_f64()
                }
                _ => false,
            };
        };
        match (&self.set.get(id).shape, a, b) {
            (Shape::Object(object), Value::Object(a), Value::Object(b)) => {
                let part = |map: &Map, name: &str, other: &Value| match object.field(name) {
                    Some(field) => match map.get(name) {
                        Some(value) => self.same(Some(field.ty), value, other),
                        None if field.presence == Presence::Always => {
                            self.same(Some(field.ty), zero_ref(self.set, field.ty), other)
                        }
                        None => field.presence == Presence::OmitZero && is_zero(self.set, field.ty, other),
                    },
                    None => map.get(name) == Some(other),
                };
                a.iter().all(|(name, value)| part(b, name, value))
                    && b.iter().all(|(name, value)| part(a, name, value))
            }
            (Shape::Map { values, .. }, Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && self.same(Some(*values), a, b))
            }
            (Shape::List { items, .. }, Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(Some(*items), a, b))
            }
            _ => self.same(None, a, b),
        }
    }
}

/// Whether there is something that is neither null nor of the wanted kind.
fn misfits<T: ?Sized>(value: Option<&Value>, kind: fn(&Value) -> Option<&T>) -> bool {
    value.is_some_and(|value| !value.is_null() && kind(value).is_none())
}
