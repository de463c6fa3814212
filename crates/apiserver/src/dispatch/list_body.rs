//! The body of a list in JSON: its items are copied from the snapshot into pieces as the client takes them.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use sampan_model::Status;
use sampan_store::Entry;

use crate::Resource;
use crate::http_io::body::Pieces;
use crate::registry::{ListCursor, object};

/// How large a piece grows before it is sent. Large enough that few frames are written, small enough that
/// many slow readers cost little.
const PIECE_BYTES: usize = 64 * 1024;

/// Appends an entry as an item of a list.
fn push_item(
    out: &mut BytesMut,
    resource: &Resource,
    prefix: &str,
    entry: &Entry,
    first: &mut bool,
) -> Result<(), Status> {
    let bytes = object::bytes(resource, entry)?;
    out.extend_from_slice(if std::mem::take(first) { b"{" } else { b",{" });
    out.extend_from_slice(object::item(&bytes, prefix));
    Ok(())
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
    ///
    /// # Errors
    /// An object that cannot be shown in the version that was asked for.
    pub(super) fn piece(&mut self) -> Result<Bytes, Status> {
        if self.tail_sent {
            return Ok(Bytes::new());
        }
        let mut out = BytesMut::with_capacity(PIECE_BYTES + 8 * 1024);
        if let Some(head) = self.head.take() {
            out.extend_from_slice(&head);
        }
        let (resource, prefix, first) = (&self.resource, &self.prefix, &mut self.first);
        let (mut full, mut failed) = (false, None);
        self.cursor.advance(|entry| {
            failed = push_item(&mut out, resource, prefix, entry, first).err();
            full = out.len() >= PIECE_BYTES;
            !full && failed.is_none()
        });
        if let Some(status) = failed {
            return Err(status);
        }
        if !full {
            out.extend_from_slice(b"]}\n");
            self.tail_sent = true;
        }
        Ok(out.freeze())
    }

    /// Whether everything has been given.
    pub(super) fn is_done(&self) -> bool {
        self.tail_sent
    }
}

impl Pieces for ListBody {
    fn poll_piece(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.piece() {
            Ok(piece) => Poll::Ready((!piece.is_empty()).then_some(piece)),
            Err(status) => {
                // Without its end no reader takes it for a whole list.
                tracing::error!(error = status.message(), "a list was broken off");
                self.tail_sent = true;
                Poll::Ready(None)
            }
        }
    }
}
