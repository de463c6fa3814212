//! What Go's encoder would have written: fields that are always there, and no zero values elsewhere.

use sampan_model::{Map, Str, Value};

use crate::types::{Presence, Schema, SchemaSet, Shape, TypeId};

/// Adds what [`Presence::Always`] promises, inside every object that is there.
pub fn complete(schema: &Schema, value: &mut Value) {
    complete_in(schema.set(), schema.id(), value);
}

fn complete_in(set: &SchemaSet, id: TypeId, value: &mut Value) {
    match (&set.get(id).shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            for field in &object.fields {
                match map.get_mut(&field.name) {
                    Some(value) => complete_in(set, field.ty, value),
                    None if field.presence == Presence::Always => {
                        let mut zero = zero(set, field.ty);
                        complete_in(set, field.ty, &mut zero);
                        map.insert(field.name.clone(), zero);
                    }
                    None => {}
                }
            }
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            for (_, value) in map.iter_mut() {
                complete_in(set, *values, value);
            }
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            for value in list {
                complete_in(set, *items, value);
            }
        }
        _ => {}
    }
}

/// What an absent field of this type is written as when it is always written.
pub(crate) fn zero(set: &SchemaSet, id: TypeId) -> Value {
    zero_ref(set, id).clone()
}

/// The same, not to be kept.
pub(crate) fn zero_ref(set: &SchemaSet, id: TypeId) -> &'static Value {
    static OBJECT: Value = Value::Object(Map::new());
    static STRING: Value = Value::String(Str::const_new(""));
    static QUANTITY: Value = Value::String(Str::const_new("0"));
    match set.get(id).shape {
        Shape::Object(_) => &OBJECT,
        Shape::String => &STRING,
        Shape::Int32 | Shape::Int64 | Shape::Number | Shape::IntOrString => &Value::Int(0),
        Shape::Boolean => &Value::Bool(false),
        Shape::Quantity => &QUANTITY,
        _ => &Value::Null,
    }
}

/// Drops again what code that changed the tree may have left: nulls, and zero values that are not kept.
pub fn normalise(schema: &Schema, value: &mut Value) {
    normalise_in(schema.set(), schema.id(), value);
}

fn normalise_in(set: &SchemaSet, id: TypeId, value: &mut Value) {
    match (&set.get(id).shape, value) {
        (Shape::Object(object), Value::Object(map)) => map.retain(|name, value| {
            let Some(field) = object.field(name) else { return true };
            normalise_in(set, field.ty, value);
            match field.presence {
                Presence::Always => true,
                Presence::KeepZero => !value.is_null() || set.get(field.ty).nullable,
                Presence::OmitZero => !is_zero(set, field.ty, value),
            }
        }),
        (Shape::Map { values, .. }, Value::Object(map)) => {
            for (_, value) in map.iter_mut() {
                normalise_in(set, *values, value);
            }
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            for value in list {
                normalise_in(set, *items, value);
            }
        }
        _ => {}
    }
}

/// Whether `omitempty` leaves the value out. An empty object stays: its field is a pointer.
pub(crate) fn is_zero(set: &SchemaSet, id: TypeId, value: &Value) -> bool {
    let ty = set.get(id);
    match value {
        Value::Null => !ty.nullable,
        Value::Object(map) => map.is_empty() && matches!(ty.shape, Shape::Map { .. }),
        _ => value.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schemas::{core, value};

    #[test]
    fn an_object_is_completed_with_what_is_always_written() {
        let rows = [
            ("Pod", "{}", r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#),
            (
                "PodSpec",
                r#"{"containers":[{}],"volumes":[{"emptyDir":{}}]}"#,
                r#"{"containers":[{"name":"","resources":{}}],"volumes":[{"emptyDir":{},"name":""}]}"#,
            ),
            (
                "PodStatus",
                r#"{"conditions":[{"type":"x"}]}"#,
                r#"{"conditions":[{"lastProbeTime":null,"lastTransitionTime":null,"status":"","type":"x"}]}"#,
            ),
            ("Service", "{}", r#"{"metadata":{},"spec":{},"status":{"loadBalancer":{}}}"#),
        ];
        for (kind, object, want) in rows {
            let mut object = value(object);
            complete(&core(kind), &mut object);
            assert_eq!(object.to_json(), want, "{kind}");
        }
    }

    #[test]
    fn a_changed_tree_is_normalised_as_a_decoded_one_is() {
        let text = r#"{"metadata":{"labels":{}},"spec":{"hostNetwork":false,"priority":null,"containers":[{"name":"","image":""}]}}"#;
        let mut object = value(text);
        normalise(&core("Pod"), &mut object);
        assert_eq!(object, crate::decode::value(&core("Pod"), value(text)).unwrap().value);
        assert_eq!(object.to_json(), r#"{"metadata":{},"spec":{"containers":[{"name":""}]}}"#);
    }

    proptest! {
        #[test]
        fn completing_twice_is_completing_once(
            names in prop::collection::vec("[a-c]{0,2}", 0..3),
            ready in any::<bool>(),
        ) {
            let containers: Vec<Value> = names
                .into_iter()
                .map(|name| Value::Object([("name", Value::from(name))].into_iter().collect()))
                .collect();
            let mut pod = value(if ready { r#"{"status":{"conditions":[{}]}}"# } else { "{}" });
            pod.as_object_mut().unwrap().object_mut("spec").insert("containers", Value::Array(containers));
            complete(&core("Pod"), &mut pod);
            let once = pod.clone();
            complete(&core("Pod"), &mut pod);
            prop_assert_eq!(&pod, &once);
        }
    }
}
