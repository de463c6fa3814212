//! Streams over WebSocket: the first byte of each message is the number of its channel.
//!
//! `message` is pure. One future carries the connection; channels are read and written like other streams.

mod message;
mod tunnel;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::PollSender;

use super::pipe::{Inlet, Outlet, pipe};
use super::{CHUNK_BYTES, INBOUND_BYTES, KEEP_ALIVE, LINGER, OUTBOUND_FRAMES};
pub use message::{Format, Received};
pub use tunnel::Tunnel;

/// The longest message that is taken (upstream's `DefaultMaxPayloadBytes`).
const MAX_MESSAGE_BYTES: usize = 32 << 20;

type Socket<T> = WebSocketStream<T>;
type Error = tokio_tungstenite::tungstenite::Error;

/// A connection that was upgraded, as a server.
async fn socket<T: AsyncRead + AsyncWrite + Unpin>(io: T) -> Socket<T> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(1 << 20);
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

enum Command {
    Say(u8, Bytes),
    Close,
}

/// What is said to a connection. Clones are the same connection.
#[derive(Clone)]
pub struct Connection {
    commands: mpsc::Sender<Command>,
}

impl Connection {
    /// What is written to a channel.
    pub fn writer(&self, channel: u8) -> ChannelWriter {
        ChannelWriter { channel, commands: PollSender::new(self.commands.clone()) }
    }

    /// Says something on a channel, even nothing.
    pub async fn say(&self, channel: u8, bytes: impl Into<Bytes>) {
        // The connection may have ended.
        let _ = self.commands.send(Command::Say(channel, bytes.into())).await;
    }

    /// Ends the connection when what was written until now has been sent.
    pub async fn close(&self) {
        let _ = self.commands.send(Command::Close).await;
    }
}

/// What is written to a channel.
pub struct ChannelWriter {
    channel: u8,
    commands: PollSender<Command>,
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.commands.poll_reserve(cx)).map_err(broken)?;
        let n = bytes.len().min(CHUNK_BYTES);
        let say = Command::Say(self.channel, Bytes::copy_from_slice(&bytes[..n]));
        Poll::Ready(self.commands.send_item(say).map(|()| n).map_err(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A server's channel has no end of its own: it ends with the connection.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Speaks channels over `io`: the connection, what the client says on each of `readable` (in that order), and the future that carries it.
pub fn open<T>(
    io: T,
    format: Format,
    readable: &[u8],
) -> (Connection, Vec<Outlet>, impl Future<Output = Result<(), Error>> + Send + use<T>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (commands, queue) = mpsc::channel(OUTBOUND_FRAMES);
    let mut inlets: Vec<(u8, Option<Inlet>)> = Vec::new();
    let mut outlets = Vec::new();
    for channel in readable {
        let (inlet, outlet) = pipe(INBOUND_BYTES);
        inlets.push((*channel, Some(inlet)));
        outlets.push(outlet);
    }
    let carrier = async move {
        let (sink, stream) = socket(io).await.split();
        let reader = read(stream, format, inlets);
        let writer = write(sink, format, queue);
        tokio::pin!(reader, writer);
        tokio::select! {
            ended = &mut reader => ended,
            ended = &mut writer => {
                ended?;
                // Until the client has said that it heard the end.
                let _ = tokio::time::timeout(LINGER, reader).await;
                Ok(())
            }
        }
    };
    (Connection { commands }, outlets, carrier)
}

async fn read<T: AsyncRead + AsyncWrite + Unpin>(
    mut from: SplitStream<Socket<T>>,
    format: Format,
    mut inlets: Vec<(u8, Option<Inlet>)>,
) -> Result<(), Error> {
    while let Some(message) = from.next().await {
        let received = match message? {
            Message::Close(_) => return Ok(()),
            message => format.read(message),
        };
        match received {
            Received::Data(channel, bytes) => {
                if let Some((_, Some(inlet))) = inlets.iter().find(|(number, _)| *number == channel)
                    && poll_fn(|cx| inlet.poll_room(cx)).await.is_ok()
                {
                    inlet.push(bytes);
                }
            }
            Received::End(channel) => {
                let ended = inlets.iter_mut().find(|(number, _)| *number == channel);
                if let Some(inlet) = ended.and_then(|(_, inlet)| inlet.take()) {
                    inlet.complete();
                }
            }
            Received::Nothing => {}
        }
    }
    Ok(())
}

async fn write<T: AsyncRead + AsyncWrite + Unpin>(
    mut to: SplitSink<Socket<T>, Message>,
    format: Format,
    mut queue: mpsc::Receiver<Command>,
) -> Result<(), Error> {
    let mut alive = tokio::time::interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = queue.recv() => match command {
                Some(Command::Say(channel, bytes)) => to.send(format.write(channel, &bytes)).await?,
                Some(Command::Close) | None => {
                    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                    return to.send(Message::Close(Some(frame))).await;
                }
            },
            _ = alive.tick() => to.send(Message::Ping(Bytes::new())).await?,
        }
    }
}

#[cfg(test)]
mod tests;
