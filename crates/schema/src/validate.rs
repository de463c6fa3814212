//! Whether the values of a custom object satisfy its schema, with kube-openapi's sentences.
//!
//! A [`Validator`] is made once for a version of a definition, from the schema as it was written: patterns
//! are compiled, and junctors (`oneOf` and such) stay what they are.

mod compile;
pub(crate) mod formats;

use std::collections::HashSet;

use regex::Regex;
use sampan_model::{ErrorType, FieldError, Map, Str, Value};

/// A schema made ready to judge values.
#[derive(Debug, Default)]
pub struct Validator {
    root: Node,
}

/// What a value must satisfy.
#[derive(Debug, Default)]
struct Node {
    /// The types that it may have; empty for any.
    types: Vec<&'static str>,
    nullable: bool,
    format: Str,
    enum_values: Vec<Value>,
    pattern: Option<Regex>,
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    multiple_of: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    required: Vec<Str>,
    properties: Vec<(Str, Node)>,
    additional: Option<Box<Node>>,
    items: Option<Box<Node>>,
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Box<Node>>,
    embedded: bool,
    list: List,
}

/// What may not stand twice in a list.
#[derive(Debug, Default)]
enum List {
    #[default]
    Atomic,
    Set,
    Map(Vec<Str>),
}

impl Validator {
    /// From an `openAPIV3Schema`. Patterns that are no patterns are left out; they are refused with the
    /// definition.
    pub fn new(open_api: &Value) -> Self {
        Self { root: compile::node(open_api, 0) }
    }

