//! Whether a configuration fits its schema, in the words of structured-merge-diff.

use std::collections::HashSet;

use sampan_model::{Str, Value};

use super::element;
use crate::types::{ListSemantics, SchemaSet, Shape, TypeId};

/// One complaint: a path and a sentence.
struct Complaint {
    path: String,
    text: String,
}

/// Why the value does not fit; `None` if it does.
pub(super) fn check(set: &SchemaSet, id: TypeId, value: &Value) -> Option<String> {
    let mut checker = Checker { set, path: String::new(), complaints: Vec::new() };
    checker.value(id, value);
    let lines: Vec<String> = checker
        .complaints
        .into_iter()
        .map(|c| if c.path.is_empty() { c.text } else { format!("{}: {}", c.path, c.text) })
        .collect();
    match lines.as_slice() {
        [] => None,
        [line] => Some(line.clone()),
        lines => Some(format!("errors:\n  {}", lines.join("\n  "))),
    }
}

struct Checker<'a> {
    set: &'a SchemaSet,
    path: String,
    complaints: Vec<Complaint>,
}

impl Checker<'_> {
    fn complain(&mut self, text: impl Into<String>) {
        self.complaints.push(Complaint { path: self.path.clone(), text: text.into() });
    }

    fn below(&mut self, key: &str, id: TypeId, value: &Value) {
        let len = self.path.len();
        self.path.push_str(&element::print(key));
        self.value(id, value);
        self.path.truncate(len);
    }

    fn value(&mut self, id: TypeId, value: &Value) {
        if value.is_null() {
            return;
        }
        let set = self.set;
        match (&set.get(id).shape, value) {
            (Shape::Any, _) => {}
            (Shape::Object(object), Value::Object(map)) => {
                for (name, value) in map.iter() {
                    match object.field(name) {
                        Some(field) => self.below(&element::field(name), field.ty, value),
                        None if object.preserve_unknown => {}
                        None => {
                            let len = self.path.len();
                            self.path.push('.');
                            self.path.push_str(name);
                            self.complain("field not declared in schema");
                            self.path.truncate(len);
                            // Upstream stops at the first, whichever that is.
                            return;
                        }
                    }
                }
            }
            (Shape::Map { values, .. }, Value::Object(map)) => {
                for (name, value) in map.iter() {
                    self.below(&element::field(name), *values, value);
                }
            }
            (Shape::List { items, semantics }, Value::Array(list)) => self.list(*items, semantics, list),
            (Shape::Object(_) | Shape::Map { .. }, other) => {
                self.complain(format!("expected map, got {}", go_pointer(other)));
            }
            (Shape::List { .. }, other) => self.complain(format!("expected list, got {}", go_pointer(other))),
            (shape, value) => self.scalar(shape, value),
        }
    }

    fn list(&mut self, items: TypeId, semantics: &ListSemantics, list: &[Value]) {
        let mut seen: HashSet<Str> = HashSet::new();
        for (i, item) in list.iter().enumerate() {
            let key = if *semantics == ListSemantics::Atomic {
                format!("i:{i}").into()
            } else {
                match element::item(self.set, items, semantics, item) {
                    Ok(key) => key,
                    Err(text) => {
                        self.complain(format!("element {i}: {text}"));
                        return;
                    }
                }
            };
            if seen.contains(&key) {
                self.complain(format!("duplicate entries for key {}", element::print(&key)));
            }
            self.below(&key, items, item);
            seen.insert(key);
        }
    }

    fn scalar(&mut self, shape: &Shape, value: &Value) {
        match (shape, value) {
            (Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime, Value::String(_))
            | (Shape::Int32 | Shape::Int64 | Shape::Number, Value::Int(_) | Value::Float(_))
            | (Shape::Boolean, Value::Bool(_)) => {}
            (Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime, other) => {
                self.complain(format!(
                    "expected string, got &value.valueUnstructured{{Value:{}}}",
                    go_literal(other)
                ));
            }
            (Shape::Int32 | Shape::Int64 | Shape::Number, other) => {
                self.complain(format!("expected numeric (int or float), got {}", go_type(other)));
            }
            (Shape::Boolean, other) => self.complain(format!("expected boolean, got {}", go_pointer(other))),
            (_, Value::Object(_) | Value::Array(_)) => {
                self.complain(format!("expected any scalar, got {}", go_pointer(value)));
            }
            _ => {}
        }
    }
}

fn go_pointer(value: &Value) -> String {
    format!("&{{{}}}", crate::patch::GoPrint(value))
}

fn go_literal(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => {
            format!(
                "{}{{...}}",
                if value.as_array().is_some() { "[]interface {}" } else { "map[string]interface {}" }
            )
        }
        other => other.to_json(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
