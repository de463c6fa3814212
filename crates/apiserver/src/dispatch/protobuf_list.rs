//! The body of a list in protobuf.
//!
//! The envelope states the length of the list before the list, so a list that does not fit one piece is gone
//! through twice: first to measure it, then to send it. Neither keeps more than a piece; the objects are an
//! immutable snapshot, so both see the same. Messages are made of the stored bytes, without trees.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use sampan_model::{Map, Status, Value};
use sampan_schema::protobuf::{Backwards, MessageId, Transcoder, envelope, push_varint, varint_len};
use sampan_store::Entry;

use super::protobuf;
use super::shape::partial;
use crate::Resource;
use crate::http_io::body::{Body, Pieces};
use crate::http_io::media::Shape;
use crate::http_io::protobuf::{MEDIA_TYPE, Protobuf};
use crate::http_io::respond::{self, Answer};
use crate::registry::{Attributes, ListAnswer, ListCursor, object};

/// How large a piece grows before it is sent.
const PIECE_BYTES: usize = 64 * 1024;
/// A list up to this size is encoded once. So much of a larger one is kept from the measuring.
const KEPT_BYTES: usize = 256 * 1024;
/// How much is measured before others get their turn.
const MEASURED_BYTES: usize = 256 * 1024;

/// Answers with a list of objects, or of their metadata.
pub(super) fn answer(
    p: Protobuf,
    a: &Attributes,
    list: ListAnswer,
    meta: &Map,
    shape: Shape,
) -> Result<Answer, Status> {
    let mut items = Items::new(p, a, shape)?;
    let mut kept = items.meta(p, meta)?;
    let mut cursor = list.items;
    if !items.fill(&mut cursor, &mut kept, KEPT_BYTES)? {
        return Ok(respond::bytes(200, MEDIA_TYPE, items.whole(&kept)));
    }
    let body =
        ListBody { step: Step::Measure { ahead: cursor.clone(), length: kept.len(), kept }, cursor, items };
    let mut answer = respond::bytes(200, MEDIA_TYPE, Bytes::new());
    *answer.body_mut() = Body::Pieces(Box::new(body));
    Ok(answer)
}

/// A list of trees, encoded whole.
pub(super) fn of_trees(
    p: Protobuf,
    a: &Attributes,
    values: Vec<Value>,
    meta: &Map,
    shape: Shape,
) -> Result<Answer, Status> {
    let mut items = Items::new(p, a, shape)?;
    let mut kept = items.meta(p, meta)?;
    for value in values {
        items.push_value(&value, &mut kept)?;
    }
    Ok(respond::bytes(200, MEDIA_TYPE, items.whole(&kept)))
}

/// Encodes the items of a list.
struct Items {
    p: Protobuf,
    resource: Arc<Resource>,
    /// The message of one item.
    item: MessageId,
    /// The version of `meta.k8s.io` if it is metadata that was asked for.
    partial: Option<&'static str>,
    /// The kind of the list and its version.
    kind: (String, String),
    /// The tag of an item, and the number of the list's metadata.
    tags: (u8, u32),
    scratch: Backwards,
    /// What makes messages of stored bytes; `None` if their fields are those of another version.
    transcoder: Option<Transcoder>,
}

impl Items {
    fn new(p: Protobuf, a: &Attributes, shape: Shape) -> Result<Self, Status> {
        let resource = Arc::clone(&a.resource);
        let (item, partial, kind) = if let Shape::PartialMetadata { version, .. } = shape {
            let api_version = format!("meta.k8s.io/{version}");
            let item = p.document(&api_version, "PartialObjectMetadata");
            let item = item.ok_or_else(|| Status::internal("metadata has no protobuf form"))?;
            (item, Some(version), (api_version, "PartialObjectMetadataList".to_owned()))
        } else {
            let kind = (resource.group_version().to_string(), resource.list_kind.to_string());
            (protobuf::message_of(p, &resource.schema)?, None, kind)
        };
        let transcoder = protobuf::is_as_stored(&resource).then(Transcoder::default);
        // All lists number their fields alike, but for one that was published with them exchanged.
        let (items, meta) = if partial == Some("v1beta1") { (1, 2) } else { (2, 1) };
        Ok(Self {
            p,
            resource,
            item,
            partial,
            kind,
            tags: (items << 3 | 2, meta),
            scratch: Backwards::with_capacity(4 * 1024),
            transcoder,
        })
    }

    /// The metadata of the list, as the beginning of its message.
    fn meta(&mut self, p: Protobuf, meta: &Map) -> Result<Vec<u8>, Status> {
        let id = p.document("v1", "ListMeta");
        let id = id.ok_or_else(|| Status::internal("lists have no protobuf form"))?;
        self.scratch.clear();
        p.message(id, &Value::Object(meta.clone()), &mut self.scratch)?;
        self.scratch.close(self.tags.1, 0);
        Ok(self.scratch.as_slice().to_vec())
    }

