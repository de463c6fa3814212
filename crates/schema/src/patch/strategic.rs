//! Strategic merge patch: a merge patch that knows by its schema which lists are merged, and by which key.

use std::mem::take;

use sampan_model::{Map, Str, Value};

use super::directive::{self, Directive};
use super::list::{self, MergeKey};
use super::{Error, check_object};
use crate::types::{PatchStrategy, Schema, SchemaSet, Shape, TypeId};

/// Applies a strategic merge patch.
pub fn strategic(schema: &Schema, target: &mut Value, patch: Value) -> Result<(), Error> {
    check_object(&patch)?;
    let Value::Object(patch) = patch else { return Ok(()) };
    let original = match take(target) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    *target = Value::Object(merge_map(schema.set(), Some(schema.id()), original, patch)?);
    Ok(())
}

/// The type and the strategy of a field; nothing for what has no schema.
fn field<'a>(
    set: &'a SchemaSet,
    id: Option<TypeId>,
    name: &str,
) -> (Option<TypeId>, Option<&'a PatchStrategy>) {
    match id.map(|id| &set.get(id).shape) {
        Some(Shape::Object(object)) => match object.field(name) {
            Some(field) => (Some(field.ty), Some(&field.patch)),
            None => (None, None),
        },
        Some(Shape::Map { values, .. }) => (Some(*values), None),
        _ => (None, None),
    }
}

/// Merges a map of the patch into one of the object.
pub(super) fn merge_map(
    set: &SchemaSet,
    id: Option<TypeId>,
    mut original: Map,
    mut patch: Map,
) -> Result<Map, Error> {
    match directive::of(&patch)? {
        Some(Directive::Replace) => {
            patch.remove(directive::PATCH);
            return Ok(patch);
        }
        Some(Directive::Delete) => return Ok(Map::new()),
        Some(Directive::Merge) => return Err(directive::unknown(&"merge".into(), &patch)),
        None => {}
    }
    directive::retain_keys(&mut original, &mut patch)?;
    merge_ordered(set, id, &mut original, &mut patch)?;
    for (name, value) in patch {
        merge_field(set, id, &mut original, &name, value)?;
    }
    Ok(original)
}

fn merge_field(
    set: &SchemaSet,
    id: Option<TypeId>,
    original: &mut Map,
    name: &Str,
    patch: Value,
) -> Result<(), Error> {
    let (name, deleting) = match directive::shrunk_list(name)? {
        Some(list) => (list, true),
        None => (name.as_str(), false),
    };
    if patch.is_null() {
        original.remove(name);
        return Ok(());
    }
    let (ty, strategy) = field(set, id, name);
    match (original.get_mut(name), patch) {
        (Some(Value::Object(there)), Value::Object(patch)) => {
            let merged = if strategy.is_some_and(|s| s.replace) {
                patch
            } else {
                merge_map(set, ty, take(there), patch)?
            };
            *there = merged;
        }
        (Some(Value::Array(there)), Value::Array(patch)) => {
            let key = MergeKey::of(strategy);
            let merged = match key {
                None => patch,
                Some(key) if deleting => list::delete(&key, take(there), &patch)?,
                Some(key) => list::merge(set, items(set, ty), &key, take(there), patch)?,
            };
            *there = merged;
        }
        (_, _) if deleting => {}
        (Some(there), patch) if same_kind(there, &patch) => *there = patch,
        (_, patch) => match directive::plain(patch) {
            Some(value) => {
                original.insert(name, value);
            }
            None => {
                original.remove(name);
            }
        },
    }
    Ok(())
}

fn same_kind(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn items(set: &SchemaSet, id: Option<TypeId>) -> Option<TypeId> {
    match set.get(id?).shape {
        Shape::List { items, .. } => Some(items),
        _ => None,
    }
}

/// Carries out the `$setElementOrder/...` directives together with the lists they order. Their precedence:
/// the directive, then the patch, then the object.
fn merge_ordered(
    set: &SchemaSet,
    id: Option<TypeId>,
    original: &mut Map,
    patch: &mut Map,
) -> Result<(), Error> {
    let keys: Vec<Str> = patch.keys().filter(|key| key.starts_with('$')).cloned().collect();
    for key in keys {
        let Some(name) = directive::ordered_list(&key)? else { continue };
        let order = list_of(patch.remove(&key).unwrap_or_default())?;
        let there = original.get(name).is_some_and(|v| !v.is_null());
        let in_patch = patch.contains_key(name);
        if !there && !in_patch {
            continue;
        }
        let (ty, strategy) = field(set, id, name);
        let merge_key = MergeKey::of(strategy).unwrap_or(MergeKey::Scalar);
        let original_list =
            if there { list_of(original.remove(name).unwrap_or_default())? } else { Vec::new() };
        let patch_list = if in_patch { list_of(patch.remove(name).unwrap_or_default())? } else { Vec::new() };
        list::check_order(&merge_key, &patch_list, &order)?;
        let server_order = list::order_of(&merge_key, &original_list);
        let merged = match (there, in_patch) {
            (true, false) => original_list,
            (false, _) => patch_list.into_iter().filter_map(directive::plain).collect(),
            (true, true) if strategy.is_some_and(|s| s.merge) => {
                list::merge(set, items(set, ty), &merge_key, original_list, patch_list)?
            }
            (true, true) => patch_list,
        };
        let ordered = list::enforce_order(&merge_key, merged, &order, &server_order)?;
        original.insert(name, Value::Array(ordered));
    }
    Ok(())
}

fn list_of(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(Error::Internal(format!(
            "expected a []interface {{}}, but received a {}",
            match other {
                Value::Object(_) => "map[string]interface {}",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Int(_) => "int64",
                Value::Float(_) => "float64",
                Value::Null | Value::Array(_) => "%!s(<nil>)",
            }
        ))),
    }
}
