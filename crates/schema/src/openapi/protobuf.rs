//! The v2 document in protobuf: gnostic's `openapi.v2.Document`. Its messages follow the JSON, field by
//! field; extensions (`x-...`) and free values are carried as text, and JSON is text that YAML readers read.

use sampan_model::{Map, Value};

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            #[allow(clippy::cast_possible_truncation)]
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        #[allow(clippy::cast_possible_truncation)]
        self.0.push(value as u8);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u32, value: Option<&Value>) {
        if let Some(Value::String(text)) = value {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u32, value: Option<&Value>) {
        for item in value.and_then(Value::as_array).unwrap_or(&[]) {
            self.text(field, Some(item));
        }
    }

    fn flag(&mut self, field: u32, value: Option<&Value>) {
        if let Some(Value::Bool(true)) = value {
            self.varint(u64::from(field) << 3);
            self.varint(1);
        }
    }

    fn int(&mut self, field: u32, value: Option<&Value>) {
        if let Some(value) = value.and_then(Value::as_i64) {
            self.varint(u64::from(field) << 3);
            self.varint(value.cast_unsigned());
        }
    }

    fn double(&mut self, field: u32, value: Option<&Value>) {
        if let Some(value) = value.and_then(Value::as_f64) {
            self.varint(u64::from(field) << 3 | 1);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// `Any { yaml }`
    fn any(&mut self, field: u32, value: &Value) {
        let mut any = Message::default();
        any.bytes(2, value.to_json().as_bytes());
        self.message(field, &any);
    }

    fn message(&mut self, field: u32, message: &Message) {
        self.bytes(field, &message.0);
    }

    /// A map as repeated `{ name, value }`.
    fn named(&mut self, field: u32, name: &str, value: &Message) {
        let mut entry = Message::default();
        entry.bytes(1, name.as_bytes());
        entry.message(2, value);
        self.message(field, &entry);
    }

    /// Extensions as repeated `NamedAny`.
    fn extensions(&mut self, field: u32, map: &Map) {
        for (name, value) in map.iter().filter(|(name, _)| name.starts_with("x-")) {
            let mut any = Message::default();
            any.bytes(2, value.to_json().as_bytes());
            self.named(field, name, &any);
        }
    }
}

fn map(value: Option<&Value>) -> &Map {
    static NONE: Map = Map::new();
    value.and_then(Value::as_object).unwrap_or(&NONE)
}

/// `Document`
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document.get("swagger"));
    let info = map(document.get("info"));
    let mut message = Message::default();
    message.text(1, info.get("title"));
    message.text(2, info.get("version"));
    out.message(2, &message);
    let mut paths = Message::default();
    for (path, item) in map(document.get("paths")).iter() {
        paths.named(2, path, &path_item(map(Some(item))));
    }
    out.message(8, &paths);
    let mut definitions = Message::default();
    for (name, definition) in map(document.get("definitions")).iter() {
        definitions.named(1, name, &schema(map(Some(definition))));
    }
    out.message(9, &definitions);
    for requirement in document.get("security").and_then(Value::as_array).unwrap_or(&[]) {
        let mut message = Message::default();
        for (name, scopes) in map(Some(requirement)).iter() {
            let mut list = Message::default();
            list.texts(1, Some(scopes));
            message.named(1, name, &list);
        }
        out.message(12, &message);
    }
    let mut security = Message::default();
    for (name, scheme) in map(document.get("securityDefinitions")).iter() {
        let mut key = Message::default();
        for (field, part) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
            key.text(field, scheme.get(part));
        }
        let mut item = Message::default();
        item.message(2, &key);
        security.named(1, name, &item);
    }
    out.message(13, &security);
    out.0
}

