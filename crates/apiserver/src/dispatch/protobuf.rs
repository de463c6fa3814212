//! Bodies and answers about resources in protobuf.

use bytes::Bytes;
use sampan_model::{GroupVersion, Status, Value};
use sampan_schema::Schema;
use sampan_schema::protobuf::{self, Backwards, Malformed, MessageId, Transcoder, envelope};

use crate::Resource;
use crate::http_io::media::Shape;
use crate::http_io::protobuf::{Protobuf, not_marshalable};
use crate::registry::Attributes;

/// What a body says of itself, and the tree of its message: without `kind` and `apiVersion`, which its envelope has.
pub(super) struct Body {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) value: Result<Value, Malformed>,
}

/// Opens a body that should hold a message of a type.
pub(super) fn open(p: Protobuf, body: &[u8], id: MessageId) -> Result<Body, Malformed> {
    let opened = envelope::open(body)?;
    let value = protobuf::decode(p.0, id, opened.raw);
    Ok(Body { api_version: opened.api_version, kind: opened.kind, value })
}

/// The message of a type; 406 for one that has none.
pub(super) fn message_of(p: Protobuf, schema: &Schema) -> Result<MessageId, Status> {
    p.0.of(schema).ok_or_else(|| not_marshalable(schema.ty().name.as_deref().unwrap_or_default()))
}

/// An object in its envelope: one of the resource, of its subresource, or a document that says what it is.
pub(super) fn object(p: Protobuf, a: &Attributes, value: &Value) -> Result<Vec<u8>, Status> {
    let (api_version, kind) = (value.str_at(&["apiVersion"]), value.str_at(&["kind"]));
    let is = |gv: GroupVersion, of: &str| kind == of && api_version == gv.to_string();
    let resource = &a.resource;
    let id = if is(resource.group_version(), &resource.kind) {
        message_of(p, &resource.schema)?
    } else if let Some(sub) =
        resource.subresource(&a.subresource).filter(|s| is(s.kind.group_version(), &s.kind.kind))
    {
        message_of(p, &sub.schema)?
    } else {
        p.document(api_version, kind).ok_or_else(|| not_marshalable(kind))?
    };
    p.object(id, value)
}

/// An object of the resource, or its metadata, in its envelope, made of its stored bytes.
pub(super) fn stored(p: Protobuf, a: &Attributes, shape: Shape, json: &[u8]) -> Result<Vec<u8>, Status> {
    let (id, api_version, kind) = if let Shape::PartialMetadata { version, .. } = shape {
        let (api_version, kind) = (format!("meta.k8s.io/{version}"), "PartialObjectMetadata");
        let id = p.document(&api_version, kind).ok_or_else(|| not_marshalable(kind))?;
        (id, api_version, kind)
    } else {
        let resource = &a.resource;
        (message_of(p, &resource.schema)?, resource.group_version().to_string(), resource.kind.as_str())
    };
    let mut out = Backwards::with_capacity(json.len() + 64);
    envelope::begin(&mut out);
    p.transcode(id, json, &mut Transcoder::default(), &mut out)?;
    envelope::close(&mut out, &api_version, kind);
    Ok(out.as_slice().to_vec())
}

/// Whether the bytes of a resource's stored objects have the fields that its clients see.
pub(super) fn is_as_stored(resource: &Resource) -> bool {
    // The version itself stands in the envelope.
    resource.conversion.is_none() || resource.group_version() == resource.storage_version
}

/// A frame of a watch: its length in four bytes, then a `WatchEvent` with the enveloped object.
pub(super) fn frame(kind: &str, object: &[u8]) -> Bytes {
    let mut out = Backwards::with_capacity(object.len() + kind.len() + 32);
    out.bytes(1, object);
    out.close(2, 0);
    out.bytes(1, kind.as_bytes());
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out.put(&length.to_be_bytes());
    Bytes::copy_from_slice(out.as_slice())
}
