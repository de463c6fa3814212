//! The body of an answer that is sent in pieces: its end is the request's last stage.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use jiff::Timestamp;

use super::Format;
use crate::audit::{Audit, MAX_KEPT_BODY, Recorder, Stage, TRUNCATED};
use crate::http_io::body::Pieces;

/// Pieces that are passed on, and whose end is told.
pub(super) struct Watched {
    inner: Box<dyn Pieces>,
    end: Option<End>,
}

struct End {
    audit: Arc<Audit>,
    recorder: Recorder,
    clock: fn() -> Timestamp,
    /// What is kept of the body, where it is to be told.
    kept: Option<(Format, Vec<u8>)>,
}

impl Watched {
    pub(super) fn new(
        inner: Box<dyn Pieces>,
        audit: Arc<Audit>,
        recorder: Recorder,
        format: Option<Format>,
        clock: fn() -> Timestamp,
    ) -> Self {
        let kept = format.map(|format| (format, Vec::new()));
        Self { inner, end: Some(End { audit, recorder, clock, kept }) }
    }
}

impl End {
    fn keep(&mut self, piece: &Bytes) {
        let Some((_, kept)) = &mut self.kept else { return };
        if kept.len() + piece.len() > MAX_KEPT_BODY {
            self.recorder.annotate(TRUNCATED, "true");
            self.kept = None;
        } else {
            kept.extend_from_slice(piece);
        }
    }

    /// Tells the end. Most sinks take an event at once; where one has to wait, a task does.
    fn tell(self) {
        if let Some(body) = self.kept.and_then(|(format, kept)| format.read(&kept)) {
            self.recorder.response_body(body);
        }
        let (audit, recorder, now) = (self.audit, self.recorder, (self.clock)());
        let mut telling = Box::pin(async move { audit.tell(&recorder, Stage::ResponseComplete, now).await });
        if telling.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(telling);
        }
    }
}

impl Pieces for Watched {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = self.inner.poll_piece(cx);
        match (&piece, &mut self.end) {
            (Poll::Ready(Some(piece)), Some(end)) => end.keep(piece),
            (Poll::Ready(None), end) => {
                if let Some(end) = end.take() {
                    end.tell();
                }
            }
            _ => {}
        }
        piece
    }
}

impl Drop for Watched {
    /// The client has gone before the end.
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.tell();
        }
    }
}
