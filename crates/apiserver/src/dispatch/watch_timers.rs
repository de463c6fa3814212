//! When a watch ends by itself, and when it sends a bookmark.
//!
//! A busy watch is polled for every event. Its timers are looked at only when they may have fired.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, Sleep};

/// Watches without a timeout of their own end after this time and up to twice as much (upstream's
/// `--min-request-timeout`), so that clients spread over servers anew.
const MIN_TIMEOUT: Duration = Duration::from_mins(30);
/// No watch is open for longer, whatever a client asks for: the clock must be able to count that far.
const MAX_TIMEOUT: Duration = Duration::from_hours(365 * 24);
/// How often a watcher that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);

/// Which timer fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fired {
    /// The watch is over.
    Deadline,
    /// A bookmark is due.
    Bookmark,
}

/// The two timers of a watch.
pub(super) struct Timers {
    deadline: Pin<Box<Sleep>>,
    bookmarks: Option<Pin<Box<Sleep>>>,
    /// The task that they wake, once they were polled.
    armed: Option<Waker>,
}

impl Timers {
    /// Timers that start now.
    pub(super) fn new(timeout_seconds: Option<u64>, bookmarks: bool) -> Self {
        let timeout = timeout_seconds.map_or_else(
            || MIN_TIMEOUT.mul_f64(1.0 + rand::rng().random_range(0.0..1.0)),
            Duration::from_secs,
        );
        let now = Instant::now();
        Self {
            deadline: Box::pin(tokio::time::sleep_until(now + timeout.min(MAX_TIMEOUT))),
            bookmarks: bookmarks.then(|| Box::pin(tokio::time::sleep_until(now + BOOKMARK_EVERY))),
            armed: None,
        }
    }

    /// Whether they will wake this task by themselves, so that they need not be polled now.
    pub(super) fn are_armed(&self, cx: &Context<'_>) -> bool {
        let next = self.bookmarks.as_ref().map_or(self.deadline.deadline(), |timer| timer.deadline());
        self.armed.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
            && Instant::now() < next.min(self.deadline.deadline())
    }

    /// Waits for the next of them.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Fired> {
        self.armed = Some(cx.waker().clone());
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Fired::Deadline);
        }
        let Some(timer) = &mut self.bookmarks else { return Poll::Pending };
        std::task::ready!(timer.as_mut().poll(cx));
        timer.as_mut().reset(Instant::now() + BOOKMARK_EVERY);
        // The reset timer wakes nobody before it is polled again.
        self.armed = None;
        Poll::Ready(Fired::Bookmark)
    }
}
