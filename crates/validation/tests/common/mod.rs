//! What the tests of this crate share.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

use sampan_model::{FieldError, Map, Value};
use sampan_validation::{KindRules, Params, rules};
use serde_json::Value as Json;

/// A tree from JSON.
pub(crate) fn tree(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => Value::Array(list.iter().map(tree).collect()),
        Json::Object(fields) => {
            let mut map = Map::new();
            for (key, value) in fields {
                map.insert(key.as_str(), tree(value));
            }
            Value::Object(map)
        }
    }
}

/// The rules of a kind that has some.
pub(crate) fn rules_of(group: &str, kind: &str) -> &'static KindRules {
    rules(group, kind).unwrap_or_else(|| panic!("{group} {kind} has no rules"))
}

/// The errors as sentences: field, then what is wrong.
pub(crate) fn sentences(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Calls with a request of one `jane`.
pub(crate) fn with_params<T>(call: impl FnOnce(&Params<'_>) -> T) -> T {
    let (groups, extra) = (vec!["system:authenticated".to_owned()], BTreeMap::new());
    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    call(&Params { now, user: "jane", uid: "7", groups: &groups, extra: &extra })
}

/// An object as a create makes it: defaulted, then prepared.
pub(crate) fn created(group: &str, kind: &str, object: &Json) -> Value {
    let rules = rules_of(group, kind);
    let mut object = tree(object);
    if let Some(default) = rules.default {
        default(&mut object);
    }
    if let Some(prepare) = rules.prepare_create {
        with_params(|params| prepare(&mut object, params));
    }
    object
}

/// The new form of an object as an update makes it.
pub(crate) fn updated(group: &str, kind: &str, object: &Json, old: &Value) -> Value {
    let rules = rules_of(group, kind);
    let mut object = tree(object);
    if let Some(default) = rules.default {
        default(&mut object);
    }
    if let Some(prepare) = rules.prepare_update {
        with_params(|params| prepare(&mut object, old, params));
    }
    object
}
