//! Writes paths in the two dialects.

use sampan_model::{Map, Value};

use super::definitions::Definitions;
use super::paths::{Body, Item, Media, Operation};
use super::{Dialect, kind_value, object, strings, well_known};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The types an answer can be written in.
fn produces(media: Media) -> Vec<&'static str> {
    let (protobuf, stream) = match media {
        Media::Any => return vec!["*/*"],
        Media::Json => return vec!["application/json"],
        Media::Object(protobuf) => (protobuf, false),
        Media::List(protobuf) => (protobuf, true),
    };
    let mut types = vec!["application/json", "application/yaml"];
    if protobuf {
        types.push(PROTOBUF);
    }
    if stream {
        types.push("application/json;stream=watch");
        if protobuf {
            types.push("application/vnd.kubernetes.protobuf;stream=watch");
        }
    }
    types
}

/// The types a patch can be written in.
fn patch_types(strategic: bool) -> Vec<&'static str> {
    let mut types = vec!["application/json-patch+json", "application/merge-patch+json"];
    if strategic {
        types.push("application/strategic-merge-patch+json");
    }
    types.push("application/apply-patch+yaml");
    types
}

fn answer_text(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        _ => "",
    }
}

fn path_item(item: &Item, dialect: Dialect, mut operation: impl FnMut(&Operation) -> Map) -> Value {
    let mut map = Map::new();
    for op in &item.operations {
        let mut value = operation(op);
        value.insert("description", op.description.as_str());
        value.insert("operationId", op.id.as_str());
        value.insert("tags", strings([op.tag.as_str()]));
        if let Some(action) = op.action {
            value.insert("x-kubernetes-action", action);
        }
        if let Some(kind) = &op.kind {
            value.insert("x-kubernetes-group-version-kind", kind_value(kind));
        }
        map.insert(op.method, value);
    }
    if !item.parameters.is_empty() {
        let parameters: Vec<Value> = item.parameters.iter().map(|p| p.render(dialect)).collect();
        map.insert("parameters", Value::Array(parameters));
    }
    Value::Object(map)
}

/// A path in a v3 document.
pub(super) fn v3(item: &Item, definitions: &mut Definitions<'_>) -> Value {
    path_item(item, Dialect::V3, |op| {
        let mut map = Map::new();
        if !op.parameters.is_empty() {
            let parameters: Vec<Value> = op.parameters.iter().map(|p| p.render(Dialect::V3)).collect();
            map.insert("parameters", Value::Array(parameters));
        }
        let content = |types: Vec<&str>, schema: &Value| {
            Value::Object(types.into_iter().map(|ty| (ty, object([("schema", schema.clone())]))).collect())
        };
        match &op.body {
            Body::Nothing => {}
            Body::Object(name, required) => {
                let schema = definitions.reference(name);
                let mut body = object([("content", content(vec!["*/*"], &schema))]);
                if let (true, Value::Object(body)) = (*required, &mut body) {
                    body.insert("required", true);
                }
                map.insert("requestBody", body);
            }
            Body::Patch(strategic) => {
                let schema = definitions.reference(well_known::PATCH);
                let content = content(patch_types(*strategic), &schema);
                map.insert("requestBody", object([("content", content), ("required", true.into())]));
            }
        }
        let mut answers = Map::new();
        for (code, name) in &op.answers {
            let schema = match name.as_str() {
                "" => object([("type", "string".into())]),
                name => definitions.reference(name),
            };
            let answer = object([
                ("content", content(produces(op.media), &schema)),
                ("description", answer_text(*code).into()),
            ]);
            answers.insert(code.to_string(), answer);
        }
        answers.insert("401", object([("description", "Unauthorized".into())]));
        map.insert("responses", Value::Object(answers));
        map
    })
}

/// A path in the v2 document.
pub(super) fn v2(item: &Item, definitions: &mut Definitions<'_>) -> Value {
    path_item(item, Dialect::V2, |op| {
        let mut map = Map::new();
        let mut parameters: Vec<Value> = op.parameters.iter().map(|p| p.render(Dialect::V2)).collect();
        let (body, consumes) = match &op.body {
            Body::Nothing => (None, vec!["*/*"]),
            Body::Object(name, required) => (Some((name.as_str(), *required)), vec!["*/*"]),
            Body::Patch(strategic) => (Some((well_known::PATCH, true)), patch_types(*strategic)),
        };
        if let Some((name, required)) = body {
            let mut parameter = object([
                ("in", "body".into()),
                ("name", "body".into()),
                ("schema", definitions.reference(name)),
            ]);
            if let (true, Value::Object(parameter)) = (required, &mut parameter) {
                parameter.insert("required", true);
            }
            parameters.insert(0, parameter);
        }
        if !parameters.is_empty() {
            map.insert("parameters", Value::Array(parameters));
        }
        map.insert("consumes", strings(consumes));
        map.insert("produces", strings(produces(op.media)));
        map.insert("schemes", strings(["https"]));
        let mut answers = Map::new();
        for (code, name) in &op.answers {
            let schema = match name.as_str() {
                "" => object([("type", "string".into())]),
                name => definitions.reference(name),
            };
            let answer = object([("description", answer_text(*code).into()), ("schema", schema)]);
            answers.insert(code.to_string(), answer);
        }
        answers.insert("401", object([("description", "Unauthorized".into())]));
        map.insert("responses", Value::Object(answers));
        map
    })
}
