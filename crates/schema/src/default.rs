//! Fills in the defaults that a schema states, inside the objects that are there.

use sampan_model::Value;

use crate::types::{Schema, SchemaSet, Shape, TypeId};

/// Sets each field that is absent, and has a default, to it.
pub fn default(schema: &Schema, value: &mut Value) {
    default_in(schema.set(), schema.id(), value);
}

fn default_in(set: &SchemaSet, id: TypeId, value: &mut Value) {
    match (&set.get(id).shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            for field in &object.fields {
                if let Some(default) = &field.default
                    && map.get(&field.name).is_none_or(|v| v.is_null() && !set.get(field.ty).nullable)
                {
                    map.insert(field.name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(&field.name) {
                    default_in(set, field.ty, value);
                }
            }
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            for (_, value) in map.iter_mut() {
                default_in(set, *values, value);
            }
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            for value in list {
                default_in(set, *items, value);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::{core, value};

    #[test]
    fn defaults_stand_where_nothing_was_given_inside_what_was() {
        let rows = [
            ("Service", "{}", "{}"),
            (
                "Service",
                r#"{"spec":{"ports":[{"port":1},{"port":2,"protocol":"UDP"},{"protocol":null}]}}"#,
                r#"{"spec":{"ports":[{"port":1,"protocol":"TCP"},{"port":2,"protocol":"UDP"},{"protocol":"TCP"}]}}"#,
            ),
        ];
        for (kind, object, want) in rows {
            let mut object = value(object);
            default(&core(kind), &mut object);
            assert_eq!(object.to_json(), want);
        }
    }
}
