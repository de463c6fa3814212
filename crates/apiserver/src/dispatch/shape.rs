//! Objects and lists in the form that a client asked for: as they are, as YAML or protobuf, as a Table, as metadata only.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, Map, Reason, Status, Value};

use super::list_body::ListBody;
use super::{protobuf, protobuf_list, told};
use crate::audit::Level;
use crate::encode;
use crate::http_io::body::Body;
use crate::http_io::media::{Encoding, Form, Shape};
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::registry::{Attributes, ListAnswer, object};

/// How much of an object a table's row carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    Nothing,
    Metadata,
    Object,
}

/// Reads `includeObject`.
pub(super) fn include(query: &Query) -> Result<Include, Status> {
    match query.get("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::Nothing),
        "Object" => Ok(Include::Object),
        other => {
            let error = FieldError::not_supported("includeObject", other, &["None", "Metadata", "Object"]);
            Err(Status::bad_request(error.to_string()))
        }
    }
}

/// One object. `object` are its bytes in the version of the request.
pub(super) fn one(
    a: &Attributes,
    code: u16,
    object: Bytes,
    form: Form,
    pretty: bool,
    query: &Query,
    now: Timestamp,
) -> Result<Answer, Status> {
    if form == Form::JSON && !pretty {
        return Ok(respond::bytes(code, "application/json", object));
    }
    if let (Encoding::Protobuf(p), Shape::Object | Shape::PartialMetadata { list: false, .. }) =
        (form.encoding, form.shape)
        && a.audit.level() < Level::RequestResponse
        && is_of_resource(a, &object)
    {
        let message = protobuf::stored(p, a, form.shape, &object)?;
        return Ok(respond::bytes(code, &form.content_type(), message));
    }
    let value = tree(&object)?;
    let shown = match form.shape {
        Shape::Object | Shape::GroupDiscovery(_) => value,
        Shape::Table(version) => {
            let revision = value.resource_version().to_owned();
            let rows = vec![row(a, value, include(query)?, now)];
            table(a, version, true, list_meta(&revision, "", None), rows)
        }
        Shape::PartialMetadata { version, list: true } => {
            let _ = version;
            return Err(not_acceptable(format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*core.{})",
                a.resource.kind
            )));
        }
        Shape::PartialMetadata { version, list: false } => partial(&value, version),
    };
    if let Encoding::Protobuf(p) = form.encoding {
        a.audit.response_tree(&shown);
        return Ok(respond::bytes(code, &form.content_type(), protobuf::object(p, a, &shown)?));
    }
    Ok(respond::object(code, &shown, form, pretty))
}

/// Whether bytes are those of an object of the resource: the answer to a write of a subresource may be another.
fn is_of_resource(a: &Attributes, object: &[u8]) -> bool {
    let prefix = encode::type_prefix(&a.resource.kind, &a.resource.group_version().to_string());
    object.starts_with(prefix.as_bytes())
}

fn not_acceptable(message: String) -> Status {
    Status::failure(406, Reason::NotAcceptable, message)
}

fn tree(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(Status::internal)
}

/// `metadata` of a list.
fn list_meta(revision: &str, continue_token: &str, remaining: Option<usize>) -> Map {
    let mut meta = Map::new();
    if !revision.is_empty() {
        meta.insert("resourceVersion", revision);
    }
    if !continue_token.is_empty() {
        meta.insert("continue", continue_token);
    }
    if let Some(remaining) = remaining {
        meta.insert("remainingItemCount", i64::try_from(remaining).unwrap_or(i64::MAX));
    }
    meta
}

/// A list.
pub(super) fn list(
    a: &Attributes,
    list: ListAnswer,
    form: Form,
    pretty: bool,
    query: &Query,
    now: Timestamp,
) -> Result<Answer, Status> {
    let meta = list_meta(&list.revision.to_string(), &list.continue_token, list.remaining);
    if form == Form::JSON && !pretty {
        return json_list(a, list, meta);
    }
    if let Encoding::Protobuf(p) = form.encoding {
        check_list_shape(a, form.shape)?;
        told::list(a, &list, &meta, form.shape);
        return protobuf_list::answer(p, a, list, &meta, form.shape);
    }
    let entries = list.items.entries();
    let trees = entries.iter().map(|entry| object::bytes(&a.resource, entry).and_then(|bytes| tree(&bytes)));
    let items = trees.collect::<Result<Vec<Value>, Status>>()?;
    tree_list(a, items, meta, form, pretty, query, now)
}

/// A list of objects that are not stored.
pub(super) fn virtual_list(
    a: &Attributes,
    items: &[Value],
    form: Form,
    pretty: bool,
    query: &Query,
    now: Timestamp,
) -> Result<Answer, Status> {
    tree_list(a, items.to_vec(), Map::new(), form, pretty, query, now)
}

fn tree_list(
    a: &Attributes,
    items: Vec<Value>,
    meta: Map,
    form: Form,
    pretty: bool,
    query: &Query,
    now: Timestamp,
) -> Result<Answer, Status> {
    check_list_shape(a, form.shape)?;
    if let Encoding::Protobuf(p) = form.encoding {
        return protobuf_list::of_trees(p, a, items, &meta, form.shape);
    }
    let shown = match form.shape {
        Shape::Table(version) => {
            let include = include(query)?;
            let rows = items.into_iter().map(|item| row(a, item, include, now)).collect();
            table(a, version, true, meta, rows)
        }
        Shape::PartialMetadata { version, .. } => {
            let items: Vec<Value> = items.iter().map(|item| partial(item, version)).collect();
            list_of("PartialObjectMetadataList", &format!("meta.k8s.io/{version}"), meta, items)
        }
        Shape::Object | Shape::GroupDiscovery(_) => {
            let items = items
                .into_iter()
                .map(|mut item| {
                    if let Value::Object(map) = &mut item {
                        map.remove("kind");
                        map.remove("apiVersion");
                    }
                    item
                })
                .collect();
            list_of(&a.resource.list_kind, &a.resource.group_version().to_string(), meta, items)
        }
    };
    Ok(respond::object(200, &shown, form, pretty))
}

