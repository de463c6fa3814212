//! Lists in a strategic merge patch: merged by a key or as sets of scalars, then put in order.

use std::mem::take;

use sampan_model::{Map, Str, Value};

use super::Error;
use super::directive::{self, Directive};
use super::go_print::GoPrint;
use super::index::Index;
use super::strategic::merge_map;
use crate::types::{PatchStrategy, SchemaSet, TypeId};

/// By what the elements of a merged list are told apart.
pub(super) enum MergeKey {
    /// By themselves.
    Scalar,
    /// By a field.
    Field(Str),
}

impl MergeKey {
    /// `None` if the list is not merged.
    pub(super) fn of(strategy: Option<&PatchStrategy>) -> Option<Self> {
        let strategy = strategy.filter(|s| s.merge)?;
        Some(strategy.merge_key.clone().map_or(MergeKey::Scalar, MergeKey::Field))
    }

    /// What tells an element apart.
    fn value<'a>(&self, item: &'a Value) -> Result<&'a Value, Error> {
        match (self, item) {
            (MergeKey::Scalar, item) => Ok(item),
            (MergeKey::Field(key), Value::Object(map)) => map.get(key).ok_or_else(|| no_key(map, key)),
            (MergeKey::Field(_), other) => Err(Error::Internal(format!(
                "expected a map[string]interface {{}}, but received a {}",
                other.type_name()
            ))),
        }
    }
}

fn no_key(map: &Map, key: &str) -> Error {
    let map = Value::Object(map.clone());
    Error::Internal(format!("map: {} does not contain declared merge key: {key}", GoPrint(&map)))
}

/// Refuses lists of lists, and lists of unlike elements.
fn check_kinds(original: &[Value], patch: &[Value]) -> Result<(), Error> {
    let mut first = None;
    for item in original.iter().chain(patch) {
        if matches!(item, Value::Array(_)) {
            return Err(Error::Unprocessable("lists of lists are not supported".into()));
        }
        let kind = item.type_name();
        if *first.get_or_insert(kind) != kind {
            return Err(Error::Internal(format!(
                "list element types are not identical: [{} {}]",
                GoPrint(&Value::Array(original.to_vec())),
                GoPrint(&Value::Array(patch.to_vec()))
            )));
        }
    }
    Ok(())
}

/// Takes the elements that `patch` lists out of a list of scalars.
pub(super) fn delete(key: &MergeKey, original: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, Error> {
    check_kinds(&original, patch)?;
    match key {
        MergeKey::Scalar => {
            let gone: Index = patch.iter().collect();
            Ok(original.into_iter().filter(|item| gone.find(item).is_none()).collect())
        }
        MergeKey::Field(_) => Err(Error::Malformed("invalid patch format of primitive list".into())),
    }
}

/// Merges a list of the patch into one of the object.
pub(super) fn merge(
    set: &SchemaSet,
    items: Option<TypeId>,
    key: &MergeKey,
    mut original: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Vec<Value>, Error> {
    check_kinds(&original, &patch)?;
    let scalars = !matches!(original.first().or(patch.first()), Some(Value::Object(_)));
    if scalars {
        let server_order = original.clone();
        let patch_order = patch.clone();
        let mut there: Index = original.iter().collect();
        for item in patch {
            if there.add(&item) {
                original.push(item);
            }
        }
        return enforce_order(&MergeKey::Scalar, original, &patch_order, &server_order);
    }
    let MergeKey::Field(field) = key else {
        return Err(Error::Internal("cannot merge lists without merge key for type struct".into()));
    };
    let mut plain = Vec::with_capacity(patch.len());
    let mut gone = Index::default();
    let mut replace = false;
    for item in patch {
        let Value::Object(map) = item else { continue };
        match directive::of(&map)? {
            None => plain.push(map),
            Some(Directive::Replace) => replace = true,
            Some(Directive::Delete) => {
                gone.add(map.get(field).ok_or_else(|| no_key(&map, field))?);
            }
            Some(Directive::Merge) => {
                return Err(Error::Internal("merging lists cannot yet be specified in the patch".into()));
            }
        }
    }
    if replace {
        return Ok(plain.into_iter().map(Value::Object).collect());
    }
    original.retain(|item| item.get(field).is_none_or(|value| gone.find(value).is_none()));
    let server_order = order_of(key, &original);
    let mut there: Index = original.iter().map(|item| item.get(field).unwrap_or(&Value::Null)).collect();
    let mut patch_order = Vec::with_capacity(plain.len());
    for map in plain {
        let wanted = map.get(field).ok_or_else(|| no_key(&map, field))?;
        patch_order.push(wanted.clone());
        let wanted = wanted.clone();
        if let Some(Value::Object(there)) = there.find(&wanted).and_then(|i| original.get_mut(i)) {
            *there = merge_map(set, items, take(there), map)?;
        } else {
            there.add(&wanted);
            original.extend(directive::plain(Value::Object(map)));
        }
    }
    if patch_order.is_empty() {
        return Ok(original);
    }
    let order: Vec<Value> = patch_order
        .into_iter()
        .map(|value| Value::Object([(field.clone(), value)].into_iter().collect()))
        .collect();
    enforce_order(key, original, &order, &server_order)
}

/// What tells the elements of a list apart, in their order; elements without it are left out.
pub(super) fn order_of(key: &MergeKey, items: &[Value]) -> Vec<Value> {
    items.iter().filter_map(|item| key.value(item).ok().cloned()).collect()
}

/// Checks that the elements of the patch stand in the order that its `$setElementOrder` gives them.
pub(super) fn check_order(key: &MergeKey, patch: &[Value], order: &[Value]) -> Result<(), Error> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let mut order_left = order.iter();
    for item in patch.iter().filter(|item| item.get(directive::PATCH).is_none()) {
        let wanted = key.value(item)?;
        loop {
            let Some(next) = order_left.next() else {
                return Err(Error::Internal(format!(
                    "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                    GoPrint(&Value::Array(patch.to_vec())),
                    GoPrint(&Value::Array(order.to_vec()))
                )));
            };
            if key.value(next)? == wanted {
                break;
            }
        }
    }
    Ok(())
}

/// Orders a merged list: what `order` names stands in its order; the rest keeps the place it had among
/// those in the object.
pub(super) fn enforce_order(
    key: &MergeKey,
    merged: Vec<Value>,
    order: &[Value],
    server_order: &[Value],
) -> Result<Vec<Value>, Error> {
    let order: Index = order.iter().map(|item| key.value(item)).collect::<Result<_, _>>()?;
    let server_order: Index = server_order.iter().collect();
    let mut named: Vec<(usize, Option<usize>, Value)> = Vec::with_capacity(merged.len());
    let mut others: Vec<(Option<usize>, Value)> = Vec::new();
    for item in merged {
        let value = key.value(&item)?;
        let place = server_order.find(value);
        match order.find(value) {
            Some(at) => named.push((at, place, item)),
            None => others.push((place, item)),
        }
    }
    named.sort_by_key(|(at, _, _)| *at);
    others.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, place, item) in named {
        while let Some((Some(_), _)) = others.peek()
            && let (Some(there), Some(other)) = (place, others.peek().and_then(|(place, _)| *place))
            && other < there
        {
            result.extend(others.next().map(|(_, item)| item));
        }
        result.push(item);
    }
    result.extend(others.map(|(_, item)| item));
    Ok(result)
}
