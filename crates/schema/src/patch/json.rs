//! JSON patch, with the habits of the library that upstream uses: `replace` of a missing key of a map adds
//! it, indices count from the end when negative, a missing value is null, copies are bounded.

use sampan_model::{Map, Value};

use super::Error;
use crate::decode::MAX_DEPTH;

/// More operations than this are refused.
const MAX_OPERATIONS: usize = 10_000;
/// What all copies of a patch may add, in bytes of JSON.
const MAX_COPIED: usize = 3 << 20;
/// How many values all moves and copies may visit: their size times their number.
const MAX_VISITED: usize = 20_000_000;

/// Applies a list of operations (RFC 6902).
pub fn json(target: Value, patch: &Value) -> Result<Value, Error> {
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        other => {
            let found = match other {
                Value::Object(_) => "object",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            return Err(malformed(found, "[]handlers.jsonPatchOp"));
        }
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(Error::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut patcher = Patcher { document: target, copied: 0, visited: 0 };
    for operation in operations {
        let Value::Object(operation) = operation else {
            return Err(malformed(operation.type_name(), "handlers.jsonPatchOp"));
        };
        patcher.apply(operation)?;
    }
    Ok(patcher.document)
}

/// Fields of operations that no operation has, as a strict reader complains of them.
pub fn json_complaints(patch: &Value) -> Vec<String> {
    let known = ["op", "path", "from", "value"];
    let mut complaints = Vec::new();
    for (i, operation) in patch.as_array().unwrap_or(&[]).iter().enumerate() {
        for name in operation.as_object().into_iter().flat_map(Map::keys) {
            if !known.contains(&name.as_str()) {
                complaints.push(format!("json patch unknown field \"[{i}].{name}\""));
            }
        }
    }
    complaints
}

fn malformed(found: &str, go_type: &str) -> Error {
    Error::Malformed(format!(
        "error decoding patch: json: cannot unmarshal {found} into Go value of type {go_type}"
    ))
}

fn unfit(text: impl Into<String>) -> Error {
    Error::Unprocessable(text.into())
}

/// The field of an operation that holds a pointer.
fn pointer<'a>(operation: &'a Map, field: &str) -> Result<&'a str, String> {
    match operation.get(field) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => {
            let comma = if field == "from" { "," } else { "" };
            Err(format!("operation{comma} missing {field} field: missing value"))
        }
        Some(other) => {
            Err(format!("json: cannot unmarshal {} into Go value of type string", other.type_name()))
        }
    }
}

/// Paths and values must not make the document deeper than every walk over it can bear.
fn check_path(path: &str) -> Result<(), Error> {
    if path.bytes().filter(|c| *c == b'/').count() > MAX_DEPTH {
        return Err(unfit("exceeded max depth"));
    }
    Ok(())
}

struct Patcher {
    document: Value,
    copied: usize,
    visited: usize,
}

impl Patcher {
    fn apply(&mut self, operation: &Map) -> Result<(), Error> {
        let op = match operation.get("op") {
            Some(Value::String(op)) => op.as_str(),
            _ => "unknown",
        };
        match op {
            "add" => {
                let path = pointer(operation, "path")
                    .map_err(|_| unfit("add operation failed to decode path: missing value"))?;
                let missing = || {
                    format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
                };
                check_path(path)?;
                let (container, key) = self.find(path).ok_or_else(|| unfit(missing()))?;
                add(container, &key, value(operation))
                    .map_err(|e| unfit(format!("error in add for path: '{path}': {e}")))
            }
            "remove" => {
                let path = pointer(operation, "path")
                    .map_err(|_| unfit("remove operation failed to decode path: missing value"))?;
                let missing = || {
                    format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
                };
                let (container, key) = self.find(path).ok_or_else(|| unfit(missing()))?;
                remove(container, &key)
                    .map(drop)
                    .map_err(|e| unfit(format!("error in remove for path: '{path}': {e}")))
            }
            "replace" => self.replace(operation),
            "move" => self.relocate(operation),
            "test" => self.test(operation),
            "copy" => self.copy(operation),
            other => Err(unfit(format!("Unexpected kind: {other}"))),
        }
    }