/// 406 where one object was asked for instead of a list.
fn check_list_shape(a: &Attributes, shape: Shape) -> Result<(), Status> {
    if matches!(shape, Shape::PartialMetadata { list: false, .. }) {
        return Err(not_acceptable(format!(
            "you requested PartialObjectMetadata, but the requested object is a list (*core.{})",
            a.resource.list_kind
        )));
    }
    Ok(())
}

pub(super) fn list_of(kind: &str, api_version: &str, meta: Map, items: Vec<Value>) -> Value {
    let mut map = Map::with_capacity(4);
    map.insert("kind", kind);
    map.insert("apiVersion", api_version);
    map.insert("metadata", meta);
    map.insert("items", items);
    Value::Object(map)
}

/// A list in JSON: items are slices of stored bytes.
fn json_list(a: &Attributes, list: ListAnswer, meta: Map) -> Result<Answer, Status> {
    let prefix = encode::type_prefix(&a.resource.kind, &a.resource.group_version().to_string());
    let mut head =
        encode::type_prefix(&a.resource.list_kind, &a.resource.group_version().to_string()).into_bytes();
    head.extend_from_slice(b"\"metadata\":");
    encode::write_object(&Value::Object(meta), &mut head, false);
    head.extend_from_slice(b",\"items\":[");
    let mut body = ListBody::new(Arc::clone(&a.resource), prefix, list.items, head);
    let first = body.piece()?;
    if body.is_done() {
        return Ok(respond::bytes(200, "application/json", first));
    }
    let mut answer = respond::bytes(200, "application/json", Bytes::new());
    *answer.body_mut() = Body::Pieces(Box::new(Started { first: Some(first), rest: body }));
    Ok(answer)
}

/// A streamed body whose first piece was made already, to see whether it is the only one.
struct Started {
    first: Option<Bytes>,
    rest: ListBody,
}

impl crate::http_io::body::Pieces for Started {
    fn poll_piece(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>> {
        match self.first.take() {
            Some(first) => std::task::Poll::Ready(Some(first)),
            None => self.rest.poll_piece(cx),
        }
    }
}

/// An object's metadata as an object of its own.
pub(super) fn partial(object: &Value, version: &str) -> Value {
    let mut map = Map::with_capacity(3);
    map.insert("kind", "PartialObjectMetadata");
    map.insert("apiVersion", format!("meta.k8s.io/{version}"));
    map.insert("metadata", object.meta().cloned().unwrap_or_default());
    Value::Object(map)
}

/// One row of a table.
pub(super) fn row(a: &Attributes, mut object: Value, include: Include, now: Timestamp) -> Value {
    let cells = a.resource.table.cells(&object, now);
    let mut map = Map::with_capacity(2);
    map.insert("cells", cells);
    let conditions = a.resource.table.conditions(&object);
    if !conditions.is_empty() {
        map.insert("conditions", conditions);
    }
    match include {
        Include::Nothing => {}
        Include::Metadata => {
            map.insert("object", partial(&object, "v1"));
        }
        Include::Object => {
            object::set_type(&a.resource, &mut object);
            map.insert("object", object);
        }
    }
    Value::Object(map)
}

/// A table; `columns`: whether it carries the definitions of its columns.
pub(super) fn table(a: &Attributes, version: &str, columns: bool, meta: Map, rows: Vec<Value>) -> Value {
    let mut map = Map::with_capacity(5);
    map.insert("kind", "Table");
    map.insert("apiVersion", format!("meta.k8s.io/{version}"));
    map.insert("metadata", meta);
    let definitions = a.resource.table.columns().iter().filter(|_| columns).map(|column| {
        let mut map = Map::with_capacity(5);
        map.insert("name", column.name.clone());
        map.insert("type", column.column_type.clone());
        map.insert("format", column.format.clone());
        map.insert("description", column.description.clone());
        map.insert("priority", column.priority);
        Value::Object(map)
    });
    map.insert("columnDefinitions", definitions.collect::<Vec<_>>());
    map.insert("rows", rows);
    Value::Object(map)
}

/// One object of a watch in the form that the client asked for: JSON without a line break, or an enveloped message.
pub(super) fn watched(
    a: &Attributes,
    object: Value,
    form: Form,
    include: Include,
    first: bool,
    now: Timestamp,
) -> Result<Vec<u8>, Status> {
    let shown = match form.shape {
        Shape::Object | Shape::GroupDiscovery(_) => object,
        Shape::PartialMetadata { version, .. } => partial(&object, version),
        Shape::Table(version) => {
            let meta = list_meta(object.resource_version(), "", None);
            table(a, version, first, meta, vec![row(a, object, include, now)])
        }
    };
    if let Encoding::Protobuf(p) = form.encoding {
        return protobuf::object(p, a, &shown);
    }
    let mut out = Vec::with_capacity(1024);
    encode::write_object(&shown, &mut out, false);
    Ok(out)
}

/// Whether a form is told object by object as it is stored.
pub(super) fn is_stored_form(a: &Attributes, form: Form) -> bool {
    form.shape == Shape::Object && a.resource.group_version() == a.resource.storage_version
}
