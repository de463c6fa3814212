//! Writes types as schemas. Only what is referred to is written.

use std::collections::{BTreeMap, HashMap};

use sampan_model::{GroupVersionKind, Map, Str, Value};

use super::{Dialect, Published, PublishedResource, kind_value, object, strings, well_known};
use crate::types::{Constraints, Field, ListSemantics, ObjectType, Presence, Shape, Type, TypeId};

/// Unnamed types within unnamed types are written out no deeper than this.
const MAX_INLINE: usize = 16;

/// The definitions of a document.
pub(super) struct Definitions<'a> {
    published: &'a Published<'a>,
    dialect: Dialect,
    kinds: HashMap<Str, Vec<GroupVersionKind>>,
    lists: HashMap<Str, Str>,
    raw: HashMap<Str, &'a PublishedResource>,
    /// Written, or `None` while waiting to be.
    written: BTreeMap<Str, Option<Value>>,
    waiting: Vec<Str>,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(published: &'a Published<'a>, dialect: Dialect) -> Self {
        let mut kinds: HashMap<Str, Vec<GroupVersionKind>> = HashMap::new();
        let (mut lists, mut raw) = (HashMap::new(), HashMap::new());
        let mut add = |name: &Str, kind: GroupVersionKind| {
            let kinds = kinds.entry(name.clone()).or_default();
            if !name.is_empty() && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        };
        let core = |kind: &str| GroupVersionKind::new("", "v1", kind);
        add(&well_known::STATUS.into(), core("Status"));
        for name in [
            well_known::API_GROUP,
            well_known::API_GROUP_LIST,
            well_known::API_RESOURCE_LIST,
            well_known::API_VERSIONS,
        ] {
            add(&name.into(), core(name.rsplit('.').next().unwrap_or(name)));
        }
        for options in [well_known::DELETE_OPTIONS, well_known::WATCH_EVENT] {
            add(&options.into(), core(options.rsplit('.').next().unwrap_or(options)));
        }
        for resource in published.resources {
            let kind =
                |kind: &str| GroupVersionKind::new(resource.group.clone(), resource.version.clone(), kind);
            add(&resource.type_name, kind(&resource.kind));
            for options in [well_known::DELETE_OPTIONS, well_known::WATCH_EVENT] {
                add(&options.into(), kind(options.rsplit('.').next().unwrap_or(options)));
            }
            for sub in &resource.subresources {
                add(&sub.type_name, sub.kind.clone());
            }
            let list = resource
                .list_type_name
                .clone()
                .unwrap_or_else(|| format!("{}List", resource.type_name).into());
            add(&list, kind(&format!("{}List", resource.kind)));
            lists.insert(list, resource.type_name.clone());
            if resource.raw_schema.is_some() {
                raw.insert(resource.type_name.clone(), resource);
            }
        }
        Self { published, dialect, kinds, lists, raw, written: BTreeMap::new(), waiting: Vec::new() }
    }

    /// A reference to a type, which is then written.
    pub(super) fn reference(&mut self, name: &str) -> Value {
        if !self.written.contains_key(name) {
            self.written.insert(name.into(), None);
            self.waiting.push(name.into());
        }
        let prefix = match self.dialect {
            Dialect::V2 => "#/definitions/",
            Dialect::V3 => "#/components/schemas/",
        };
        object([("$ref", format!("{prefix}{name}").into())])
    }

    /// All definitions that were referred to.
    pub(super) fn finish(mut self) -> Map {
        while let Some(name) = self.waiting.pop() {
            let definition = self.definition(&name);
            self.written.insert(name, Some(definition));
        }
        self.written.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
    }

    fn definition(&mut self, name: &str) -> Value {
        let mut value = if let Some(resource) = self.raw.get(name).copied() {
            self.custom(resource)
        } else if let Some(id) = self.published.set.find(name) {
            self.inline(id, Some(name), 0)
        } else if let Some(item) = self.lists.get(name).cloned() {
            self.list_type(&item)
        } else {
            self.well_known(name)
        };
        if let Value::Object(map) = &mut value {
            let description = self.published.descriptions.of(name, None);
            if let (Some(description), false) = (description, map.contains_key("description")) {
                map.insert("description", description);
            }
            if let Some(kinds) = self.kinds.get(name) {
                let mut kinds = kinds.clone();
                kinds.sort();
                let kinds = kinds.iter().map(kind_value).collect();
                map.insert("x-kubernetes-group-version-kind", Value::Array(kinds));
            }
        }
        value
    }

    /// A type in the place where it is used: by its name if it has one.
    fn place(&mut self, id: TypeId, depth: usize) -> Value {
        let ty = self.published.set.get(id);
        match (&ty.name, &ty.shape) {
            (Some(name), _) => self.reference(&name.clone()),
            (None, Shape::Quantity) => self.reference(well_known::QUANTITY),
            (None, Shape::IntOrString) => self.reference(well_known::INT_OR_STRING),
            (None, Shape::Time) => self.reference(well_known::TIME),
            (None, Shape::MicroTime) => self.reference(well_known::MICRO_TIME),
            _ => self.inline(id, None, depth + 1),
        }
    }

    /// A type written out.
    fn inline(&mut self, id: TypeId, name: Option<&str>, depth: usize) -> Value {
        if depth > MAX_INLINE {
            return Value::Object(Map::new());
        }
        let ty = self.published.set.get(id);
        let mut map = Map::new();
        match &ty.shape {
            Shape::Object(of) => self.object(of, name, depth, &mut map),
            Shape::Map { values, atomic } => {
                map.insert("type", "object");
                let values = self.element(*values, depth);
                map.insert("additionalProperties", values);
                if *atomic {
                    map.insert("x-kubernetes-map-type", "atomic");
                }
            }
            Shape::List { items, semantics } => {
                map.insert("type", "array");
                let items = self.element(*items, depth);
                map.insert("items", items);
                let list_type = match semantics {
                    ListSemantics::Atomic => "atomic",
                    ListSemantics::Set => "set",
                    ListSemantics::Map(keys) => {
                        map.insert("x-kubernetes-list-map-keys", strings(keys.iter().map(Str::as_str)));
                        "map"
                    }
                };
                map.insert("x-kubernetes-list-type", list_type);
            }
            // What may be anything has no type; some of the machinery's types are said to be objects.
            Shape::Any => {
                if matches!(name, Some(well_known::RAW_EXTENSION | well_known::FIELDS_V1 | well_known::PATCH))
                {
                    map.insert("type", "object");
                }
            }
            shape => scalar(shape, self.dialect, &mut map),
        }
        if ty.nullable && self.dialect == Dialect::V3 {
            map.insert("nullable", true);
        }
        if let Some(constraints) = &ty.constraints {
            constrain(constraints, &mut map);
        }
        Value::Object(map)
    }

    /// An element of a list or map; v3 documents state its zero value.
    fn element(&mut self, id: TypeId, depth: usize) -> Value {
        let value = self.place(id, depth);
        match self.zero(id) {
            Some(zero) if self.dialect == Dialect::V3 => self.beside(value, vec![("default", zero)]),
            _ => value,
        }
    }

    fn zero(&self, id: TypeId) -> Option<Value> {
        let ty: &Type = self.published.set.get(id);
        Some(match ty.shape {
            Shape::String => "".into(),
            Shape::Int32 | Shape::Int64 | Shape::Number => Value::Int(0),
            Shape::Boolean => false.into(),
            Shape::Object(_) => Value::Object(Map::new()),
            _ => return None,
        })
    }

    /// A schema with more stated beside it. In v3 nothing may stand beside a reference.
    fn beside(&self, schema: Value, more: Vec<(&str, Value)>) -> Value {
        if more.is_empty() {
            return schema;
        }
        let mut map = match schema {
            Value::Object(map) if map.contains_key("$ref") && self.dialect == Dialect::V3 => {
                [("allOf", Value::Array(vec![Value::Object(map)]))].into_iter().collect()
            }
            Value::Object(map) => map,
            other => return other,
        };
        for (key, value) in more {
            map.insert(key, value);
        }
        Value::Object(map)
    }

    fn object(&mut self, of: &'a ObjectType, name: Option<&str>, depth: usize, map: &mut Map) {
        map.insert("type", "object");
        let properties: Map =
            of.fields.iter().map(|field| (field.name.clone(), self.property(name, field, depth))).collect();
        if !properties.is_empty() {
            map.insert("properties", Value::Object(properties));
        }
        let required: Vec<&str> =
            of.fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
        if !required.is_empty() {
            map.insert("required", strings(required));
        }
        if of.atomic {
            map.insert("x-kubernetes-map-type", "atomic");
        }
        if of.preserve_unknown {
            map.insert("x-kubernetes-preserve-unknown-fields", true);
        }
        if of.embedded_resource {
            map.insert("x-kubernetes-embedded-resource", true);
        }
    }

    fn property(&mut self, owner: Option<&str>, field: &Field, depth: usize) -> Value {
        let mut schema = self.place(field.ty, depth);
        let mut more = Vec::new();
        if let Some(owner) = owner {
            let descriptions = self.published.descriptions;
            if let Some(description) = descriptions.of(owner, Some(&field.name)) {
                more.push(("description", description.into()));
            }
            enumerate(&mut schema, descriptions.values(owner, &field.name));
            // Upstream says of the items of a kind's list nothing but what they are.
            if field.name == "items"
                && self.lists.contains_key(owner)
                && let Value::Object(map) = &mut schema
            {
                map.remove("x-kubernetes-list-type");
            }
        }
        if self.dialect == Dialect::V3 {
            let zero = || match field.presence {
                Presence::Always => self.zero(field.ty),
                _ => None,
            };
            if let Some(default) = field.default.clone().or_else(zero) {
                more.push(("default", default));
            }
        }
        let patch = &field.patch;
        let strategy = match (patch.merge, patch.retain_keys) {
            (true, true) => Some("merge,retainKeys"),
            (true, false) => Some("merge"),
            (false, true) => Some("retainKeys"),
            (false, false) => patch.replace.then_some("replace"),
        };
        if let Some(strategy) = strategy {
            more.push(("x-kubernetes-patch-strategy", strategy.into()));
        }
        if let Some(key) = &patch.merge_key {
            more.push(("x-kubernetes-patch-merge-key", key.clone().into()));
        }
        self.beside(schema, more)
    }

    /// The list of a resource.
    fn list_type(&mut self, item: &str) -> Value {
        let kind = item.rsplit('.').next().unwrap_or(item).to_owned();
        let v3 = self.dialect == Dialect::V3;
        let empty = |v3: bool| if v3 { vec![("default", Value::Object(Map::new()))] } else { Vec::new() };
        let (items, metadata) = (self.reference(item), self.reference(well_known::LIST_META));
        let mut about_metadata = empty(v3);
        about_metadata.push(("description", "Standard metadata of a list.".into()));
        let list = object([
            ("description", format!("The objects of kind {kind}.").into()),
            ("items", self.beside(items, empty(v3))),
            ("type", "array".into()),
        ]);
        let text =
            |description: &str| object([("description", description.into()), ("type", "string".into())]);
        let properties = object([
            ("apiVersion", text(well_known::API_VERSION)),
            ("items", list),
            ("kind", text(well_known::KIND)),
            ("metadata", self.beside(metadata, about_metadata)),
        ]);
        object([
            ("description", format!("{kind}List is a list of {kind}").into()),
            ("properties", properties),
            ("required", strings(["items"])),
            ("type", "object".into()),
        ])
    }

    /// A custom resource: its schema as it was written, and the fields that every object has.
    fn custom(&mut self, resource: &PublishedResource) -> Value {
        let mut schema = resource.raw_schema.clone().unwrap_or_default();
        if self.dialect == Dialect::V2 {
            downgrade(&mut schema, 0);
        }
        let text =
            |description: &str| object([("description", description.into()), ("type", "string".into())]);
        let metadata = self.reference(well_known::OBJECT_META);
        let metadata = self.beside(metadata, vec![("description", well_known::METADATA.into())]);
        let mut map = match schema {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        map.insert("type", "object");
        let properties = map.object_mut("properties");
        properties.insert("apiVersion", text(well_known::API_VERSION));
        properties.insert("kind", text(well_known::KIND));
        properties.insert("metadata", metadata);
        Value::Object(map)
    }

    fn well_known(&mut self, name: &str) -> Value {
        let Some(fields) = well_known::fields(name) else {
            let mut map = Map::new();
            let shape = match name {
                well_known::TIME => Shape::Time,
                well_known::MICRO_TIME => Shape::MicroTime,
                well_known::QUANTITY => Shape::Quantity,
                well_known::INT_OR_STRING => Shape::IntOrString,
                _ => {
                    map.insert("type", "object");
                    return Value::Object(map);
                }
            };
            scalar(&shape, self.dialect, &mut map);
            return Value::Object(map);
        };
        let mut map: Map = [("type", Value::from("object"))].into_iter().collect();
        let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        if !required.is_empty() {
            map.insert("required", strings(required));
        }
        let mut properties = Map::new();
        for field in &fields {
            let mut schema = self.well_known_type(&field.ty);
            if let Some(description) = self.published.descriptions.of(name, Some(field.name)) {
                schema = self.beside(schema, vec![("description", description.into())]);
            }
            properties.insert(field.name, schema);
        }
        if !properties.is_empty() {
            map.insert("properties", Value::Object(properties));
        }
        Value::Object(map)
    }

    fn well_known_type(&mut self, ty: &well_known::Type) -> Value {
        match ty {
            well_known::Type::Any => self.reference(well_known::RAW_EXTENSION),
            well_known::Type::Reference(name) => self.reference(name),
            well_known::Type::List(items) => {
                let items = self.well_known_type(items);
                object([
                    ("items", items),
                    ("type", "array".into()),
                    ("x-kubernetes-list-type", "atomic".into()),
                ])
            }
            well_known::Type::Scalar("bool") => object([("type", "boolean".into())]),
            well_known::Type::Scalar("string") => object([("type", "string".into())]),
            well_known::Type::Scalar(format) => {
                object([("format", (*format).into()), ("type", "integer".into())])
            }
        }
    }
}

