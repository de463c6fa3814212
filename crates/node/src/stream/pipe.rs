//! A pipe of bytes with a limit: what a connection received for a stream, until the stream is read.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};

/// The end that is written; dropping it breaks the pipe.
pub(crate) struct Inlet(Arc<Mutex<State>>);

/// The end that is read.
pub struct Outlet(Arc<Mutex<State>>);

/// Nobody reads any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

struct State {
    limit: usize,
    chunks: VecDeque<Bytes>,
    queued: usize,
    end: Option<End>,
    gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy)]
enum End {
    Complete,
    Broken,
}

/// A pipe that takes bytes while fewer than `limit` wait.
pub(crate) fn pipe(limit: usize) -> (Inlet, Outlet) {
    let state = Arc::new(Mutex::new(State {
        limit,
        chunks: VecDeque::new(),
        queued: 0,
        end: None,
        gone: false,
        reader: None,
        writer: None,
    }));
    (Inlet(Arc::clone(&state)), Outlet(state))
}

impl State {
    fn finish(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }
}

impl Inlet {
    /// Waits until there is room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut state = self.0.lock();
        if state.gone {
            return Poll::Ready(Err(Gone));
        }
        if state.queued < state.limit {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Puts bytes in, whether there is room or not.
    pub(crate) fn push(&self, bytes: Bytes) {
        let mut state = self.0.lock();
        if state.gone || bytes.is_empty() {
            return;
        }
        state.queued += bytes.len();
        state.chunks.push_back(bytes);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Nothing more will come.
    pub(crate) fn complete(self) {
        self.0.lock().finish(End::Complete);
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.0.lock().finish(End::Broken);
    }
}

impl AsyncRead for Outlet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        let Some(chunk) = state.chunks.front_mut() else {
            return match state.end {
                Some(End::Complete) => Poll::Ready(Ok(())),
                Some(End::Broken) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        let n = chunk.len().min(buf.remaining());
        buf.put_slice(&chunk[..n]);
        chunk.advance(n);
        if chunk.is_empty() {
            state.chunks.pop_front();
        }
        state.queued -= n;
        if state.queued < state.limit
            && let Some(writer) = state.writer.take()
        {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        state.chunks = VecDeque::new();
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_full_pipe_makes_its_writer_wait_until_it_is_read() {
        let (inlet, mut outlet) = pipe(4);
        inlet.push(Bytes::from_static(b"12345"));
        let mut waiting = tokio_test(poll_fn(|cx| inlet.poll_room(cx)));
        assert!(waiting.poll().is_pending());
        let mut two = [0; 2];
        outlet.read_exact(&mut two).await.unwrap();
        assert_eq!(waiting.poll(), Poll::Ready(Ok(())));
        drop(waiting);
        inlet.complete();
        let mut rest = String::new();
        outlet.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, rest.as_str()), (b"12", "345"));
    }

    #[tokio::test]
    async fn each_end_learns_of_the_other() {
        let (inlet, mut outlet) = pipe(4);
        inlet.push(Bytes::from_static(b"1"));
        drop(inlet);
        let mut text = String::new();
        let error = outlet.read_to_string(&mut text).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let (inlet, outlet) = pipe(4);
        drop(outlet);
        assert_eq!(poll_fn(|cx| inlet.poll_room(cx)).await, Err(Gone));
    }

    /// A future that is polled by hand.
    struct ByHand<F>(Pin<Box<F>>);

    fn tokio_test<F: Future>(future: F) -> ByHand<F> {
        ByHand(Box::pin(future))
    }

    impl<F: Future> ByHand<F> {
        fn poll(&mut self) -> Poll<F::Output> {
            self.0.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }
    }
}
