//! Keeps events within a size: first their bodies go, then they do.

use std::sync::Arc;

use super::event::Event;
use super::level::Level;

/// Marks an event without the bodies that it should have.
pub(crate) const ANNOTATION: &str = "audit.k8s.io/truncated";

/// How large events may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TruncateOptions {
    /// The size of one, in bytes.
    pub max_event_size: usize,
    /// The size of all that are handed over at once, in bytes. Events are handed over one by one here, so that it only
    /// bounds the size of one.
    pub max_batch_size: usize,
}

/// The events that fit, without their bodies where they are too large with them, and how many do not fit at all.
pub(super) fn fit(events: Vec<Arc<Event>>, options: &TruncateOptions) -> (Vec<Arc<Event>>, usize) {
    let limit = options.max_event_size.min(options.max_batch_size);
    let before = events.len();
    let fitting: Vec<Arc<Event>> = events
        .into_iter()
        .filter_map(|event| {
            if event.json_line().len() <= limit {
                return Some(event);
            }
            if event.level < Level::Request {
                return None;
            }
            let mut event = Arc::unwrap_or_clone(event);
            (event.request_object, event.response_object) = (None, None);
            event.annotations.insert(ANNOTATION.into(), "true".into());
            (event.json_line().len() <= limit).then(|| Arc::new(event))
        })
        .collect();
    let dropped = before - fitting.len();
    (fitting, dropped)
}