/// States the values that a schema allows, or its elements if it is a list or a map.
fn enumerate(schema: &mut Value, values: &[Value]) {
    let Value::Object(map) = schema else { return };
    if values.is_empty() {
        return;
    }
    for key in ["items", "additionalProperties"] {
        if let Some(elements) = map.get_mut(key) {
            return enumerate(elements, values);
        }
    }
    map.insert("enum", Value::Array(values.to_vec()));
}

fn scalar(shape: &Shape, dialect: Dialect, map: &mut Map) {
    let alternatives =
        |types: [&str; 2]| Value::Array(types.into_iter().map(|ty| object([("type", ty.into())])).collect());
    let (ty, format) = match shape {
        Shape::String => ("string", None),
        Shape::Int32 => ("integer", Some("int32")),
        Shape::Int64 => ("integer", Some("int64")),
        Shape::Number => ("number", Some("double")),
        Shape::Boolean => ("boolean", None),
        Shape::Bytes => ("string", Some("byte")),
        Shape::Time | Shape::MicroTime => ("string", Some("date-time")),
        Shape::IntOrString if dialect == Dialect::V2 => ("string", Some("int-or-string")),
        Shape::IntOrString => {
            map.insert("format", "int-or-string");
            map.insert("oneOf", alternatives(["integer", "string"]));
            return;
        }
        Shape::Quantity if dialect == Dialect::V2 => ("string", None),
        Shape::Quantity => {
            map.insert("oneOf", alternatives(["string", "number"]));
            return;
        }
        Shape::Any | Shape::Object(_) | Shape::Map { .. } | Shape::List { .. } => ("object", None),
    };
    map.insert("type", ty);
    if let Some(format) = format {
        map.insert("format", format);
    }
}

