//! Carries the frames of a connection: one future reads and writes, its owner opens streams and is told of those that the other side opens.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::frame::{Decoder, Encoder, Frame, INITIAL_WINDOW_SIZE, reset};
use super::header::Headers;
use super::shared::{Command, Shared};
use super::{Error, Stream};
use crate::stream::pipe::pipe;
use crate::stream::{INBOUND_BYTES, KEEP_ALIVE, LINGER, OUTBOUND_FRAMES};

/// Streams that may be open at once on one connection; further ones are refused.
const MAX_STREAMS: usize = 1000;
/// Streams of the other side that wait to be looked at.
const WAITING_STREAMS: usize = 16;
/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;
/// How much is written at once, if it is there.
const WRITE_BYTES: usize = 64 * 1024;

/// Which side this is. Clients open streams of odd numbers, servers of even ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whoever connected.
    Client,
    /// Whoever was connected to.
    Server,
}

/// Opens streams, and ends the connection. Clones are the same connection.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

/// A stream that the other side opened. Dropping it refuses it.
pub struct Incoming {
    stream: Option<Stream>,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    id: u32,
    /// What it is for.
    pub headers: Headers,
}

impl Incoming {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Accepts it.
    pub async fn accept(mut self) -> Result<Stream, Error> {
        let sent = self.commands.send(Command::Reply(self.id)).await;
        match (sent, self.stream.take()) {
            (Ok(()), Some(stream)) => Ok(stream),
            _ => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.stream.is_some() {
            self.shared.abandon(self.id, reset::REFUSED_STREAM);
            self.stream = None;
        }
    }
}

impl Connection {
    /// Opens a stream. What is written before the other side accepts it is on its way behind it.
    pub async fn open(&self, headers: Headers) -> Result<Stream, Error> {
        let broken = || Error::Io(io::ErrorKind::BrokenPipe.into());
        let permit = self.commands.reserve().await.map_err(|_| broken())?;
        let (inlet, outlet) = pipe(INBOUND_BYTES);
        let id = self.shared.open(inlet, |id| {
            permit.send(Command::Open(id, headers));
            id
        });
        let sender = PollSender::new(self.commands.clone());
        Ok(Stream::new(id.ok_or_else(broken)?, Arc::clone(&self.shared), outlet, sender))
    }

    /// Ends the connection when what was written until now has been sent.
    pub async fn close(&self) {
        // It may have ended already.
        let _ = self.commands.send(Command::Close).await;
    }
}

/// Speaks SPDY over `io`: the connection, the streams that the other side opens, and the future that carries them. That ends when the
/// connection does, and it ends when that is dropped.
pub fn open<T>(
    io: T,
    role: Role,
) -> (Connection, mpsc::Receiver<Incoming>, impl Future<Output = Result<(), Error>> + Send)
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let (commands, queue) = mpsc::channel(OUTBOUND_FRAMES);
    let (incoming, opened) = mpsc::channel(WAITING_STREAMS);
    let shared = Arc::new(Shared::new(if role == Role::Client { 1 } else { 2 }));
    let connection = Connection { shared: Arc::clone(&shared), commands: commands.clone() };
    let carrier = Carrier { role, shared, commands, incoming };
    (connection, opened, carrier.run(io, queue))
}

struct Carrier {
    role: Role,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    incoming: mpsc::Sender<Incoming>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Carrier {
    async fn run<T>(self, io: T, queue: mpsc::Receiver<Command>) -> Result<(), Error>
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(io);
        let reader = self.read(read);
        let writer = self.write(write, queue);
        tokio::pin!(reader, writer);
        tokio::select! {
            ended = &mut reader => ended,
            ended = &mut writer => {
                let mut write = ended?;
                // The other side ends the connection when it has seen all. Go's clients look at frames in several tasks, and forget those
                // that they have not looked at when the connection ends before.
                let _ = tokio::time::timeout(LINGER, reader).await;
                write.shutdown().await?;
                Ok(())
            }
        }
    }

