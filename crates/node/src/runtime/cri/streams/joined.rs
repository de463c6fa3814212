//! Streams of a SPDY connection as sessions have them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::task::JoinHandle;

use crate::stream::spdy::{self, Connection, Stream};

/// What a command says. The servers of runtimes end a stream by resetting it; whether all went well is said elsewhere.
pub(super) struct Output(pub(super) Stream);

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.0).poll_read(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Poll::Ready(Ok(())),
            outcome => Poll::Ready(outcome),
        }
    }
}

/// What a command hears. It ends when this is dropped.
pub(super) struct Input(Option<Stream>);

impl Input {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Some(stream))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // A stream that is dropped without its end is reset, and what was written last might be lost with it.
        if let (Some(mut stream), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { stream.shutdown().await });
        }
    }
}

/// A connection to a port.
pub(super) struct Forwarded {
    data: Stream,
    /// What the error stream says (nothing, if all goes well); `None` after it was heard.
    said: Option<JoinHandle<Vec<u8>>>,
    /// Whether the data have ended.
    ended: bool,
    connection: Connection,
    carried: Option<JoinHandle<Result<(), spdy::Error>>>,
}

impl Forwarded {
    pub(super) fn new(
        data: Stream,
        said: JoinHandle<Vec<u8>>,
        connection: Connection,
        carried: JoinHandle<Result<(), spdy::Error>>,
    ) -> Self {
        Self { data, said: Some(said), ended: false, connection, carried: Some(carried) }
    }

    /// Nothing more comes: lets the connection end.
    fn part(&mut self) {
        if let Some(carried) = self.carried.take() {
            let connection = self.connection.clone();
            tokio::spawn(async move {
                connection.close().await;
                let _ = carried.await;
            });
        }
    }
}

/// The reason, without what whoever passes it on says anyway: `error forwarding port 80 to pod ID, uid : `.
fn reason(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let text = text.trim();
    match text.split_once(", uid : ") {
        Some((_, why)) => why.to_owned(),
        None => text.to_owned(),
    }
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ended {
            let before = buf.filled().len();
            let outcome = ready!(Pin::new(&mut self.data).poll_read(cx, buf));
            if outcome.is_ok() && buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            self.ended = true;
        }
        if let Some(heard) = self.said.as_mut() {
            let said = ready!(Pin::new(heard).poll(cx)).unwrap_or_default();
            self.said = None;
            self.part();
            if !said.is_empty() {
                return Poll::Ready(Err(io::Error::other(reason(&said))));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.data).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_shutdown(cx)
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        if let Some(said) = &self.said {
            said.abort();
        }
        if let Some(carried) = self.carried.take() {
            carried.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stands_for_itself() {
        for (said, why) in [
            (
                "error forwarding port 80 to pod 0123, uid : failed to dial: connection refused",
                "failed to dial: connection refused",
            ),
            ("no", "no"),
            ("", ""),
        ] {
            assert_eq!(reason(said.as_bytes()), why);
        }
    }
}
