//! The body of an answer: shared bytes, or pieces made as the client takes them. And of a request that is passed on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

/// Makes the pieces of a body one after another; asked for the next only when the client has taken the last.
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// Whether all that costs the server has been made: what follows comes as it happens (a watch whose first state was told).
    fn is_settled(&self) -> bool {
        false
    }

    /// Whether the end came before the answer was whole.
    fn is_broken(&self) -> bool {
        false
    }
}

/// An answer that comes from elsewhere ended before it was whole. The client's connection is cut, so that it does not take a part for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct Broken;

/// The body of an answer.
#[derive(Default)]
pub enum Body {
    /// Nothing (more).
    #[default]
    Empty,
    /// Bytes that are there already.
    Full(Bytes),
    /// Pieces with back pressure.
    Pieces(Box<dyn Pieces>),
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Body::Full(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Body::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Body::Pieces(pieces) => Poll::Ready(match ready!(pieces.poll_piece(cx)) {
                Some(bytes) => Some(Ok(Frame::data(bytes))),
                None if pieces.is_broken() => Some(Err(Broken)),
                None => None,
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(bytes) => bytes.is_empty(),
            Body::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Pieces(_) => SizeHint::default(),
        }
    }
}

/// The body of a request that is passed on, as the client sends it.
pub type Upload = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// No body.
pub fn nothing() -> Upload {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body as it comes.
pub(crate) fn upload<B>(body: B) -> Upload
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    Uploaded(Box::pin(body)).boxed_unsync()
}

struct Uploaded<B>(Pin<Box<B>>);

impl<B> http_body::Body for Uploaded<B>
where
    B: http_body::Body,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(self.0.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
            Err(error) => Err(error.to_string().into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
