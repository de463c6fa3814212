//! The body of a list in JSON: its items are copied from the snapshot into pieces as the client takes them.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use sampan_store::Entry;

use crate::Resource;
use crate::http_io::body::Pieces;
use crate::registry::{ListCursor, object};

/// How large a piece grows before it is sent. Large enough that few frames are written, small enough that
/// many slow readers cost little.
const PIECE_BYTES: usize = 64 * 1024;

/// Appends an entry as an item of a list.
pub(super) fn push_item(
    out: &mut BytesMut,
    resource: &Resource,
    prefix: &str,
    entry: &Entry,
    first: &mut bool,
) {
    if !std::mem::take(first) {
        out.extend_from_slice(b",");
    }
    out.extend_from_slice(b"{");
    if resource.group_version() == resource.storage_version {
        out.extend_from_slice(object::item(&entry.value, prefix));
    } else if let Ok(bytes) = object::bytes(resource, entry) {
        out.extend_from_slice(object::item(&bytes, prefix));
    }
}

/// A list on its way to a client.
pub(super) struct ListBody {
    resource: Arc<Resource>,
    prefix: String,
    cursor: ListCursor,
    /// What comes before the items; taken with the first piece.
    head: Option<Vec<u8>>,
    tail_sent: bool,
    first: bool,
}

impl ListBody {
    pub(super) fn new(resource: Arc<Resource>, prefix: String, cursor: ListCursor, head: Vec<u8>) -> Self {
        Self { resource, prefix, cursor, head: Some(head), tail_sent: false, first: true }
    }

    /// The next piece, empty at the end.
    pub(super) fn piece(&mut self) -> Bytes {
        if self.tail_sent {
            return Bytes::new();
        }
        let mut out = BytesMut::with_capacity(PIECE_BYTES + 8 * 1024);
        if let Some(head) = self.head.take() {
            out.extend_from_slice(&head);
        }
        let (resource, prefix, first) = (&self.resource, &self.prefix, &mut self.first);
        let mut full = false;
        self.cursor.advance(|entry| {
            push_item(&mut out, resource, prefix, entry, first);
            full = out.len() >= PIECE_BYTES;
            !full
        });
        if !full {
            out.extend_from_slice(b"]}\n");
            self.tail_sent = true;
        }
        out.freeze()
    }

    /// Whether everything has been given.
    pub(super) fn is_done(&self) -> bool {
        self.tail_sent
    }
}

impl Pieces for ListBody {
    fn poll_piece(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = self.piece();
        Poll::Ready((!piece.is_empty()).then_some(piece))
    }
}
