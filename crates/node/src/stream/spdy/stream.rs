//! One stream: read, written, ended from each side on its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::PollSender;

use super::frame::reset;
use super::shared::{Command, Permission, Shared};
use crate::stream::CHUNK_BYTES;
use crate::stream::pipe::Outlet;

/// A stream of a connection. Shutting it down ends what this side says; dropping it before that resets it.
pub struct Stream {
    id: u32,
    shared: Arc<Shared>,
    incoming: Outlet,
    commands: PollSender<Command>,
    ended: bool,
}

impl Stream {
    pub(super) fn new(id: u32, shared: Arc<Shared>, incoming: Outlet, commands: PollSender<Command>) -> Self {
        Self { id, shared, incoming, commands, ended: false }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.incoming).poll_read(cx, buf))?;
        let n = buf.filled().len() - before;
        if n > 0 {
            self.shared.read(self.id, n);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if ready!(self.commands.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.shared.take_window(self.id, bytes.len().min(CHUNK_BYTES), cx.waker()) {
            Permission::Send(n) => {
                let data = Command::Data(self.id, Bytes::copy_from_slice(&bytes[..n]), false);
                let sent = self.commands.send_item(data);
                Poll::Ready(sent.map(|()| n).map_err(|_| io::ErrorKind::BrokenPipe.into()))
            }
            Permission::Wait => {
                // The place in the queue is others' as long as this stream waits.
                self.commands.abort_send();
                Poll::Pending
            }
            Permission::Ended => {
                self.commands.abort_send();
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended || !self.shared.is_open(self.id) {
            return Poll::Ready(Ok(()));
        }
        if ready!(self.commands.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let id = self.id;
        let sent = self.commands.send_item(Command::Data(id, Bytes::new(), true));
        self.ended = true;
        self.shared.local_fin(id);
        Poll::Ready(sent.map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.abandon(self.id, reset::CANCEL);
    }
}