fn constrain(constraints: &Constraints, map: &mut Map) {
    if let Some(format) = &constraints.format {
        map.insert("format", format.clone());
    }
    if !constraints.enum_values.is_empty() {
        map.insert("enum", Value::Array(constraints.enum_values.clone()));
    }
    if let Some(pattern) = &constraints.pattern {
        map.insert("pattern", pattern.clone());
    }
    let number = |v: f64| serde_json::from_str(&format!("{v}")).unwrap_or(Value::Float(v));
    for (key, value) in [
        ("minimum", constraints.minimum),
        ("maximum", constraints.maximum),
        ("multipleOf", constraints.multiple_of),
    ] {
        if let Some(value) = value {
            map.insert(key, number(value));
        }
    }
    for (key, value) in [
        ("minLength", constraints.min_length),
        ("maxLength", constraints.max_length),
        ("minItems", constraints.min_items),
        ("maxItems", constraints.max_items),
        ("minProperties", constraints.min_properties),
        ("maxProperties", constraints.max_properties),
    ] {
        if let Some(value) = value {
            map.insert(key, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }
    for (key, value) in [
        ("exclusiveMinimum", constraints.exclusive_minimum),
        ("exclusiveMaximum", constraints.exclusive_maximum),
        ("uniqueItems", constraints.unique_items),
    ] {
        if value {
            map.insert(key, true);
        }
    }
}

/// Takes out of a v3 schema what v2 does not know.
fn downgrade(schema: &mut Value, depth: usize) {
    let Value::Object(map) = schema else { return };
    if depth > crate::decode::MAX_DEPTH {
        return;
    }
    for key in ["oneOf", "anyOf", "allOf", "not", "default", "x-kubernetes-validations"] {
        map.remove(key);
    }
    let flag = |map: &Map, key: &str| map.get(key) == Some(&Value::Bool(true));
    if map.remove("nullable") == Some(Value::Bool(true)) {
        for key in ["type", "items", "properties"] {
            map.remove(key);
        }
    }
    if flag(map, "x-kubernetes-int-or-string") {
        map.remove("type");
    }
    if flag(map, "x-kubernetes-preserve-unknown-fields") {
        for key in ["type", "items", "properties"] {
            map.remove(key);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(schema) = map.get_mut(key) {
            downgrade(schema, depth + 1);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for (_, schema) in properties.iter_mut() {
            downgrade(schema, depth + 1);
        }
    }
}
