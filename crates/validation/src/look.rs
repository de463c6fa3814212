//! Short words for looking into an object tree, and for reporting what is wrong there.
//!
//! An absent field reads as its type's zero value, as it does for Go code that works on structs.

use sampan_model::{FieldError, FieldPath, Map, Str, Value};

/// The complaints about one object.
pub(crate) type Errors = Vec<FieldError>;

static NULL: Value = Value::Null;

pub(crate) const IMMUTABLE: &str = "field is immutable";
pub(crate) const NEGATIVE: &str = "must be greater than or equal to 0";
pub(crate) const NOT_POSITIVE: &str = "must be greater than zero";
pub(crate) const NOT_AN_INTEGER: &str = "must be an integer";

/// Reading fields of a node of the tree.
pub(crate) trait Look {
    /// The field, null when absent.
    fn sub(&self, key: &str) -> &Value;
    /// The field if it is there and not null.
    fn opt(&self, key: &str) -> Option<&Value>;

    /// A string, empty when absent.
    fn s(&self, key: &str) -> &str {
        self.sub(key).as_str().unwrap_or("")
    }
    /// A string if it is there.
    fn opt_s(&self, key: &str) -> Option<&str> {
        self.sub(key).as_str()
    }
    /// A number, 0 when absent.
    fn num(&self, key: &str) -> i64 {
        self.sub(key).as_i64().unwrap_or(0)
    }
    /// A number if it is there.
    fn opt_num(&self, key: &str) -> Option<i64> {
        self.sub(key).as_i64()
    }
    /// A boolean, false when absent.
    fn flag(&self, key: &str) -> bool {
        self.sub(key).as_bool().unwrap_or(false)
    }
    /// A boolean if it is there.
    fn opt_flag(&self, key: &str) -> Option<bool> {
        self.sub(key).as_bool()
    }
    /// A list, empty when absent.
    fn list(&self, key: &str) -> &[Value] {
        self.sub(key).as_array().unwrap_or(&[])
    }
    /// A map if it is there.
    fn map(&self, key: &str) -> Option<&Map> {
        self.sub(key).as_object()
    }
    /// The entries of a map, none when absent.
    fn entries(&self, key: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.map(key).into_iter().flat_map(|m| m.iter().map(|(k, v)| (k.as_str(), v)))
    }
    /// Whether the field is there and not null.
    fn has(&self, key: &str) -> bool {
        self.opt(key).is_some()
    }
}

impl Look for Value {
    fn sub(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&NULL)
    }
    fn opt(&self, key: &str) -> Option<&Value> {
        self.get(key).filter(|v| !v.is_null())
    }
}

impl Look for Map {
    fn sub(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&NULL)
    }
    fn opt(&self, key: &str) -> Option<&Value> {
        self.get(key).filter(|v| !v.is_null())
    }
}

/// The strings of a list.
pub(crate) fn strings(list: &[Value]) -> impl Iterator<Item = &str> + Clone {
    list.iter().map(|v| v.as_str().unwrap_or(""))
}

/// The value of an annotation, if it is set.
pub(crate) fn annotation<'a>(meta: &'a Value, key: &str) -> Option<&'a str> {
    meta.sub("annotations").opt_s(key)
}

/// Changing fields of a map.
pub(crate) trait Put {
    /// Sets a field that is absent, null or zero (`omitempty` and "" are the same to a Go default).
    fn default_to(&mut self, key: &str, value: impl Into<Value>);
    /// Sets a field that is absent or null: the default of a pointer.
    fn default_ptr(&mut self, key: &str, value: impl Into<Value>);
}

impl Put for Map {
    fn default_to(&mut self, key: &str, value: impl Into<Value>) {
        if self.get(key).is_none_or(Value::is_empty) {
            self.insert(Str::from(key), value);
        }
    }
    fn default_ptr(&mut self, key: &str, value: impl Into<Value>) {
        if self.get(key).is_none_or(Value::is_null) {
            self.insert(Str::from(key), value);
        }
    }
}

/// The map at a key if there is one, to be changed.
pub(crate) fn map_mut<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map> {
    value.as_object_mut()?.get_mut(key)?.as_object_mut()
}

/// The map at `spec`, made if there was none.
pub(crate) fn spec_mut(object: &mut Value) -> &mut Map {
    top(object).object_mut("spec")
}

/// The object's own map.
pub(crate) fn top(object: &mut Value) -> &mut Map {
    if !matches!(object, Value::Object(_)) {
        *object = Value::Object(Map::new());
    }
    match object {
        Value::Object(map) => map,
        _ => unreachable!("it was made a map just above"),
    }
}