    /// The container that a pointer ends in, and the last key.
    fn find(&mut self, path: &str) -> Option<(&mut Value, String)> {
        let mut parts: Vec<&str> = path.split('/').skip(1).collect();
        let key = unescape(parts.pop()?);
        let mut at = &mut self.document;
        for part in parts {
            let part = unescape(part);
            at = match at {
                Value::Object(map) => map.get_mut(&part)?,
                Value::Array(items) => {
                    let index = index(&part, items.len(), 0).ok()?;
                    items.get_mut(index)?
                }
                _ => return None,
            };
        }
        matches!(at, Value::Object(_) | Value::Array(_)).then_some((at, key))
    }

    fn replace(&mut self, operation: &Map) -> Result<(), Error> {
        let path = pointer(operation, "path")
            .map_err(|e| unfit(format!("replace operation failed to decode path: {e}")))?;
        if path.is_empty() {
            let value = value(operation);
            if !matches!(value, Value::Object(_) | Value::Array(_)) {
                return Err(unfit("replace operation value must be object or array: %!w(<nil>)"));
            }
            self.document = value;
            return Ok(());
        }
        let missing =
            |what| format!("replace operation does not apply: doc is missing {what}: {path}: missing value");
        check_path(path)?;
        let (container, key) = self.find(path).ok_or_else(|| unfit(missing("path")))?;
        match container {
            Value::Object(map) => {
                map.insert(key, value(operation));
            }
            Value::Array(items) => {
                let index = index(&key, items.len(), 0).map_err(|_| unfit(missing("key")))?;
                items[index] = value(operation);
            }
            _ => return Err(unfit(missing("path"))),
        }
        Ok(())
    }

    fn relocate(&mut self, operation: &Map) -> Result<(), Error> {
        let from = pointer(operation, "from")
            .map_err(|e| unfit(format!("move operation failed to decode from: {e}")))?;
        let missing =
            format!("move operation does not apply: doc is missing from path: {from}: missing value");
        let (container, key) = self.find(from).ok_or_else(|| unfit(missing))?;
        let value =
            remove(container, &key).map_err(|e| unfit(format!("error in move for path: '{key}': {e}")))?;
        let path = pointer(operation, "path")
            .map_err(|e| unfit(format!("move operation failed to decode path: {e}")))?;
        self.measure(&value, path)?;
        let missing =
            format!("move operation does not apply: doc is missing destination path: {path}: missing value");
        let (container, key) = self.find(path).ok_or_else(|| unfit(missing))?;
        add(container, &key, value).map_err(|e| unfit(format!("error in move for path: '{path}': {e}")))
    }

    fn test(&mut self, operation: &Map) -> Result<(), Error> {
        let path = pointer(operation, "path")
            .map_err(|e| unfit(format!("test operation failed to decode path: {e}")))?;
        let failed = || unfit(format!("testing value {path} failed: test failed"));
        let want = operation.get("value").unwrap_or(&Value::Null);
        if path.is_empty() {
            return if equal(&self.document, want) { Ok(()) } else { Err(failed()) };
        }
        let missing = format!("test operation does not apply: is missing path: {path}: missing value");
        let (container, key) = self.find(path).ok_or_else(|| unfit(missing))?;
        let found =
            get(container, &key).map_err(|e| unfit(format!("error in test for path: '{path}': {e}")))?;
        if equal(found, want) { Ok(()) } else { Err(failed()) }
    }

