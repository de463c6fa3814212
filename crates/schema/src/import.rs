//! From a CustomResourceDefinition's `openAPIV3Schema` to the structural form.

mod structural;

use std::collections::HashMap;

use sampan_model::{FieldError, Map, Str, Value};

use crate::decode::MAX_DEPTH;
use crate::types::{
    Field, ListSemantics, ObjectType, PatchStrategy, Presence, Schema, SchemaSet, Shape, Type, TypeId,
};

pub use structural::check;

/// The published name of the type of `metadata`, looked up in the set given as `machinery`.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Makes a schema of the `openAPIV3Schema` of a version. `path` is where that schema stands in the
/// definition; `name` is the published name of the kind; `machinery` is a set that holds `ObjectMeta`.
pub fn custom_resource(
    open_api: &Value,
    path: &str,
    name: &str,
    machinery: &SchemaSet,
) -> Result<Schema, Vec<FieldError>> {
    let errors = check(open_api, path);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut importer = Importer {
        set: SchemaSet::new().with_lenient_types(),
        machinery,
        copied: HashMap::new(),
        metadata: None,
    };
    let empty = Map::new();
    let root = importer.object(open_api.as_object().unwrap_or(&empty), true, 0);
    let id =
        importer.set.add(Type { name: Some(name.into()), shape: Shape::Object(root), ..Type::default() });
    Ok(std::sync::Arc::new(importer.set).schema(id))
}

struct Importer<'a> {
    set: SchemaSet,
    machinery: &'a SchemaSet,
    /// Types of the machinery that the set has already, by their index there.
    copied: HashMap<u32, TypeId>,
    metadata: Option<TypeId>,
}

