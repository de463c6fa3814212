//! The body of an answer that is sent in pieces: its end is the request's last stage.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Format;
use super::ending::Ending;
use crate::audit::{Kept, TRUNCATED};
use crate::http_io::body::Pieces;

/// Pieces that are passed on, and whose end is told: with the last piece, or when the client has gone before.
pub(super) struct Watched {
    inner: Box<dyn Pieces>,
    /// `None` when the end was told.
    end: Option<End>,
}

struct End {
    ending: Ending,
    /// What is kept of the body, where it is to be told.
    kept: Option<(Format, Kept)>,
}

impl Watched {
    pub(super) fn new(inner: Box<dyn Pieces>, ending: Ending, format: Option<Format>) -> Self {
        let kept = format.map(|format| (format, Kept::default()));
        Self { inner, end: Some(End { ending, kept }) }
    }
}

impl End {
    fn keep(&mut self, piece: &Bytes) {
        let Some((_, kept)) = &mut self.kept else { return };
        if !kept.push(piece) {
            self.ending.recorder().annotate(TRUNCATED, "true");
            self.kept = None;
        }
    }
}

impl Drop for End {
    /// The ending is dropped after this, and tells itself.
    fn drop(&mut self) {
        if let Some(body) = self.kept.take().and_then(|(format, kept)| format.read(kept.bytes())) {
            self.ending.recorder().response_body(body);
        }
    }
}

impl Pieces for Watched {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = self.inner.poll_piece(cx);
        match (&piece, &mut self.end) {
            (Poll::Ready(Some(piece)), Some(end)) => end.keep(piece),
            (Poll::Ready(None), end) => *end = None,
            _ => {}
        }
        piece
    }

    fn is_broken(&self) -> bool {
        self.inner.is_broken()
    }
}
