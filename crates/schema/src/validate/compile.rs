//! Makes a validator of a schema as it was written.

use regex::Regex;
use sampan_model::{Map, Str, Value};

use super::{List, Node};
use crate::decode::MAX_DEPTH;

/// The node of a schema.
pub(super) fn node(schema: &Value, depth: usize) -> Node {
    let Value::Object(schema) = schema else { return Node::default() };
    if depth > MAX_DEPTH {
        return Node::default();
    }
    let below =
        |key: &str| schema.get(key).filter(|v| v.as_object().is_some()).map(|v| Box::new(node(v, depth + 1)));
    let nodes = |key: &str| list(schema, key).iter().map(|v| node(v, depth + 1)).collect();
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let count = |key: &str| schema.get(key).and_then(Value::as_i64).and_then(|v| u64::try_from(v).ok());
    let flag = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    let mut properties: Vec<(Str, Node)> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
        .map(|(name, schema)| (name.clone(), node(schema, depth + 1)))
        .collect();
    properties.sort_by(|a, b| a.0.cmp(&b.0));
    Node {
        types: types(schema),
        nullable: flag("nullable"),
        format: schema.str("format").into(),
        enum_values: list(schema, "enum").to_vec(),
        pattern: schema.get("pattern").and_then(Value::as_str).and_then(|p| Regex::new(p).ok()),
        minimum: number("minimum").map(|v| (v, flag("exclusiveMinimum"))),
        maximum: number("maximum").map(|v| (v, flag("exclusiveMaximum"))),
        multiple_of: number("multipleOf"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        required: strings(schema, "required"),
        properties,
        additional: below("additionalProperties"),
        items: below("items"),
        all_of: nodes("allOf"),
        any_of: nodes("anyOf"),
        one_of: nodes("oneOf"),
        not: below("not"),
        embedded: flag("x-kubernetes-embedded-resource"),
        list: match schema.str("x-kubernetes-list-type") {
            "set" => List::Set,
            "map" => List::Map(strings(schema, "x-kubernetes-list-map-keys")),
            _ => List::Atomic,
        },
    }
}

fn list<'a>(schema: &'a Map, key: &str) -> &'a [Value] {
    schema.get(key).and_then(Value::as_array).unwrap_or(&[])
}

fn strings(schema: &Map, key: &str) -> Vec<Str> {
    list(schema, key).iter().filter_map(Value::as_str).map(Str::from).collect()
}

fn types(schema: &Map) -> Vec<&'static str> {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return vec!["integer", "string"];
    }
    let known = ["object", "array", "string", "integer", "number", "boolean"];
    known.into_iter().filter(|ty| *ty == schema.str("type")).collect()
}