fn flag(schema: &Map, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

fn field(name: impl Into<Str>, ty: TypeId) -> Field {
    Field {
        name: name.into(),
        ty,
        presence: Presence::KeepZero,
        required: false,
        default: None,
        patch: PatchStrategy::default(),
    }
}

impl Importer<'_> {
    fn add(&mut self, shape: Shape, nullable: bool) -> TypeId {
        self.set.add(Type { shape, nullable, ..Type::default() })
    }

    fn value(&mut self, schema: &Map, depth: usize) -> TypeId {
        let shape = if depth > MAX_DEPTH { Shape::Any } else { self.shape(schema, depth) };
        self.add(shape, flag(schema, "nullable"))
    }

    fn below(&mut self, schema: Option<&Value>, depth: usize) -> TypeId {
        match schema {
            Some(Value::Object(schema)) => self.value(schema, depth + 1),
            _ => self.add(Shape::Any, true),
        }
    }

    fn shape(&mut self, schema: &Map, depth: usize) -> Shape {
        match schema.str("type") {
            "object" => {
                let properties = schema.get("properties").and_then(Value::as_object);
                let embedded = flag(schema, "x-kubernetes-embedded-resource");
                match schema.get("additionalProperties") {
                    Some(values @ (Value::Object(_) | Value::Bool(true)))
                        if properties.is_none_or(Map::is_empty) && !embedded =>
                    {
                        let values = self.below(Some(values), depth);
                        Shape::Map { values, atomic: schema.str("x-kubernetes-map-type") == "atomic" }
                    }
                    _ => Shape::Object(self.object(schema, embedded, depth)),
                }
            }
            "array" => {
                let items = self.below(schema.get("items"), depth);
                let semantics = match schema.str("x-kubernetes-list-type") {
                    "set" => ListSemantics::Set,
                    "map" => ListSemantics::Map(
                        schema
                            .get("x-kubernetes-list-map-keys")
                            .and_then(Value::as_array)
                            .unwrap_or(&[])
                            .iter()
                            .filter_map(|key| key.as_str().map(Into::into))
                            .collect(),
                    ),
                    _ => ListSemantics::Atomic,
                };
                Shape::List { items, semantics }
            }
            "string" => Shape::String,
            "integer" => Shape::Int64,
            "number" => Shape::Number,
            "boolean" => Shape::Boolean,
            _ if flag(schema, "x-kubernetes-int-or-string") => Shape::IntOrString,
            _ => Shape::Any,
        }
    }

    /// An object; one that is a resource has the fields that every resource has.
    fn object(&mut self, schema: &Map, resource: bool, depth: usize) -> ObjectType {
        let required = schema.get("required").and_then(Value::as_array).unwrap_or(&[]);
        let mut object = ObjectType {
            preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            atomic: schema.str("x-kubernetes-map-type") == "atomic",
            embedded_resource: resource && depth > 0,
            ..ObjectType::default()
        };
        if resource {
            let string = self.add(Shape::String, false);
            let metadata = self.metadata();
            object.fields =
                vec![field("apiVersion", string), field("kind", string), field("metadata", metadata)];
        }
        for (name, schema) in
            schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
        {
            if resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let ty = self.below(Some(schema), depth);
            object.fields.push(Field {
                required: required.iter().any(|r| r.as_str() == Some(name)),
                default: schema.get("default").cloned(),
                ..field(name.clone(), ty)
            });
        }
        object.fields.sort_by(|a, b| a.name.cmp(&b.name));
        object
    }

    fn metadata(&mut self) -> TypeId {
        if let Some(id) = self.metadata {
            return id;
        }
        let id = match self.machinery.find(OBJECT_META) {
            Some(id) => self.copy(id),
            None => self.add(Shape::Any, true),
        };
        self.metadata = Some(id);
        id
    }

    /// Copies a type of the machinery, and all that it refers to.
    fn copy(&mut self, id: TypeId) -> TypeId {
        if let Some(copied) = self.copied.get(&id.0) {
            return *copied;
        }
        let mut ty = self.machinery.get(id).clone();
        let place = match &ty.name {
            Some(name) => self.set.declare(name),
            None => self.set.add(Type::default()),
        };
        self.copied.insert(id.0, place);
        match &mut ty.shape {
            Shape::Object(object) => {
                for field in &mut object.fields {
                    field.ty = self.copy(field.ty);
                }
            }
            Shape::Map { values: below, .. } | Shape::List { items: below, .. } => *below = self.copy(*below),
            _ => {}
        }
        *self.set.get_mut(place) = ty;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::{CORE, parse, value};
    use crate::{decode, default};

    fn widget(properties: &str) -> Schema {
        let machinery = parse(CORE, SchemaSet::new());
        let schema = value(&format!(
            r#"{{"type":"object","properties":{{"spec":{{"type":"object",{properties}}}}}}}"#
        ));
        custom_resource(&schema, "s", "com.example.v1.Widget", &machinery).unwrap()
    }

    #[test]
    fn unknown_fields_are_dropped_unless_the_schema_keeps_them() {
        let schema = widget(
            r#""properties":{"known":{"type":"string"},"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},"embedded":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}}"#,
        );
        let body = r#"{"apiVersion":"e/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"known":"a","unknown":1,"free":{"any":{"thing":[1]}},"embedded":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","bogus":1},"spec":{"y":1}}},"extra":"x"}"#;
        let decoded = decode::json(&schema, body.as_bytes()).unwrap();
        assert_eq!(
            decoded.value.get("spec").unwrap().to_json(),
            r#"{"embedded":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"y":1}},"free":{"any":{"thing":[1]}},"known":"a"}"#
        );
        assert_eq!(
            decoded.strict_errors(),
            [
                r#"unknown field "extra""#,
                r#"unknown field "spec.unknown""#,
                r#"unknown field "spec.embedded.metadata.bogus""#
            ]
        );
    }

    #[test]
    fn defaults_replace_nulls_that_may_not_be() {
        let schema = widget(
            r#""properties":{"a":{"type":"string","default":"x"},"b":{"type":"string","default":"x","nullable":true},"o":{"type":"object","default":{},"properties":{"n":{"type":"integer","default":3}}},"l":{"type":"array","items":{"type":"object","properties":{"p":{"type":"string","default":"TCP"}}}}}"#,
        );
        let mut object =
            decode::json(&schema, br#"{"spec":{"a":null,"b":null,"l":[{},{"p":""}]}}"#).unwrap().value;
        default(&schema, &mut object);
        assert_eq!(object.to_json(), r#"{"spec":{"a":"x","b":null,"l":[{"p":"TCP"},{"p":""}],"o":{"n":3}}}"#);
    }
}