/// The elements of a list of maps if there is one, to be changed.
pub(crate) fn items_mut<'a>(map: &'a mut Map, key: &str) -> impl Iterator<Item = &'a mut Map> {
    map.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flat_map(|list| list.iter_mut().filter_map(Value::as_object_mut))
}

/// Sets a field of `new` to what it is in `old`, or takes it away.
pub(crate) fn restore(new: &mut Value, old: &Value, key: &str) {
    match old.get(key) {
        Some(value) => {
            top(new).insert(Str::from(key), value.clone());
        }
        None => {
            top(new).remove(key);
        }
    }
}

/// Whether two fields hold the same, where absent, null and empty maps and lists are all one (as for Go's
/// semantic equality).
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let (mut x, mut y) = (x.iter().filter(|e| !hollow(e.1)), y.iter().filter(|e| !hollow(e.1)));
            loop {
                match (x.next(), y.next()) {
                    (None, None) => return true,
                    (Some((ka, va)), Some((kb, vb))) if ka == kb && same(va, vb) => {}
                    _ => return false,
                }
            }
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        _ => a == b || (hollow(a) && hollow(b)),
    }
}

fn hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(a) => a.is_empty(),
        Value::Object(m) => m.values().all(hollow),
        _ => false,
    }
}

/// Raises the generation of `new` above `old`'s when `changed`, else keeps it.
pub(crate) fn bump_generation(new: &mut Value, old: &Value, changed: bool) {
    let before = old.sub("metadata").num("generation");
    set_generation(new, if changed { before + 1 } else { before });
}

/// Sets the generation; 0 is none.
pub(crate) fn set_generation(object: &mut Value, generation: i64) {
    let meta = top(object).object_mut("metadata");
    if generation == 0 {
        meta.remove("generation");
    } else {
        meta.insert("generation", Value::Int(generation));
    }
}

/// A field that must not change: the error if it did.
pub(crate) fn immutable(e: &mut Errors, path: FieldPath<'_>, new: &Value, old: &Value) {
    if !same(new, old) {
        e.push(FieldError::invalid(path, new.clone(), IMMUTABLE));
    }
}

/// A field whose value must be one of `supported`, listed in that order.
pub(crate) fn not_supported(path: FieldPath<'_>, value: impl Into<Value>, supported: &[&str]) -> FieldError {
    let mut error = FieldError::not_supported(path, value, &[]);
    if !supported.is_empty() {
        let list: Vec<String> = supported.iter().map(|s| sampan_model::field_error::go_quote(s)).collect();
        error.detail = format!("supported values: {}", list.join(", "));
    }
    error
}

/// Adds complaints about one value.
pub(crate) fn complain(e: &mut Errors, path: FieldPath<'_>, value: &str, complaints: Vec<String>) {
    for text in complaints {
        e.push(FieldError::invalid(path, value, text));
    }
}

/// A number must not be negative.
pub(crate) fn non_negative(e: &mut Errors, path: FieldPath<'_>, value: i64) {
    if value < 0 {
        e.push(FieldError::invalid(path, value, NEGATIVE));
    }
}

/// A string must be one of `supported` (listed in that order); empty is a missing value.
pub(crate) fn required_one_of(e: &mut Errors, path: FieldPath<'_>, value: &str, supported: &[&str]) {
    if value.is_empty() {
        e.push(FieldError::required(path, ""));
    } else if !supported.contains(&value) {
        e.push(not_supported(path, value, supported));
    }
}

/// A string, when there is one, must be one of `supported` (listed in that order).
pub(crate) fn one_of(e: &mut Errors, path: FieldPath<'_>, value: Option<&str>, supported: &[&str]) {
    if let Some(value) = value
        && !supported.contains(&value)
    {
        e.push(not_supported(path, value, supported));
    }
}

/// A struct as Go's encoder shows one that has no JSON names. The tree keeps its own order of fields.
pub(crate) fn go_struct<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(k, v)| (Str::from(k), v)).collect())
}

/// A Go struct as messages show it: its fields in the order of their declaration.
pub(crate) fn go_struct_text<const N: usize>(fields: [(&str, Value); N]) -> String {
    let fields = fields.map(|(name, value)| format!("{}:{}", Value::from(name).to_json(), value.to_json()));
    format!("{{{}}}", fields.join(","))
}

/// A map of strings to strings as a tree.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    go_struct(fields)
}
