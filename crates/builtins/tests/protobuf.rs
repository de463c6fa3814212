//! Every type that the API serves has its protobuf form, and nothing is lost on the way there and back.

use std::sync::Arc;

use sampan_model::{Map, Value};
use sampan_schema::protobuf::{self, Backwards, Layout};
use sampan_schema::{Presence, Schema, SchemaSet, Shape, TypeId};

/// Types that are never written in protobuf, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.version.Info", "/version is JSON only"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent", "a frame, written by hand around an object"),
];

/// Fields without a number: the envelope names the type of an object, and protobuf has no other place for it.
const TYPE_META: [&str; 2] = ["apiVersion", "kind"];

fn layout(types: &Arc<SchemaSet>) -> &'static Layout {
    types.protobuf().expect("the built-in types have a protobuf form")
}

#[test]
fn every_field_of_every_type_has_a_number() {
    let types = sampan_builtins::types();
    let layout = layout(&types);
    let mut missing = Vec::new();
    for (name, id) in types.names() {
        let Shape::Object(object) = &types.get(id).shape else { continue };
        if WITHOUT.iter().any(|(without, _)| *without == name) {
            continue;
        }
        let Some(message) = layout.find(name) else {
            missing.push(name.to_owned());
            continue;
        };
        let numbers = layout.numbers(message);
        let has = |field: &str| numbers.iter().any(|(name, _)| *name == field);
        let type_meta = TYPE_META.iter().all(|field| object.field(field).is_some() && !has(field));
        for field in &object.fields {
            let in_the_envelope = type_meta && TYPE_META.contains(&field.name.as_str());
            if !has(&field.name) && !in_the_envelope {
                missing.push(format!("{name}.{}", field.name));
            }
        }
    }
    assert!(missing.is_empty(), "without a number: {missing:?}");
}

#[test]
fn the_table_names_only_fields_that_exist() {
    let types = sampan_builtins::types();
    let layout = layout(&types);
    for (name, id) in types.names() {
        let (Shape::Object(object), Some(message)) = (&types.get(id).shape, layout.find(name)) else {
            continue;
        };
        for (field, _) in layout.numbers(message) {
            assert!(object.field(field).is_some(), "{name} has no field {field}");
        }
    }
}

/// A value of a type with every field set, `depth` levels of types that contain themselves deep.
fn full(set: &SchemaSet, id: TypeId, path: &mut Vec<TypeId>, field: &str) -> Value {
    let ty = set.get(id);
    match &ty.shape {
        Shape::Object(object) => {
            if path.iter().filter(|seen| **seen == id).count() > 1 {
                return Value::Object(Map::new());
            }
            path.push(id);
            let map = object.fields.iter().map(|f| (f.name.clone(), full(set, f.ty, path, &f.name)));
            let map = map.collect();
            path.pop();
            Value::Object(map)
        }
        Shape::Map { values, .. } => {
            let mut map = Map::new();
            map.insert("b", full(set, *values, path, field));
            map.insert("a/é", full(set, *values, path, field));
            Value::Object(map)
        }
        Shape::List { items, .. } => {
            let item = full(set, *items, path, field);
            vec![item.clone(), item].into()
        }
        Shape::String => format!("the {field}").into(),
        Shape::Int32 => i64::from(i32::MIN).into(),
        Shape::Int64 => i64::MIN.into(),
        Shape::Number => 1.5.into(),
        Shape::Boolean => true.into(),
        Shape::IntOrString => "25%".into(),
        Shape::Quantity => "1500m".into(),
        Shape::Bytes => "AP8B".into(),
        Shape::Time => "2026-02-28T23:59:59Z".into(),
        Shape::MicroTime => "2026-02-28T23:59:59.000001Z".into(),
        Shape::Any => any(ty.name.as_deref().unwrap_or("")),
    }
}

/// A value of a type that may be anything. Two of them are not quite so free.
fn any(name: &str) -> Value {
    let text = match name.rsplit('.').next() {
        Some("JSONSchemaPropsOrArray") => r#"[{"type":"string"},{}]"#,
        Some("JSONSchemaPropsOrBool") => r#"{"type":"string"}"#,
        Some("JSONSchemaPropsOrStringArray") => r#"["a","b"]"#,
        _ => r#"{"a":[1,2.5,null,true,"x"],"b":{"c":{}}}"#,
    };
    serde_json::from_str(text).unwrap()
}

