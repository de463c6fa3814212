//! The body of a watch: a frame an event, encoded once and shared by all who watch in the plain form.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Status, Value};
use sampan_store::{Entry, Event, EventKind, Revision};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::protobuf;
use super::shape::{self, Include};
use super::watch_timers::{Fired, Timers};
use crate::http_io::body::{Body, Pieces};
use crate::http_io::media::{Encoding, Form, Shape};
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::registry::{Attributes, ListOptions, WatchEvent, WatchEvents, WatchItem, at_revision, object};
use crate::server::Shared;

/// How much is put together for one client before it is sent: the usual size of an HTTP/2 frame. Frames of events are
/// shared by all watchers, pieces are not, so small ones keep slow watchers cheap.
const PIECE_BYTES: usize = 16 * 1024;

/// Starts a watch.
pub(super) async fn answer(
    server: &Arc<Shared>,
    a: &Attributes,
    options: &ListOptions,
    form: Form,
    query: &Query,
) -> Result<Answer, Status> {
    if form.encoding == Encoding::Yaml {
        return Err(Status::not_acceptable(&[
            "application/json",
            "application/vnd.kubernetes.protobuf;stream=watch",
        ]));
    }
    let content_type = match form.encoding {
        Encoding::Protobuf(_) => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    };
    let include = shape::include(query)?;
    let events = match server.registry.watch(a, options).await {
        Ok(events) => events,
        // What is too old is told inside the watch, with 200, as upstream does.
        Err(status) if status.code() == 410 => {
            let frame = error_frame(form.encoding, &status);
            return Ok(respond::bytes(200, content_type, frame));
        }
        Err(status) => return Err(status),
    };
    let body = WatchBody {
        a: a.clone(),
        events,
        how: Telling { form, include, plain: shape::is_stored_form(a, form) },
        told: Gathered::default(),
        first: true,
        timers: Timers::new(options.timeout_seconds, options.bookmarks),
        just_sent: false,
        shutdown: Box::pin(server.shutdown.clone().cancelled_owned()),
        clock: Arc::clone(server),
        over: false,
    };
    let mut answer = respond::bytes(200, content_type, Bytes::new());
    answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    *answer.body_mut() = Body::Pieces(Box::new(body));
    Ok(answer)
}

struct WatchBody {
    a: Attributes,
    events: WatchEvents,
    how: Telling,
    /// What was told and not given yet.
    told: Gathered,
    /// Nothing was told yet (a table's columns go with its first row).
    first: bool,
    timers: Timers,
    /// A piece was given at the last poll: this poll comes from whoever sends it, not from a timer.
    just_sent: bool,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    clock: Arc<Shared>,
    over: bool,
}

/// The frames that were encoded for the first watcher of each encoding, kept beside the event for the others.
#[derive(Default)]
struct Frames {
    json: OnceLock<Bytes>,
    protobuf: OnceLock<Bytes>,
}

impl Pieces for WatchBody {
    fn is_settled(&self) -> bool {
        self.events.progress().is_some()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.over && self.told.len() < PIECE_BYTES {
            let before = self.told.len();
            let this = &mut *self;
            let (a, how, told) = (&this.a, this.how, &mut this.told);
            let (first, clock) = (&mut this.first, &this.clock);
            let polled = this.events.poll_items(cx, &mut |item| {
                tell(told, a, item, how, first, clock);
            });
            match polled {
                Poll::Ready(true) if self.told.len() > before => {}
                Poll::Ready(false) => self.over = true,
                Poll::Ready(true) | Poll::Pending => break,
            }
        }
        if let Some(piece) = self.told.take() {
            self.just_sent = true;
            return Poll::Ready(Some(piece));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let by_sender = std::mem::take(&mut self.just_sent);
        if by_sender && !self.over && self.timers.are_armed(cx) && !self.clock.shutdown.is_cancelled() {
            return Poll::Pending;
        }
        if self.over || self.shutdown.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(None);
        }
        while let Poll::Ready(fired) = self.timers.poll(cx) {
            match (fired, self.events.progress()) {
                (Fired::Deadline, _) => {
                    self.over = true;
                    return Poll::Ready(None);
                }
                (Fired::Bookmark, Some(revision)) => {
                    return Poll::Ready(Some(bookmark(&self.a, self.how.form, revision, false)));
                }
                (Fired::Bookmark, None) => {}
            }
        }
        Poll::Pending
    }
}

/// Frames on their way to the client.
#[derive(Default)]
struct Gathered {
    frames: VecDeque<Bytes>,
    len: usize,
}

impl Gathered {
    fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, frame: Bytes) {
        self.len += frame.len();
        self.frames.push_back(frame);
    }

    /// The next piece: one frame is passed on as it is, several are put together.
    fn take(&mut self) -> Option<Bytes> {
        let first = self.frames.pop_front()?;
        let mut len = first.len();
        let mut fits = |frame: &Bytes| {
            len += frame.len();
            len <= PIECE_BYTES
        };
        let more = self.frames.iter().take_while(|frame| fits(frame)).count();
        let piece = if more == 0 {
            first
        } else {
            let len = first.len() + self.frames.iter().take(more).map(Bytes::len).sum::<usize>();
            let mut piece = BytesMut::with_capacity(len);
            piece.extend_from_slice(&first);
            self.frames.drain(..more).for_each(|frame| piece.extend_from_slice(&frame));
            piece.freeze()
        };
        self.len -= piece.len();
        if self.frames.is_empty() && self.frames.capacity() > 64 {
            // Room for a backlog is not kept: most watches are idle most of the time.
            self.frames = VecDeque::new();
        }
        Some(piece)
    }
}