    /// What is wrong with an object. Where the object that it replaces has the same value, nothing is:
    /// a schema that became stricter does not forbid changing something else.
    pub fn check(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.root.check(object, old, "", &mut errors);
        errors
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn error(error_type: ErrorType, field: &str, bad_value: Value, detail: String) -> FieldError {
    FieldError { error_type, field: field.to_owned(), bad_value, detail, shown: None }
}

/// A complaint that upstream does not tie to a field.
fn loose(detail: String) -> FieldError {
    error(ErrorType::Invalid, "<nil>", "".into(), detail)
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn without_fraction(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e21 { format!("{value:.0}") } else { value.to_string() }
}

impl Node {
    fn check(&self, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        if old == Some(value) {
            return;
        }
        if value.is_null() && self.nullable {
            return;
        }
        self.check_type(value, path, errors);
        match value {
            Value::String(text) => self.check_string(text, path, errors),
            Value::Int(_) | Value::Float(_) => self.check_number(value, path, errors),
            Value::Array(list) => self.check_list(list, old.and_then(Value::as_array), path, errors),
            Value::Object(map) => self.check_object(map, old.and_then(Value::as_object), path, errors),
            Value::Null | Value::Bool(_) => {}
        }
        if !self.enum_values.is_empty() && !self.enum_values.contains(value) {
            let known: Vec<String> = self
                .enum_values
                .iter()
                .map(|value| match value {
                    Value::String(text) => sampan_model::field_error::go_quote(text),
                    other => sampan_model::field_error::go_quote(&other.to_json()),
                })
                .collect();
            let detail = format!("supported values: {}", known.join(", "));
            errors.push(error(ErrorType::NotSupported, path, value.clone(), detail));
        }
        self.check_junctors(value, old, path, errors);
    }

    fn check_type(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let found = match value {
            Value::Int(_) => "integer",
            Value::Float(v) if v.fract() == 0.0 => "integer",
            other => other.type_name(),
        };
        let fits = |ty: &&'static str| *ty == found || (*ty == "number" && found == "integer");
        if !self.types.is_empty() && !self.types.iter().any(fits) {
            let detail = format!("{path} in body must be of type {}: \"{found}\"", self.types.join(","));
            errors.push(error(ErrorType::TypeInvalid, path, found.into(), detail));
        }
    }

    fn check_string(&self, text: &Str, path: &str, errors: &mut Vec<FieldError>) {
        let length = count(text.chars().count());
        if let Some(max) = self.max_length
            && length > max
        {
            errors.push(FieldError::too_long(path, usize::try_from(max).unwrap_or(usize::MAX)));
        } else if let Some(min) = self.min_length
            && length < min
        {
            let detail = format!("{path} in body should be at least {min} chars long");
            errors.push(error(ErrorType::Invalid, path, text.clone().into(), detail));
        } else if let Some(pattern) = &self.pattern
            && !pattern.is_match(text)
        {
            let detail = format!("{path} in body should match '{pattern}'");
            errors.push(error(ErrorType::Invalid, path, text.clone().into(), detail));
        }
        if !self.format.is_empty() && !formats::fits(&self.format, text) {
            let quoted = sampan_model::field_error::go_quote(text);
            let detail = format!("{path} in body must be of type {}: {quoted}", self.format);
            errors.push(error(ErrorType::TypeInvalid, path, text.clone().into(), detail));
        }
    }

    fn check_number(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let Some(number) = value.as_f64() else { return };
        let mut complain = |words: &str, limit: f64| {
            let detail = format!("{path} in body should be {words} {}", without_fraction(limit));
            errors.push(error(ErrorType::Invalid, path, value.clone(), detail));
        };
        if let Some(of) = self.multiple_of
            && of > 0.0
            && ((number / of) - (number / of).round()).abs() > 1e-9
        {
            complain("a multiple of", of);
        }
        if let Some((limit, exclusive)) = self.maximum
            && (number > limit || (exclusive && number >= limit))
        {
            complain(if exclusive { "less than" } else { "less than or equal to" }, limit);
        }
        if let Some((limit, exclusive)) = self.minimum
            && (number < limit || (exclusive && number <= limit))
        {
            complain(if exclusive { "greater than" } else { "greater than or equal to" }, limit);
        }
        if self.types.contains(&"integer") {
            let bits = if self.format == "int32" {
                i32::try_from(value.as_i64().unwrap_or(0)).is_ok()
            } else {
                true
            };
            if value.as_i64().is_none() || !bits {
                let format = match self.format.as_str() {
                    "int32" | "int64" => format!("integer with format {}", self.format),
                    _ => "integer (default format)".into(),
                };
                errors.push(loose(format!("Checked value must be of type {format} in {path}")));
            }
        }
    }

    fn check_list(&self, list: &[Value], old: Option<&[Value]>, path: &str, errors: &mut Vec<FieldError>) {
        let length = count(list.len());
        if let Some(max) = self.max_items
            && length > max
        {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            errors.push(FieldError::too_many(path, list.len(), max));
        } else if let Some(min) = self.min_items
            && length < min
        {
            let detail = format!("{path} in body should have at least {min} items");
            errors.push(error(ErrorType::Invalid, path, int(length), detail));
        }
        if let Some(items) = &self.items {
            for (i, item) in list.iter().enumerate() {
                items.check(item, self.counterpart(item, old), &format!("{path}[{i}]"), errors);
            }
        }
        self.check_duplicates(list, path, errors);
    }

    /// The element of the old list that is the same, where a list says what makes elements the same.
    fn counterpart<'a>(&self, item: &Value, old: Option<&'a [Value]>) -> Option<&'a Value> {
        let List::Map(keys) = &self.list else { return None };
        old?.iter().find(|there| keys.iter().all(|key| there.get(key) == item.get(key)))
    }

    fn check_duplicates(&self, list: &[Value], path: &str, errors: &mut Vec<FieldError>) {
        let identity = |item: &Value| match (&self.list, item) {
            (List::Set, item) => Some(item.clone()),
            (List::Map(keys), Value::Object(map)) => Some(Value::Object(
                keys.iter()
                    .filter_map(|key| map.get(key).map(|value| (key.clone(), value.clone())))
                    .collect(),
            )),
            _ => None,
        };
        let mut seen = HashSet::new();
        for (i, item) in list.iter().enumerate() {
            let Some(identity) = identity(item) else { continue };
            if !seen.insert(identity.to_json()) {
                errors.push(FieldError::duplicate(format!("{path}[{i}]"), identity));
            }
        }
    }

    fn check_object(&self, map: &Map, old: Option<&Map>, path: &str, errors: &mut Vec<FieldError>) {
        let size = count(map.len());
        if let Some(max) = self.max_properties
            && size > max
        {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            errors.push(FieldError::too_many(path, map.len(), max));
        } else if let Some(min) = self.min_properties
            && size < min
        {
            let detail = format!("{path} in body should have at least {min} properties");
            errors.push(error(ErrorType::Invalid, path, int(size), detail));
        }
        for name in self.required.iter().filter(|name| !map.contains_key(name)) {
            errors.push(FieldError::required(child(path, name), ""));
        }
        if self.embedded {
            for name in ["apiVersion", "kind"] {
                if map.str(name).is_empty() {
                    errors.push(FieldError::required(child(path, name), ""));
                }
            }
        }
        for (name, value) in map.iter() {
            let node = match self.properties.binary_search_by(|(there, _)| there.cmp(name)) {
                Ok(i) => Some(&self.properties[i].1),
                Err(_) => self.additional.as_deref(),
            };
            if let Some(node) = node {
                node.check(value, old.and_then(|old| old.get(name)), &child(path, name), errors);
            }
        }
    }

    fn check_junctors(&self, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        let judge = |node: &Node| {
            let mut errors = Vec::new();
            node.check(value, old, path, &mut errors);
            errors
        };
        let name = sampan_model::field_error::go_quote(path);
        for node in &self.all_of {
            let failures = judge(node);
            if !failures.is_empty() {
                errors.extend(failures);
                errors.push(loose(format!("{name} must validate all the schemas (allOf)")));
                break;
            }
        }
        for (nodes, exactly_one) in [(&self.any_of, false), (&self.one_of, true)] {
            if nodes.is_empty() {
                continue;
            }
            let mut results: Vec<Vec<FieldError>> = nodes.iter().map(judge).collect();
            let valid = results.iter().filter(|errors| errors.is_empty()).count();
            if valid == 1 || (valid > 0 && !exactly_one) {
                continue;
            }
            errors.push(loose(match (exactly_one, valid) {
                (false, _) => format!("{name} must validate at least one schema (anyOf)"),
                (true, 0) => {
                    format!("{name} must validate one and only one schema (oneOf). Found none valid")
                }
                (true, valid) => format!(
                    "{name} must validate one and only one schema (oneOf). Found {valid} valid alternatives"
                ),
            }));
            if valid == 0 {
                errors.append(&mut results[0]);
            }
        }
        if let Some(not) = &self.not
            && judge(not).is_empty()
        {
            errors.push(loose(format!("{name} must not validate the schema (not)")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::value;

    fn complaints(schema: &str, object: &str, old: Option<&str>) -> Vec<String> {
        let validator = Validator::new(&value(schema));
        let old = old.map(value);
        validator.check(&value(object), old.as_ref()).iter().map(ToString::to_string).collect()
    }

    const SPEC: &str = r#"{"type":"object","properties":{"spec":{"type":"object","required":["must"],"properties":{
        "must":{"type":"string"},"size":{"type":"integer","minimum":1,"maximum":10},"color":{"type":"string","enum":["red","blue"]},
        "name":{"type":"string","pattern":"^[a-z]+$","maxLength":5},"tags":{"type":"array","items":{"type":"string"},"maxItems":2},
        "on":{"type":"boolean"},"ratio":{"type":"number"},"when":{"type":"string","format":"date-time"},"ip":{"type":"string","format":"ipv4"},
        "port":{"x-kubernetes-int-or-string":true},"free":{"type":"string","nullable":true},"a":{"type":"integer"},"b":{"type":"integer"},
        "set":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
        "emb":{"type":"object","x-kubernetes-embedded-resource":true},
        "map":{"type":"object","additionalProperties":{"type":"integer"},"minProperties":1}},
        "not":{"required":["a","b"]}}}}"#;

    #[test]
    fn complaints_are_those_of_upstream() {
        let rows = [
            (
                r#"{"must":"x","size":11,"name":"TOO LONG","tags":["a","b","c"],"on":"yes"}"#,
                vec![
                    "spec.name: Too long: may not be more than 5 bytes",
                    "spec.on: Invalid value: \"string\": spec.on in body must be of type boolean: \"string\"",
                    "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10",
                    "spec.tags: Too many: 3: must have at most 2 items",
                ],
            ),
            (
                r#"{"must":"x","color":"green","name":"A"}"#,
                vec![
                    "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
                    "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'",
                ],
            ),
            (
                r#"{"must":"x","size":1.5}"#,
                vec![
                    "spec.size: Invalid value: \"number\": spec.size in body must be of type integer: \"number\"",
                    "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.size",
                ],
            ),
            ("{}", vec!["spec.must: Required value"]),
            (
                "[]",
                vec![
                    "spec: Invalid value: \"array\": spec in body must be of type object: \"array\"",
                    "<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)",
                ],
            ),
            (
                r#"{"must":"x","port":true}"#,
                vec![
                    "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
                ],
            ),
            (r#"{"must":"x","port":"http","ratio":1,"free":null}"#, vec![]),
            (
                r#"{"must":"x","a":1,"b":2}"#,
                vec!["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"],
            ),
            (
                r#"{"must":"x","set":["a","a"],"tags":[1]}"#,
                vec![
                    "spec.set[1]: Duplicate value: \"a\"",
                    "spec.tags[0]: Invalid value: \"integer\": spec.tags[0] in body must be of type string: \"integer\"",
                ],
            ),
            (
                r#"{"must":"x","emb":{},"map":{"k":"v"}}"#,
                vec![
                    "spec.emb.apiVersion: Required value",
                    "spec.emb.kind: Required value",
                    "spec.map.k: Invalid value: \"string\": spec.map.k in body must be of type integer: \"string\"",
                ],
            ),
            (
                r#"{"must":"x","map":{}}"#,
                vec!["spec.map: Invalid value: 0: spec.map in body should have at least 1 properties"],
            ),
        ];
        for (spec, want) in rows {
            assert_eq!(complaints(SPEC, &format!(r#"{{"spec":{spec}}}"#), None), want, "{spec}");
        }
    }

    #[test]
    fn exactly_one_alternative_may_fit() {
        let schema = r#"{"type":"object","properties":{"spec":{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"oneOf":[{"required":["a"]},{"required":["b"]}]}}}"#;
        assert_eq!(complaints(schema, r#"{"spec":{"a":1}}"#, None), [""; 0]);
        assert_eq!(
            complaints(schema, r#"{"spec":{"a":1,"b":1}}"#, None),
            [
                r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
            ]
        );
        assert_eq!(
            complaints(schema, r#"{"spec":{}}"#, None),
            [
                r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid"#,
                "spec.a: Required value"
            ]
        );
    }

    #[test]
    fn what_an_update_leaves_alone_is_not_judged_again() {
        let old = r#"{"spec":{"must":"x","size":99,"color":"green"}}"#;
        assert_eq!(
            complaints(SPEC, r#"{"spec":{"must":"y","size":99,"color":"green"}}"#, Some(old)),
            [""; 0]
        );
        assert_eq!(
            complaints(SPEC, r#"{"spec":{"must":"y","size":98,"color":"green"}}"#, Some(old)).len(),
            1
        );
    }
}
