//! Puts small writes together before they are encrypted.
//!
//! The HTTP/2 codec writes and flushes each frame by itself, and each would become a TLS record and a system call of its
//! own. So the first flush after a write is only noted ([`FlushLater`]); whoever drives the connection polls it once more
//! when all frames were written, and the codec's flush of that poll, with nothing written before it, is the real one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is put together at the most: two HTTP/2 frames of the usual largest size, with their heads.
const LIMIT: usize = 2 * (16 * 1024 + 9);

/// A stream whose small writes leave together.
#[derive(Debug)]
pub(super) struct Coalesce<S> {
    inner: S,
    /// Written and not flushed yet. Its memory is given back when it is empty: most connections are idle.
    waiting: BytesMut,
    /// Something was written since the last flush.
    fresh: bool,
    later: Option<FlushLater>,
}

/// Says that a connection has to be polled once more so that it flushes.
#[derive(Debug, Clone, Default)]
pub(super) struct FlushLater(Arc<AtomicBool>);

impl FlushLater {
    /// Whether it has to; asking takes the note away.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl<S: AsyncWrite + Unpin> Coalesce<S> {
    /// With `later`, a flush that follows a write is put off, and noted there. Without, every flush is done at once.
    pub(super) fn new(inner: S, later: Option<FlushLater>) -> Self {
        Self { inner, waiting: BytesMut::new(), fresh: false, later }
    }

    /// Hands everything that waits to the inner stream.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        self.waiting = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Makes room for `len` more bytes.
    fn make_room(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<()>> {
        if self.waiting.len() + len > LIMIT {
            ready!(self.drain(cx))?;
        }
        if self.waiting.capacity() == 0 && len <= LIMIT {
            // Always the same size, so that the allocator has one sort of them.
            self.waiting.reserve(LIMIT);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalesce<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.make_room(cx, bytes.len()))?;
        if bytes.len() > LIMIT {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        self.fresh = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|s| s.len()).sum();
        ready!(self.make_room(cx, len))?;
        if len > LIMIT {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
        self.fresh = true;
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.fresh)
            && let Some(FlushLater(note)) = &self.later
        {
            note.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Coalesce<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn small_writes_leave_when_they_are_flushed_and_in_order() {
        let (server, mut client) = tokio::io::duplex(1 << 20);
        let mut stream = Coalesce::new(server, None);
        let large = vec![b'x'; LIMIT + 1];
        stream.write_all(b"one ").await.unwrap();
        stream.write_all(b"two ").await.unwrap();
        stream.write_all(&large).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(&large).await.unwrap();
        stream.write_all(b"end").await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        let want = [b"one two ".as_slice(), &large, &large, b"end"].concat();
        assert!(all == want, "{} bytes came", all.len());
    }

    #[tokio::test]
    async fn a_flush_after_a_write_is_put_off_once() {
        let (server, mut client) = tokio::io::duplex(1 << 20);
        let later = FlushLater::default();
        let mut stream = Coalesce::new(server, Some(later.clone()));
        for frame in [b"one ", b"two "] {
            stream.write_all(frame).await.unwrap();
            stream.flush().await.unwrap();
        }
        assert_eq!(stream.waiting, b"one two ".as_slice());
        assert!(later.take());
        stream.flush().await.unwrap();
        assert!(!later.take());
        let mut all = [0; 8];
        client.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"one two ");
    }

    #[tokio::test]
    async fn no_more_than_the_limit_waits() {
        let (server, client) = tokio::io::duplex(1 << 20);
        let mut stream = Coalesce::new(server, None);
        for _ in 0..100 {
            stream.write_all(&[0; 1500]).await.unwrap();
            assert!(stream.waiting.len() <= LIMIT);
        }
        drop(client);
    }
}