    fn copy(&mut self, operation: &Map) -> Result<(), Error> {
        let from = pointer(operation, "from")
            .map_err(|e| unfit(format!("copy operation failed to decode from: {e}")))?;
        let missing =
            format!("copy operation does not apply: doc is missing from path: {from}: missing value");
        let (container, key) = self.find(from).ok_or_else(|| unfit(missing))?;
        let value = get(container, &key)
            .map_err(|e| unfit(format!("error in copy for from: '{from}': {e}")))?
            .clone();
        let path = pointer(operation, "path")
            .map_err(|_| unfit("copy operation failed to decode path: missing value"))?;
        let bytes = self.measure(&value, path)?;
        let missing =
            format!("copy operation does not apply: doc is missing destination path: {path}: missing value");
        self.copied += bytes;
        let copied = self.copied;
        let (container, key) = self.find(path).ok_or_else(|| unfit(missing))?;
        if copied > MAX_COPIED {
            return Err(unfit(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, \
                 exceeding the limit {MAX_COPIED}"
            )));
        }
        add(container, &key, value).map_err(|e| unfit(format!("error while adding value during copy: {e}")))
    }

    /// Checks what a value brings to its new place, and returns about how long its JSON is.
    fn measure(&mut self, value: &Value, path: &str) -> Result<usize, Error> {
        let mut size = Size::default();
        size.visit(value, 0);
        self.visited += size.count;
        let depth = path.bytes().filter(|c| *c == b'/').count();
        if depth + size.height > MAX_DEPTH {
            return Err(unfit("exceeded max depth"));
        }
        if self.visited > MAX_VISITED {
            return Err(Error::TooLarge("the operations of the JSON patch move too much".into()));
        }
        Ok(size.bytes)
    }
}

#[derive(Default)]
struct Size {
    height: usize,
    count: usize,
    bytes: usize,
}

impl Size {
    fn visit(&mut self, value: &Value, depth: usize) {
        self.height = self.height.max(depth);
        self.count += 1;
        match value {
            Value::String(text) => self.bytes += text.len() + 2,
            Value::Array(items) => {
                self.bytes += 2 + items.len().saturating_sub(1);
                for item in items {
                    self.visit(item, depth + 1);
                }
            }
            Value::Object(map) => {
                self.bytes += 2 + map.len().saturating_sub(1);
                for (key, value) in map.iter() {
                    self.bytes += key.len() + 3;
                    self.visit(value, depth + 1);
                }
            }
            _ => self.bytes += 5,
        }
    }
}

fn value(operation: &Map) -> Value {
    operation.get("value").cloned().unwrap_or_default()
}

fn unescape(part: &str) -> String {
    if !part.contains('~') {
        return part.to_owned();
    }
    // One pass: `~01` is `~1`, not `/`.
    let mut text = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        text.push_str(&rest[..at]);
        let (plain, skip) = match rest.as_bytes().get(at + 1) {
            Some(b'0') => ('~', 2),
            Some(b'1') => ('/', 2),
            _ => ('~', 1),
        };
        text.push(plain);
        rest = &rest[at + skip..];
    }
    text + rest
}

/// An index into a list of `len`, `beyond` of its end allowed; negative ones count from there.
fn index(key: &str, len: usize, beyond: usize) -> Result<usize, String> {
    let number: i64 = key.parse().map_err(|_| format!("strconv.Atoi: parsing \"{key}\": invalid syntax"))?;
    let end = i64::try_from(len + beyond).unwrap_or(i64::MAX);
    if number >= end || number < -end {
        return Err(format!("Unable to access invalid index: {number}: invalid index referenced"));
    }
    let index = if number < 0 { number + end } else { number };
    usize::try_from(index).map_err(|e| e.to_string())
}

fn add(container: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match container {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index = index(key, items.len(), 1).map_err(|e| {
                let prefix = if e.starts_with("strconv") {
                    format!("value was not a proper array index: '{key}': ")
                } else {
                    String::new()
                };
                format!("{prefix}{e}")
            })?;
            items.insert(index, value);
        }
        _ => return Err("invalid state detected".into()),
    }
    Ok(())
}

fn remove(container: &mut Value, key: &str) -> Result<Value, String> {
    match container {
        Value::Object(map) => {
            map.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value"))
        }
        Value::Array(items) => {
            let index = index(key, items.len(), 0)?;
            Ok(items.remove(index))
        }
        _ => Err("invalid state detected".into()),
    }
}

fn get<'a>(container: &'a Value, key: &str) -> Result<&'a Value, String> {
    match container {
        Value::Object(map) => Ok(map.get(key).unwrap_or(&Value::Null)),
        Value::Array(items) => Ok(&items[index(key, items.len(), 0)?]),
        _ => Err("invalid state detected".into()),
    }
}

/// Equality that does not tell 1 from 1.0.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && equal(a, b))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}
