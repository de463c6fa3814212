//! The keys of `fieldsV1`: `f:` a field, `k:` an element of a list by its keys, `v:` an element of a set by
//! its value, `i:` an element by its index.

use std::fmt::Write as _;

use sampan_model::{Map, Str, Value};

use crate::complete::zero_ref;
use crate::types::{ListSemantics, Presence, SchemaSet, Shape, TypeId};

/// The key of a field.
pub(super) fn field(name: &str) -> Str {
    let mut key = Str::with_capacity(name.len() + 2);
    key.push_str("f:");
    key.push_str(name);
    key
}

/// The name of the field that a key stands for.
pub(super) fn field_name(key: &str) -> Option<&str> {
    key.strip_prefix("f:")
}

/// The value of a field by which elements are told apart: what is there, or what would be.
fn key_value<'a>(set: &'a SchemaSet, items: TypeId, item: &'a Map, name: &str) -> Option<&'a Value> {
    if let Some(value) = item.get(name) {
        return Some(value);
    }
    let Shape::Object(object) = &set.get(items).shape else { return None };
    let field = object.field(name)?;
    match &field.default {
        Some(default) => Some(default),
        None if field.presence == Presence::Always => Some(zero_ref(set, field.ty)),
        None => None,
    }
}

/// Whether two elements of a list are the same one. False also when one of them has no key.
pub(super) fn same_item(
    set: &SchemaSet,
    items: TypeId,
    semantics: &ListSemantics,
    a: &Value,
    b: &Value,
) -> bool {
    match (semantics, a, b) {
        (ListSemantics::Map(keys), Value::Object(a), Value::Object(b)) => keys.iter().all(|key| {
            let a = key_value(set, items, a, key);
            a.is_some() && a == key_value(set, items, b, key)
        }),
        (ListSemantics::Set, a, b) => {
            a == b && !matches!(a, Value::Null | Value::Array(_) | Value::Object(_))
        }
        _ => false,
    }
}

/// The key of an element of a list that is no atom.
pub(super) fn item(
    set: &SchemaSet,
    items: TypeId,
    semantics: &ListSemantics,
    item: &Value,
) -> Result<Str, String> {
    match semantics {
        ListSemantics::Atomic => Err("invalid indexing of non-associative list".into()),
        ListSemantics::Set => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => {
                let mut key = Str::const_new("v:");
                push_json(&mut key, scalar);
                Ok(key)
            }
        },
        ListSemantics::Map(keys) => {
            let Value::Object(map) = item else {
                let what = if item.is_null() { "a null element" } else { "non-map elements" };
                return Err(format!("associative list with keys may not have {what}"));
            };
            if let [name] = keys.as_slice() {
                return keyed(set, items, map, std::iter::once(name));
            }
            let mut names: Vec<&Str> = keys.iter().collect();
            names.sort_unstable();
            keyed(set, items, map, names.into_iter())
        }
    }
}

fn keyed<'a>(
    set: &SchemaSet,
    items: TypeId,
    map: &Map,
    names: impl Iterator<Item = &'a Str>,
) -> Result<Str, String> {
    let mut key = Str::const_new("k:{");
    for (i, name) in names.enumerate() {
        let Some(value) = key_value(set, items, map, name) else {
            return Err(format!(
                "associative list with keys has an element that omits key field {name:?} \
                 (and doesn't have default value)"
            ));
        };
        if i > 0 {
            key.push(',');
        }
        push_string(&mut key, name);
        key.push(':');
        push_json(&mut key, value);
    }
    key.push('}');
    Ok(key)
}

fn push_json(out: &mut Str, value: &Value) {
    match value {
        Value::String(text) => push_string(out, text),
        other => {
            let _ = write!(out, "{}", other.to_json());
        }
    }
}

/// A JSON string as Go writes it: `<`, `>` and `&` are escaped.
fn push_string(out: &mut Str, text: &str) {
    if text.bytes().all(|c| c >= 0x20 && !matches!(c, b'"' | b'\\' | b'<' | b'>' | b'&' | 0x7f..)) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    let json = Value::from(text).to_json();
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}

/// A key that a client sent in the form in which it is compared. `Ok(None)` for a kind of key that is not
/// known, which is dropped.
pub(super) fn canonical(key: &str) -> Result<Option<Str>, String> {
    if key == "." {
        return Ok(Some(key.into()));
    }
    let Some((kind, rest)) = key.split_at_checked(2) else {
        return Err("key must be 2 characters long:".into());
    };
    if !kind.ends_with(':') {
        return Err(format!("missing colon: {key}"));
    }
    let parsed = |rest: &str| serde_json::from_str::<Value>(rest).map_err(|e| e.to_string());
    match kind {
        "f:" => Ok(Some(key.into())),
        "i:" => rest.parse::<i64>().map(|i| Some(format!("i:{i}").into())).map_err(|e| e.to_string()),
        "v:" => {
            let mut out = Str::const_new("v:");
            push_json(&mut out, &parsed(rest)?);
            Ok(Some(out))
        }
        "k:" => {
            let Value::Object(map) = parsed(rest)? else { return Err(format!("no keys: {key}")) };
            let mut out = Str::const_new("k:{");
            for (i, (name, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_string(&mut out, name);
                out.push(':');
                push_json(&mut out, value);
            }
            out.push('}');
            Ok(Some(out))
        }
        _ => Ok(None),
    }
}

/// A key as a path shows it: `.data`, `[name="x"]`, `[="v"]`, `[0]`.
pub(super) fn print(key: &str) -> String {
    let Some((kind, rest)) = key.split_at_checked(2) else { return String::new() };
    let parsed = || serde_json::from_str::<Value>(rest).unwrap_or_default();
    match kind {
        "f:" => format!(".{rest}"),
        "v:" => format!("[={}]", print_value(&parsed())),
        "i:" => format!("[{rest}]"),
        "k:" => {
            let map = parsed();
            let parts: Vec<String> = map
                .as_object()
                .into_iter()
                .flat_map(Map::iter)
                .map(|(name, value)| format!("{name}={}", print_value(value)))
                .collect();
            format!("[{}]", parts.join(","))
        }
        _ => String::new(),
    }
}

fn print_value(value: &Value) -> String {
    match value {
        Value::String(text) => sampan_model::field_error::go_quote(text),
        other => other.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printed_as_upstream_prints_paths() {
        for (key, want) in [
            ("f:data", ".data"),
            (r#"k:{"name":"x"}"#, r#"[name="x"]"#),
            (r#"k:{"port":80,"protocol":"TCP"}"#, r#"[port=80,protocol="TCP"]"#),
            (r#"v:"example.com/1""#, r#"[="example.com/1"]"#),
            ("i:3", "[3]"),
        ] {
            assert_eq!(print(key), want);
        }
    }

    #[test]
    fn keys_of_clients_take_one_form() {
        for (key, want) in [
            (r#"k:{"protocol":"TCP","port":80}"#, Ok(Some(r#"k:{"port":80,"protocol":"TCP"}"#))),
            (r#"v: "a<b""#, Ok(Some(r#"v:"a\u003cb""#))),
            ("x:1", Ok(None)),
            ("i:01", Ok(Some("i:1"))),
        ] {
            assert_eq!(
                canonical(key).map(|k| k.map(|k| k.to_string())),
                want.map(|k: Option<&str>| k.map(str::to_owned))
            );
        }
        assert!(canonical("k:{").is_err());
        assert!(canonical("f").is_err());
        assert!(canonical("data").is_err());
    }
}
