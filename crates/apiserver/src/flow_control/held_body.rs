//! The body of an answer that is made in pieces, with the seat of its request: each piece takes a turn, and the seat is given
//! back when what costs the server is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use super::level::Seat;
use super::turns::{Turn, Turns, Whose};
use crate::http_io::body::{Body, Pieces};

/// A body that holds a seat. Without `turns` its pieces are made whenever they are asked for.
pub(super) fn held(pieces: Box<dyn Pieces>, seat: Seat, turns: Option<(Arc<Turns>, Whose)>) -> Body {
    if pieces.is_settled() {
        return Body::Pieces(pieces);
    }
    Body::Pieces(Box::new(Held { pieces, seat: Some(seat), turns, waiting: None }))
}

struct Held {
    pieces: Box<dyn Pieces>,
    seat: Option<Seat>,
    turns: Option<(Arc<Turns>, Whose)>,
    waiting: Option<Pin<Box<dyn Future<Output = Turn> + Send>>>,
}

impl Held {
    /// The turn for the next piece, where one is needed.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Turn>> {
        let Some((turns, whose)) = &self.turns else { return Poll::Ready(None) };
        if self.waiting.is_none() {
            if !turns.are_needed_by(*whose) {
                return Poll::Ready(None);
            }
            let (turns, whose) = (Arc::clone(turns), *whose);
            self.waiting = Some(Box::pin(async move { turns.take(whose).await }));
        }
        let waiting = self.waiting.as_mut().expect("it was made just above");
        let turn = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(Some(turn))
    }
}

impl Pieces for Held {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.seat.is_none() {
            return self.pieces.poll_piece(cx);
        }
        let turn = ready!(self.poll_turn(cx));
        let began = Instant::now();
        let polled = self.pieces.poll_piece(cx);
        let now = Instant::now();
        match (turn, &self.turns) {
            (Some(turn), _) => turn.end(false, now),
            (None, Some((turns, whose))) => turns.count(*whose, false, now - began, now),
            (None, None) => {}
        }
        if matches!(polled, Poll::Ready(None)) || self.pieces.is_settled() {
            self.seat = None;
        }
        polled
    }

    fn is_settled(&self) -> bool {
        self.seat.is_none()
    }

    fn is_broken(&self) -> bool {
        self.pieces.is_broken()
    }
}
