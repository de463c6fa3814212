//! What a strategic merge patch says beside values: `$patch`, `$retainKeys`, `$setElementOrder/...` and
//! `$deleteFromPrimitiveList/...`.

use sampan_model::{Map, Str, Value};

use super::Error;
use super::go_print::GoPrint;

pub(super) const PATCH: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";

/// What `$patch` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directive {
    Replace,
    Delete,
    Merge,
}

/// The directive of a map, if it has one.
pub(super) fn of(map: &Map) -> Result<Option<Directive>, Error> {
    match map.get(PATCH) {
        None => Ok(None),
        Some(Value::String(text)) if text == "replace" => Ok(Some(Directive::Replace)),
        Some(Value::String(text)) if text == "delete" => Ok(Some(Directive::Delete)),
        Some(Value::String(text)) if text == "merge" => Ok(Some(Directive::Merge)),
        Some(other) => Err(unknown(other, map)),
    }
}

pub(super) fn unknown(directive: &Value, map: &Map) -> Error {
    let map = Value::Object(map.clone());
    Error::Internal(format!("unknown patch type: {} in map: {}", GoPrint(directive), GoPrint(&map)))
}

/// The list that a `$setElementOrder/...` key orders.
pub(super) fn ordered_list(key: &str) -> Result<Option<&str>, Error> {
    named_list(key, SET_ELEMENT_ORDER, "invalid patch format of setElementOrder list")
}

/// The list that a `$deleteFromPrimitiveList/...` key deletes from.
pub(super) fn shrunk_list(key: &str) -> Result<Option<&str>, Error> {
    named_list(key, DELETE_FROM_PRIMITIVE_LIST, "invalid patch format of primitive list")
}

fn named_list<'a>(key: &'a str, directive: &str, refusal: &str) -> Result<Option<&'a str>, Error> {
    if !key.starts_with(directive) {
        return Ok(None);
    }
    match key.split_once('/') {
        Some((prefix, name)) if prefix == directive => Ok(Some(name)),
        _ => Err(Error::Malformed(refusal.into())),
    }
}

/// Carries out `$retainKeys`: fields that it does not list are dropped from the object.
pub(super) fn retain_keys(target: &mut Map, patch: &mut Map) -> Result<(), Error> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let refusal = || Error::Malformed("invalid patch format of retainKeys".into());
    let Value::Array(keys) = keys else { return Err(refusal()) };
    let listed = |name: &Str| keys.iter().any(|key| key.as_str() == Some(name));
    for (name, value) in patch.iter() {
        let directive = name.starts_with(DELETE_FROM_PRIMITIVE_LIST) || name.starts_with(SET_ELEMENT_ORDER);
        if !value.is_null() && !directive && !listed(name) {
            return Err(refusal());
        }
    }
    target.retain(|name, _| listed(name));
    Ok(())
}

/// A part of a patch that meets nothing in the object, as it goes into the object: without nulls and
/// directives. `None` if it is nothing but a directive.
pub(super) fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .filter_map(|(name, value)| plain(value).map(|value| (name, value)))
                .collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(plain).collect())),
        other => Some(other),
    }
}
