//! Objects to bytes: once, when they are written.
//!
//! The bytes of a stored object begin with its kind and apiVersion and end with a line break, as
//! upstream's encoder leaves them. So an item of a list is a slice of them (lists leave out the two), and
//! an event of a watch wraps them, and nothing is encoded twice.

use sampan_model::{Map, Value};
use sampan_store::NewValue;

/// `{"kind":"Pod","apiVersion":"v1",`: what the bytes of every object of a kind begin with.
pub fn type_prefix(kind: &str, api_version: &str) -> String {
    format!("{{\"kind\":{},\"apiVersion\":{},", quoted(kind), quoted(api_version))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string has a JSON form")
}

/// The bytes of an object to be stored, with the place where its resourceVersion goes.
///
/// `object` must have no `metadata.resourceVersion` of its own.
pub fn stored(object: &Value, prefix: &str) -> NewValue {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(prefix.as_bytes());
    let mut revision_at = None;
    let empty = Map::new();
    let meta = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    bytes.extend_from_slice(b"\"metadata\":{");
    let mut written = false;
    for (key, value) in meta.iter() {
        if revision_at.is_none() && key.as_str() > "resourceVersion" {
            revision_at = Some(revision_field(&mut bytes, written));
            written = true;
        }
        if key == "resourceVersion" {
            continue;
        }
        comma(&mut bytes, written);
        field(&mut bytes, key, value);
        written = true;
    }
    let revision_at = revision_at.unwrap_or_else(|| revision_field(&mut bytes, written));
    bytes.push(b'}');
    if let Value::Object(map) = object {
        for (key, value) in map.iter() {
            if !matches!(key.as_str(), "kind" | "apiVersion" | "metadata") {
                bytes.push(b',');
                field(&mut bytes, key, value);
            }
        }
    }
    bytes.extend_from_slice(b"}\n");
    NewValue { bytes, revision_at: Some(revision_at), ..NewValue::default() }
}

fn revision_field(bytes: &mut Vec<u8>, written: bool) -> usize {
    comma(bytes, written);
    bytes.extend_from_slice(b"\"resourceVersion\":\"");
    let at = bytes.len();
    bytes.push(b'"');
    at
}

fn comma(bytes: &mut Vec<u8>, written: bool) {
    if written {
        bytes.push(b',');
    }
}

fn field(bytes: &mut Vec<u8>, key: &str, value: &Value) {
    string(bytes, key);
    bytes.push(b':');
    write(bytes, value);
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    if plain {
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        serde_json::to_writer(&mut *bytes, text).expect("writing into memory does not fail");
    }
}

fn write(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.extend_from_slice(b"null"),
        Value::Bool(true) => bytes.extend_from_slice(b"true"),
        Value::Bool(false) => bytes.extend_from_slice(b"false"),
        Value::String(s) => string(bytes, s),
        Value::Array(items) => {
            bytes.push(b'[');
            for (i, item) in items.iter().enumerate() {
                comma(bytes, i > 0);
                write(bytes, item);
            }
            bytes.push(b']');
        }
        Value::Object(map) => {
            bytes.push(b'{');
            for (i, (key, value)) in map.iter().enumerate() {
                comma(bytes, i > 0);
                field(bytes, key, value);
            }
            bytes.push(b'}');
        }
        Value::Int(_) | Value::Float(_) => {
            serde_json::to_writer(&mut *bytes, value).expect("writing into memory does not fail");
        }
    }
}

/// An object (or a list, a Status, a Table) as JSON, `kind`, `apiVersion` and `metadata` first.
pub fn write_object(value: &Value, out: &mut Vec<u8>, pretty: bool) {
    let Value::Object(map) = value else {
        return write(out, value);
    };
    if pretty {
        let mut serializer = serde_json::Serializer::with_formatter(
            &mut *out,
            serde_json::ser::PrettyFormatter::with_indent(b"  "),
        );
        serde::Serialize::serialize(&Ordered(map), &mut serializer)
            .expect("writing into memory does not fail");
        return;
    }
    out.push(b'{');
    for (i, (key, value)) in ordered(map).enumerate() {
        comma(out, i > 0);
        field(out, key, value);
    }
    out.push(b'}');
}

const FIRST: [&str; 3] = ["kind", "apiVersion", "metadata"];

fn ordered(map: &Map) -> impl Iterator<Item = (&str, &Value)> {
    let first = FIRST.iter().filter_map(|key| map.get(key).map(|value| (*key, value)));
    first.chain(map.iter().map(|(k, v)| (k.as_str(), v)).filter(|(k, _)| !FIRST.contains(k)))
}

struct Ordered<'a>(&'a Map);

impl serde::Serialize for Ordered<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(ordered(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_goes_to_its_sorted_place_in_metadata() {
        let rows = [
            (
                r#"{"metadata":{"name":"a","uid":"u"},"data":{"k":"v"}}"#,
                r#"{"kind":"K","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"7","uid":"u"},"data":{"k":"v"}}"#,
            ),
            (
                r#"{"metadata":{"name":"a"}}"#,
                r#"{"kind":"K","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"7"}}"#,
            ),
            (
                r#"{"metadata":{"uid":"u"}}"#,
                r#"{"kind":"K","apiVersion":"v1","metadata":{"resourceVersion":"7","uid":"u"}}"#,
            ),
            ("{}", r#"{"kind":"K","apiVersion":"v1","metadata":{"resourceVersion":"7"}}"#),
        ];
        for (object, want) in rows {
            let new = stored(&serde_json::from_str(object).unwrap(), &type_prefix("K", "v1"));
            let mut text = String::from_utf8(new.bytes).unwrap();
            text.insert(new.revision_at.unwrap(), '7');
            assert_eq!(text.trim_end(), want);
        }
    }
}