/// Takes out what the message cannot hold: the type of an object.
fn without_types(set: &SchemaSet, layout: &Layout, id: TypeId, value: &mut Value) {
    match (&set.get(id).shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            let kind = object.field("kind").is_some() && object.field("apiVersion").is_some();
            let message = set.get(id).name.as_ref().and_then(|name| layout.find(name));
            let holds = message.is_some_and(|m| layout.numbers(m).iter().any(|(name, _)| *name == "kind"));
            // Types without a name are copies of those with one: they have no metadata.
            if kind && (object.field("metadata").is_some() || !holds && message.is_some()) {
                map.remove("kind");
                map.remove("apiVersion");
            }
            for (name, value) in map.iter_mut() {
                without_types(set, layout, object.field(name).unwrap().ty, value);
            }
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            for (_, value) in map.iter_mut() {
                without_types(set, layout, *values, value);
            }
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            for value in list {
                without_types(set, layout, *items, value);
            }
        }
        _ => {}
    }
}

fn encoded(layout: &Layout, schema: &Schema, value: &Value) -> Vec<u8> {
    let id = layout.of(schema).unwrap_or_else(|| panic!("{schema:?} has no message"));
    let mut out = Backwards::default();
    protobuf::encode(layout, id, value, &mut out).unwrap_or_else(|error| panic!("{schema:?}: {error}"));
    out.as_slice().to_vec()
}

/// The schemas of all bodies: of the kinds, and of their subresources.
fn bodies(types: &Arc<SchemaSet>) -> Vec<Schema> {
    let mut schemas = Vec::new();
    for resource in sampan_builtins::resources(types) {
        schemas.push(resource.schema.clone());
        schemas.extend(resource.subresources.into_iter().map(|sub| sub.schema));
    }
    for kind in ["Status", "DeleteOptions", "APIGroupList", "APIResourceList", "APIVersions"] {
        let name = format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}");
        schemas.push(types.schema(types.find(&name).unwrap()));
    }
    schemas.retain(|schema| matches!(schema.ty().shape, Shape::Object(_)));
    schemas
}

#[test]
fn every_kind_with_every_field_set_survives_protobuf() {
    let types = sampan_builtins::types();
    let layout = layout(&types);
    for schema in bodies(&types) {
        let mut want = full(&types, schema.id(), &mut Vec::new(), "");
        without_types(&types, layout, schema.id(), &mut want);
        // What JSON makes of it is what protobuf must give back.
        let want = sampan_schema::decode::json(&schema, want.to_json().as_bytes());
        let want = want.unwrap_or_else(|error| panic!("{schema:?}: {error}")).value;
        let bytes = encoded(layout, &schema, &want);
        let got = protobuf::decode(layout, layout.of(&schema).unwrap(), &bytes).unwrap();
        assert_eq!(got, want, "{schema:?}");
        assert_eq!(encoded(layout, &schema, &got), bytes, "{schema:?}");
    }
}

#[test]
fn an_empty_object_of_every_kind_is_as_empty_as_in_json() {
    let types = sampan_builtins::types();
    let layout = layout(&types);
    for schema in bodies(&types) {
        let bytes = encoded(layout, &schema, &Value::Object(Map::new()));
        let mut got = protobuf::decode(layout, layout.of(&schema).unwrap(), &bytes).unwrap();
        sampan_schema::complete(&schema, &mut got);
        let mut want = Value::Object(Map::new());
        sampan_schema::complete(&schema, &mut want);
        assert_eq!(got, want, "{schema:?}");
    }
}

#[test]
fn zero_values_of_the_wire_are_dropped_as_json_drops_them() {
    let types = sampan_builtins::types();
    let layout = layout(&types);
    for schema in bodies(&types) {
        let Shape::Object(object) = &schema.ty().shape else { continue };
        let bytes = encoded(layout, &schema, &Value::Object(Map::new()));
        let got = protobuf::decode(layout, layout.of(&schema).unwrap(), &bytes).unwrap();
        let mut normal = got.clone();
        sampan_schema::normalise(&schema, &mut normal);
        assert_eq!(got, normal, "{schema:?}");
        for (name, _) in got.as_object().unwrap().iter() {
            assert_eq!(object.field(name).unwrap().presence, Presence::Always, "{schema:?}.{name}");
        }
    }
}