/// How objects are told.
#[derive(Clone, Copy)]
struct Telling {
    form: Form,
    include: Include,
    /// As they are stored.
    plain: bool,
}

fn tell(out: &mut Gathered, a: &Attributes, item: WatchItem, how: Telling, first: &mut bool, clock: &Shared) {
    let encoding = how.form.encoding;
    let mut shaped = |kind: &str, value: Result<Value, Status>| {
        let first = value.is_ok() && std::mem::take(first);
        let now = clock.registry.now();
        let object = value.and_then(|value| shape::watched(a, value, how.form, how.include, first, now));
        out.push(match object {
            Ok(object) => frame(encoding, kind, &object),
            Err(status) => error_frame(encoding, &status),
        });
    };
    let convert = |entry: &Entry| object::parse(entry).map(|value| object::from_storage(&a.resource, value));
    match item {
        WatchItem::Initial(entry) if how.plain => out.push(stored_frame(a, encoding, "ADDED", &entry)),
        WatchItem::Initial(entry) => shaped("ADDED", convert(&entry)),
        WatchItem::Change(kind, event, None) if how.plain => {
            out.push(shared_frame(a, encoding, kind, &event));
        }
        WatchItem::Change(kind, event, None) => shaped(kind.as_str(), convert(&event.entry)),
        WatchItem::Change(kind, event, Some(before)) => {
            let value =
                at_revision(&before, event.revision).map(|value| object::from_storage(&a.resource, value));
            shaped(kind.as_str(), value);
        }
        WatchItem::InitialEnd(revision) => out.push(bookmark(a, how.form, revision, true)),
        WatchItem::Failed(status) => out.push(error_frame(encoding, &status)),
    }
}

/// The frame of an event in the plain form. All watchers for whom the event is of its usual kind share one.
fn shared_frame(a: &Attributes, encoding: Encoding, kind: WatchEvent, event: &Event) -> Bytes {
    let usual = match (event.kind, &event.previous) {
        (EventKind::Delete, _) => WatchEvent::Deleted,
        (EventKind::Put, None) => WatchEvent::Added,
        (EventKind::Put, Some(_)) => WatchEvent::Modified,
    };
    let make = || stored_frame(a, encoding, kind.as_str(), &event.entry);
    if kind != usual {
        return make();
    }
    let frames: Option<&Frames> = event.frame.get_or_init(|| Arc::new(Frames::default()));
    let Some(frames) = frames else { return make() };
    let kept = if encoding == Encoding::Json { &frames.json } else { &frames.protobuf };
    kept.get_or_init(make).clone()
}

/// The frame of an object as it is stored.
fn stored_frame(a: &Attributes, encoding: Encoding, kind: &str, entry: &Entry) -> Bytes {
    let Encoding::Protobuf(p) = encoding else { return frame(encoding, kind, trimmed(&entry.value)) };
    match protobuf::stored(p, a, Shape::Object, &entry.value) {
        Ok(object) => frame(encoding, kind, &object),
        Err(status) => error_frame(encoding, &status),
    }
}

fn trimmed(object: &[u8]) -> &[u8] {
    object.strip_suffix(b"\n").unwrap_or(object)
}

fn frame(encoding: Encoding, kind: &str, object: &[u8]) -> Bytes {
    if let Encoding::Protobuf(_) = encoding {
        return protobuf::frame(kind, object);
    }
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
    out.freeze()
}

fn error_frame(encoding: Encoding, status: &Status) -> Bytes {
    let object = match respond::encode(&status.to_value(), encoding, false) {
        Ok(object) => object,
        Err(worse) => {
            tracing::error!(error = worse.message(), "a watch could not be told of an error");
            return Bytes::new();
        }
    };
    frame(encoding, "ERROR", trimmed(&object))
}

/// A bookmark; `initial`: the one that ends the initial events.
fn bookmark(a: &Attributes, form: Form, revision: Revision, initial: bool) -> Bytes {
    let mut value = Value::Object(Map::new());
    object::set_type(&a.resource, &mut value);
    value.set_meta("resourceVersion", revision.to_string());
    if initial {
        let annotations: Map = [("k8s.io/initial-events-end", "true")].into_iter().collect();
        value.set_meta("annotations", annotations);
    }
    sampan_schema::complete(&a.resource.schema, &mut value);
    match shape::watched(a, value, form, Include::Metadata, false, a_long_ago()) {
        Ok(object) => frame(form.encoding, "BOOKMARK", &object),
        Err(status) => error_frame(form.encoding, &status),
    }
}

/// Bookmarks have no age.
fn a_long_ago() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_together_up_to_the_size_of_a_piece_and_larger_ones_stay_whole() {
        let mut told = Gathered::default();
        let lens = [10_000, 6_000, 384, 1, 100_000, 16_000, 385, 7];
        let frames = lens.iter().zip(b'a'..).map(|(len, byte)| Bytes::from(vec![byte; *len]));
        frames.clone().for_each(|frame| told.push(frame));
        let pieces: Vec<_> = std::iter::from_fn(|| told.take()).collect();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [16_384, 1, 100_000, 16_000, 392]);
        assert_eq!(pieces.concat(), frames.collect::<Vec<_>>().concat());
        assert_eq!(told.len(), 0);
    }
}
