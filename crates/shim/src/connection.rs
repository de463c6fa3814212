//! One agent that is connected. A packet that does not fit its buffer ends it: it connects again and asks for the state.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::packet;
use crate::protocol::{Message, Request};

pub(crate) struct Connection {
    socket: OwnedFd,
    /// Whether it asked for the state, and so is told of exits.
    pub(crate) subscribed: bool,
    /// Whether a packet could not be sent.
    pub(crate) broken: bool,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, subscribed: false, broken: false }
    }

    /// The next request; `None` if there is none yet.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Request>> {
        match packet::receive(&self.socket) {
            Ok((bytes, _)) if bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((bytes, _)) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn send(&mut self, message: &Message, descriptors: &[OwnedFd]) {
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let sent = serde_json::to_vec(message)
            .map_err(io::Error::from)
            .and_then(|bytes| packet::send(&self.socket, &bytes, &borrowed));
        self.broken |= sent.is_err();
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