    async fn read<T: AsyncRead>(&self, mut from: ReadHalf<T>) -> Result<(), Error> {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::new();
        loop {
            while let Some(frame) = decoder.decode(&mut buffer)? {
                self.received(frame).await?;
            }
            buffer.reserve(READ_BYTES);
            if from.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn received(&self, frame: Frame) -> Result<(), Error> {
        match frame {
            Frame::Data { stream, fin, bytes } => {
                let room = poll_fn(|cx| match self.shared.inlet(stream, |inlet| inlet.poll_room(cx)) {
                    Some(room) => room.map(|room| room.is_ok()),
                    None => std::task::Poll::Ready(false),
                });
                let length = bytes.len();
                let taken = room.await && self.shared.inlet(stream, |inlet| inlet.push(bytes)).is_some();
                if !taken && length > 0 {
                    // Nobody reads it; the window of the connection is opened all the same.
                    self.shared.read(stream, length);
                }
                if fin {
                    self.shared.remote_fin(stream);
                }
            }
            Frame::SynStream { stream, fin, headers, .. } => self.opened(stream, fin, headers).await?,
            Frame::SynReply { stream, fin, .. } | Frame::Headers { stream, fin, .. } => {
                if fin {
                    self.shared.remote_fin(stream);
                }
            }
            Frame::RstStream { stream, .. } => self.shared.remote_reset(stream),
            Frame::Settings { entries, .. } => {
                for (_, id, value) in entries {
                    if id == INITIAL_WINDOW_SIZE {
                        self.shared.initial_window(value);
                    }
                }
            }
            Frame::Ping(id) => {
                let is_ours = (id % 2 == 1) == (self.role == Role::Client);
                if !is_ours {
                    self.shared.pong(id);
                }
            }
            Frame::WindowUpdate { stream, delta } => self.shared.window_update(stream, delta),
            Frame::GoAway { .. } | Frame::Unknown(_) => {}
        }
        Ok(())
    }

    async fn opened(&self, id: u32, fin: bool, headers: Headers) -> Result<(), Error> {
        let is_ours = (id % 2 == 1) == (self.role == Role::Client);
        let (inlet, outlet) = pipe(INBOUND_BYTES);
        if id == 0 || is_ours {
            return Err(Error::Protocol("a SPDY stream has a number of the other side"));
        }
        let full = self.shared.len() >= MAX_STREAMS;
        if !self.shared.opened(id, inlet, fin) {
            return Err(Error::Protocol("a SPDY stream has a number that was used"));
        }
        if full {
            tracing::debug!(streams = MAX_STREAMS, "a SPDY connection has too many streams");
            self.shared.reset(id, reset::REFUSED_STREAM);
            return Ok(());
        }
        let sender = PollSender::new(self.commands.clone());
        let stream = Stream::new(id, Arc::clone(&self.shared), outlet, sender);
        let incoming = Incoming {
            stream: Some(stream),
            shared: Arc::clone(&self.shared),
            commands: self.commands.clone(),
            id,
            headers,
        };
        // When nobody looks at new streams any more, this one is refused by being dropped.
        let _ = self.incoming.send(incoming).await;
        Ok(())
    }

    async fn write<T: AsyncWrite>(
        &self,
        mut to: WriteHalf<T>,
        mut queue: mpsc::Receiver<Command>,
    ) -> Result<WriteHalf<T>, Error> {
        let mut encoder = Encoder::default();
        let mut buffer = BytesMut::new();
        let mut ping_id = if self.role == Role::Client { 1 } else { 2 };
        let mut alive = tokio::time::interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut close = false;
            tokio::select! {
                () = self.shared.urgent.notified() => {}
                command = queue.recv() => {
                    let mut next = command;
                    while let Some(command) = next {
                        close |= self.encode(command, &mut encoder, &mut buffer);
                        next = if close || buffer.len() >= WRITE_BYTES { None } else { queue.try_recv().ok() };
                    }
                }
                _ = alive.tick() => {
                    encoder.encode(&Frame::Ping(ping_id), &mut buffer);
                    ping_id = (ping_id + 2) & 0x7fff_ffff;
                }
            }
            for frame in self.shared.take_urgent() {
                encoder.encode(&frame, &mut buffer);
            }
            to.write_all_buf(&mut buffer).await?;
            to.flush().await?;
            if close {
                return Ok(to);
            }
        }
    }

    /// Appends what is to be told; whether it is the last.
    fn encode(&self, command: Command, encoder: &mut Encoder, buffer: &mut BytesMut) -> bool {
        let frame = match command {
            Command::Open(stream, headers) => Frame::SynStream {
                stream,
                associated: 0,
                priority: 0,
                fin: false,
                unidirectional: false,
                headers,
            },
            Command::Reply(stream) => Frame::SynReply { stream, fin: false, headers: Headers::default() },
            Command::Data(stream, bytes, fin) => Frame::Data { stream, fin, bytes },
            Command::Close => Frame::GoAway { last: self.shared.last_remote(), status: 0 },
        };
        encoder.encode(&frame, buffer);
        matches!(frame, Frame::GoAway { .. })
    }
}

#[cfg(test)]
mod tests;