/// `PathItem`
fn path_item(item: &Map) -> Message {
    let mut out = Message::default();
    let methods =
        [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")];
    for (field, method) in methods {
        if let Some(operation_value) = item.get(method) {
            out.message(field, &operation(map(Some(operation_value))));
        }
    }
    for parameter_value in item.get("parameters").and_then(Value::as_array).unwrap_or(&[]) {
        out.message(9, &parameter(map(Some(parameter_value))));
    }
    out.extensions(10, item);
    out
}

/// `Operation`
fn operation(operation: &Map) -> Message {
    let mut out = Message::default();
    out.texts(1, operation.get("tags"));
    out.text(3, operation.get("description"));
    out.text(5, operation.get("operationId"));
    out.texts(6, operation.get("produces"));
    out.texts(7, operation.get("consumes"));
    for parameter_value in operation.get("parameters").and_then(Value::as_array).unwrap_or(&[]) {
        out.message(8, &parameter(map(Some(parameter_value))));
    }
    let mut responses = Message::default();
    for (code, response) in map(operation.get("responses")).iter() {
        let response = map(Some(response));
        let mut message = Message::default();
        message.text(1, response.get("description"));
        if let Some(of) = response.get("schema") {
            let mut item = Message::default();
            item.message(1, &schema(map(Some(of))));
            message.message(2, &item);
        }
        let mut value = Message::default();
        value.message(1, &message);
        responses.named(1, code, &value);
    }
    out.message(9, &responses);
    out.texts(10, operation.get("schemes"));
    out.extensions(13, operation);
    out
}

/// `ParametersItem`
fn parameter(parameter: &Map) -> Message {
    let mut choice = Message::default();
    if parameter.str("in") == "body" {
        let mut body = Message::default();
        body.text(1, parameter.get("description"));
        body.text(2, parameter.get("name"));
        body.text(3, parameter.get("in"));
        body.flag(4, parameter.get("required"));
        body.message(5, &schema(map(parameter.get("schema"))));
        choice.message(1, &body);
    } else {
        let query = parameter.str("in") == "query";
        // A path parameter has no `allowEmptyValue`, so its fields are numbered one lower from there.
        let shift = u32::from(!query);
        let mut part = Message::default();
        part.flag(1, parameter.get("required"));
        part.text(2, parameter.get("in"));
        part.text(3, parameter.get("description"));
        part.text(4, parameter.get("name"));
        part.text(6 - shift, parameter.get("type"));
        part.text(7 - shift, parameter.get("format"));
        part.flag(20 - shift, parameter.get("uniqueItems"));
        let mut non_body = Message::default();
        non_body.message(if query { 3 } else { 4 }, &part);
        choice.message(2, &non_body);
    }
    let mut item = Message::default();
    item.message(1, &choice);
    item
}

/// `Schema`
fn schema(of: &Map) -> Message {
    let mut out = Message::default();
    for (field, name) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        out.text(field, of.get(name));
    }
    if let Some(default) = of.get("default") {
        out.any(5, default);
    }
    for (field, name) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        out.double(field, of.get(name));
    }
    for (field, name) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        out.flag(field, of.get(name));
    }
    for (field, name) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        out.int(field, of.get(name));
    }
    out.texts(19, of.get("required"));
    for value in of.get("enum").and_then(Value::as_array).unwrap_or(&[]) {
        out.any(20, value);
    }
    if let Some(values) = of.get("additionalProperties") {
        let mut item = Message::default();
        match values {
            Value::Bool(_) => item.flag(2, Some(values)),
            values => item.message(1, &schema(map(Some(values)))),
        }
        out.message(21, &item);
    }
    if let Some(ty) = of.get("type") {
        let mut item = Message::default();
        item.text(1, Some(ty));
        out.message(22, &item);
    }
    if let Some(items) = of.get("items") {
        let mut item = Message::default();
        item.message(1, &schema(map(Some(items))));
        out.message(23, &item);
    }
    if let Some(Value::Object(fields)) = of.get("properties") {
        let mut properties = Message::default();
        for (name, field) in fields.iter() {
            properties.named(1, name, &schema(map(Some(field))));
        }
        out.message(25, &properties);
    }
    if let Some(example) = of.get("example") {
        out.any(30, example);
    }
    out.extensions(31, of);
    out
}
