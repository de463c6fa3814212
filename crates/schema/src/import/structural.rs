//! Whether a schema is structural: every value has a type, and junctors say nothing but what values satisfy.

use sampan_model::{FieldError, Map, Value};

use crate::decode::MAX_DEPTH;

/// Where a schema stands, which decides what it must say.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Property,
    Item,
    /// Below `allOf`, `anyOf`, `oneOf` or `not`.
    Junctor,
}

/// What keeps a schema from being structural, with upstream's sentences.
pub fn check(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new() };
    match schema {
        Value::Object(map) => checker.schema(map, path, Place::Root, 0),
        _ => checker.errors.push(FieldError::required(path, "schemas are required")),
    }
    checker.errors
}

struct Checker {
    errors: Vec<FieldError>,
}

fn flag(schema: &Map, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

impl Checker {
    fn forbid(&mut self, path: String, detail: &str) {
        self.errors.push(FieldError::forbidden(path, detail));
    }

    fn schema(&mut self, schema: &Map, path: &str, place: Place, depth: usize) {
        if depth > MAX_DEPTH {
            self.forbid(path.into(), "schema is nested too deeply");
            return;
        }
        if schema.contains_key("$ref") {
            self.forbid(format!("{path}.$ref"), "$ref is not supported");
        }
        if place == Place::Junctor {
            self.junctor(schema, path);
        } else {
            self.ty(schema, path, place);
            self.extensions(schema, path);
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        if let Some(values) = schema.get("additionalProperties") {
            if properties.is_some_and(|p| !p.is_empty()) {
                self.forbid(
                    format!("{path}.additionalProperties"),
                    "additionalProperties and properties are mutual exclusive",
                );
            }
            match values {
                Value::Bool(false) => self.forbid(
                    format!("{path}.additionalProperties"),
                    "additionalProperties cannot be set to false",
                ),
                Value::Object(values) => {
                    let path = format!("{path}.additionalProperties");
                    self.schema(values, &path, below(place, Place::Property), depth + 1);
                }
                _ => {}
            }
        }
        match schema.get("items") {
            Some(Value::Object(items)) => {
                self.schema(items, &format!("{path}.items"), below(place, Place::Item), depth + 1);
            }
            Some(Value::Array(_)) => {
                self.forbid(format!("{path}.items"), "items must be a schema object and not an array");
            }
            _ => {}
        }
        for (name, property) in properties.into_iter().flat_map(Map::iter) {
            if let Value::Object(property) = property {
                let path = format!("{path}.properties[{name}]");
                self.schema(property, &path, below(place, Place::Property), depth + 1);
            }
        }
        for junctor in ["allOf", "anyOf", "oneOf"] {
            for (i, of) in schema.get(junctor).and_then(Value::as_array).unwrap_or(&[]).iter().enumerate() {
                if let Value::Object(of) = of {
                    self.schema(of, &format!("{path}.{junctor}[{i}]"), Place::Junctor, depth + 1);
                }
            }
        }
        if let Some(Value::Object(not)) = schema.get("not") {
            self.schema(not, &format!("{path}.not"), Place::Junctor, depth + 1);
        }
    }

    fn ty(&mut self, schema: &Map, path: &str, place: Place) {
        let at = format!("{path}.type");
        let ty = schema.str("type");
        if place == Place::Root {
            match ty {
                "object" => {}
                "" => self.errors.push(FieldError::required(at, "must not be empty at the root")),
                ty => self.errors.push(FieldError::invalid(at, ty, "must be object at the root")),
            }
            return;
        }
        let untyped = flag(schema, "x-kubernetes-int-or-string")
            || flag(schema, "x-kubernetes-preserve-unknown-fields");
        match ty {
            "" if untyped => {}
            "" => {
                let what = if place == Place::Item { "array items" } else { "object fields" };
                let detail = format!("must not be empty for specified {what}");
                self.errors.push(FieldError::required(at, detail));
            }
            "object" | "array" | "string" | "integer" | "number" | "boolean" => {
                if flag(schema, "x-kubernetes-int-or-string") {
                    self.forbid(at, "must be empty if x-kubernetes-int-or-string is true");
                }
            }
            ty => {
                let known = ["array", "boolean", "integer", "number", "object", "string"];
                self.errors.push(FieldError::not_supported(at, ty, &known));
            }
        }
        if ty == "array" && !matches!(schema.get("items"), Some(Value::Object(_) | Value::Array(_))) {
            self.errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
        }
        if flag(schema, "uniqueItems") {
            self.forbid(
                format!("{path}.uniqueItems"),
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            );
        }
        if let Some(Value::String(pattern)) = schema.get("pattern")
            && let Err(error) = regex::Regex::new(pattern)
        {
            self.errors.push(FieldError::invalid(
                format!("{path}.pattern"),
                pattern.clone(),
                format!("must be a valid regular expression, but isn't: {error}"),
            ));
        }
    }

    fn extensions(&mut self, schema: &Map, path: &str) {
        let list_type = schema.str("x-kubernetes-list-type");
        let at = format!("{path}.x-kubernetes-list-type");
        if !matches!(list_type, "" | "atomic" | "set" | "map") {
            self.errors.push(FieldError::not_supported(at, list_type, &["atomic", "map", "set"]));
        } else if !list_type.is_empty() && schema.str("type") != "array" {
            self.errors.push(FieldError::invalid(
                format!("{path}.type"),
                schema.str("type"),
                "must be array if x-kubernetes-list-type is specified",
            ));
        }
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).unwrap_or(&[]);
        let keys_at = format!("{path}.x-kubernetes-list-map-keys");
        if list_type == "map" {
            if keys.is_empty() {
                self.errors.push(FieldError::required(
                    keys_at.clone(),
                    "must not be empty if x-kubernetes-list-type is map",
                ));
            }
            self.list_map_keys(schema, path, &keys_at, keys);
        } else if !keys.is_empty() {
            self.errors.push(FieldError::invalid(
                format!("{path}.x-kubernetes-list-type"),
                list_type,
                "must be map if x-kubernetes-list-map-keys is non-empty",
            ));
        }
        let map_type = schema.str("x-kubernetes-map-type");
        if !matches!(map_type, "" | "atomic" | "granular") {
            let at = format!("{path}.x-kubernetes-map-type");
            self.errors.push(FieldError::not_supported(at, map_type, &["atomic", "granular"]));
        }
        if flag(schema, "x-kubernetes-embedded-resource") && schema.str("type") != "object" {
            self.errors.push(FieldError::invalid(
                format!("{path}.type"),
                schema.str("type"),
                "must be object if x-kubernetes-embedded-resource is true",
            ));
        }
    }

    fn list_map_keys(&mut self, schema: &Map, path: &str, keys_at: &str, keys: &[Value]) {
        let Some(items) = schema.get("items") else { return };
        let required = items.array_at(&["required"]);
        for (i, key) in keys.iter().enumerate() {
            let name = key.as_str().unwrap_or_default();
            let Some(property) = items.at(&["properties", name]) else {
                self.errors.push(FieldError::invalid(
                    format!("{keys_at}[{i}]"),
                    name,
                    "entries must all be names of item properties",
                ));
                continue;
            };
            if property.get("default").is_none() && !required.contains(key) {
                self.errors.push(FieldError::required(
                    format!("{path}.items.properties[{name}].default"),
                    "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
                ));
            }
        }
    }

    /// Below a junctor only what values satisfy may be said.
    fn junctor(&mut self, schema: &Map, path: &str) {
        let silent = [
            "type",
            "additionalProperties",
            "title",
            "description",
            "default",
            "nullable",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-map-type",
        ];
        for key in silent {
            if schema.get(key).is_some_and(|value| !value.is_empty()) {
                self.forbid(format!("{path}.{key}"), "must be empty to be structural");
            }
        }
    }
}

/// What stands below a junctor is below it at any depth.
fn below(place: Place, otherwise: Place) -> Place {
    if place == Place::Junctor { Place::Junctor } else { otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::value;

    #[test]
    fn schemas_that_are_not_structural_are_refused_with_their_place() {
        let rows = [
            (r#"{"type":"object"}"#, vec![]),
            ("{}", vec!["s.type: Required value: must not be empty at the root"]),
            (
                r#"{"type":"object","properties":{"a":{},"b":{"type":"array","items":{}},"c":{"x-kubernetes-int-or-string":true}}}"#,
                vec![
                    "s.properties[a].type: Required value: must not be empty for specified object fields",
                    "s.properties[b].items.type: Required value: must not be empty for specified array items",
                ],
            ),
            (
                r#"{"type":"object","oneOf":[{"properties":{"a":{"type":"string"}}}],"properties":{"a":{"type":"string"}}}"#,
                vec!["s.oneOf[0].properties[a].type: Forbidden: must be empty to be structural"],
            ),
            (
                r#"{"type":"object","properties":{"l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k","n"],"items":{"type":"object","properties":{"k":{"type":"string"}}}}}}"#,
                vec![
                    "s.properties[l].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
                    "s.properties[l].x-kubernetes-list-map-keys[1]: Invalid value: \"n\": entries must all be names of item properties",
                ],
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string"}},"additionalProperties":{"type":"string"}}}}"#,
                vec![
                    "s.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
                ],
            ),
        ];
        for (schema, want) in rows {
            let got: Vec<String> = check(&value(schema), "s").iter().map(ToString::to_string).collect();
            assert_eq!(got, want, "{schema}");
        }
    }
}