    /// Encodes a tree into the scratch buffer.
    fn encode(&mut self, value: &Value) -> Result<(), Status> {
        self.scratch.clear();
        match self.partial {
            Some(version) => self.p.message(self.item, &partial(value, version), &mut self.scratch),
            None => self.p.message(self.item, value, &mut self.scratch),
        }
    }

    /// Encodes an entry into the scratch buffer.
    fn encode_entry(&mut self, entry: &Entry) -> Result<(), Status> {
        if let Some(transcoder) = &mut self.transcoder {
            self.scratch.clear();
            return self.p.transcode(self.item, &entry.value, transcoder, &mut self.scratch);
        }
        let value = object::parse(entry).map(|value| object::from_storage(&self.resource, value))?;
        self.encode(&value)
    }

    /// Appends what was encoded last.
    fn append(&self, out: &mut Vec<u8>) {
        out.push(self.tags.0);
        push_varint(out, self.scratch.len() as u64);
        out.extend_from_slice(self.scratch.as_slice());
    }

    fn push_value(&mut self, value: &Value, out: &mut Vec<u8>) -> Result<(), Status> {
        self.encode(value)?;
        self.append(out);
        Ok(())
    }

    fn push(&mut self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), Status> {
        self.encode_entry(entry)?;
        self.append(out);
        Ok(())
    }

    /// How many bytes an entry takes.
    fn measure(&mut self, entry: &Entry) -> Result<usize, Status> {
        self.encode_entry(entry)?;
        let length = self.scratch.len();
        Ok(1 + varint_len(length as u64) + length)
    }

    /// Appends the next entries up to a size; false when there are no more.
    fn fill(&mut self, cursor: &mut ListCursor, out: &mut Vec<u8>, size: usize) -> Result<bool, Status> {
        let mut failed = None;
        let mut full = false;
        cursor.advance(|entry| {
            failed = self.push(entry, out).err();
            full = out.len() >= size;
            failed.is_none() && !full
        });
        failed.map_or(Ok(full), Err)
    }

    /// Measures the next entries up to a size; false when there are no more.
    fn measure_some(&mut self, cursor: &mut ListCursor, length: &mut usize) -> Result<bool, Status> {
        let end = *length + MEASURED_BYTES;
        let mut failed = None;
        let mut full = false;
        cursor.advance(|entry| {
            match self.measure(entry) {
                Ok(more) => *length += more,
                Err(status) => failed = Some(status),
            }
            full = *length >= end;
            failed.is_none() && !full
        });
        failed.map_or(Ok(full), Err)
    }

    fn head(&self, length: usize) -> Vec<u8> {
        envelope::head(&self.kind.0, &self.kind.1, length)
    }

    fn whole(&self, message: &[u8]) -> Vec<u8> {
        let mut out = self.head(message.len());
        out.extend_from_slice(message);
        out.extend_from_slice(envelope::tail());
        out
    }
}

/// A list on its way to a client.
struct ListBody {
    items: Items,
    /// Behind what was kept.
    cursor: ListCursor,
    step: Step,
}

enum Step {
    /// The length is not known yet. `kept` is the beginning of the list.
    Measure { ahead: ListCursor, length: usize, kept: Vec<u8> },
    /// The rest is sent.
    Send,
    /// Nothing is left.
    Over,
}

impl Pieces for ListBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.next(cx) {
            Ok(polled) => polled,
            Err(status) => {
                // The client sees a list that is shorter than it was told.
                tracing::error!(error = status.message(), "a list was broken off");
                self.step = Step::Over;
                Poll::Ready(None)
            }
        }
    }
}

impl ListBody {
    fn next(&mut self, cx: &mut Context<'_>) -> Result<Poll<Option<Bytes>>, Status> {
        match &mut self.step {
            Step::Measure { ahead, length, kept } => {
                if self.items.measure_some(ahead, length)? {
                    cx.waker().wake_by_ref();
                    return Ok(Poll::Pending);
                }
                let mut out = self.items.head(*length);
                out.extend_from_slice(kept);
                self.step = Step::Send;
                Ok(Poll::Ready(Some(out.into())))
            }
            Step::Send => {
                let mut out = Vec::with_capacity(PIECE_BYTES + 8 * 1024);
                if !self.items.fill(&mut self.cursor, &mut out, PIECE_BYTES)? {
                    out.extend_from_slice(envelope::tail());
                    self.step = Step::Over;
                }
                Ok(Poll::Ready(Some(out.into())))
            }
            Step::Over => Ok(Poll::Ready(None)),
        }
    }
}
