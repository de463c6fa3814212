//! Netlink sockets, synchronous, and the headers of messages. It knows no family's messages.
//!
//! A socket belongs for ever to the network namespace of the thread that opened it.

use std::io;

use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

/// Length of a message's header.
pub(crate) const HEADER_LENGTH: usize = 16;

/// An answer that says how a request went.
const NLMSG_ERROR: u16 = 2;

/// The end of a list.
const NLMSG_DONE: u16 = 3;

/// A socket to the kernel, with the number of its next message.
pub(crate) struct Connection {
    socket: Socket,
    sequence: u32,
}

/// What the kernel says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sequence: u32,
    pub(crate) content: Content,
    /// Header and all, for decoders that want it.
    pub(crate) bytes: Vec<u8>,
}

/// The kinds of messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A request succeeded (0), or failed.
    Outcome(i32),
    /// The list is complete.
    Done,
    /// One thing.
    Item { kind: u16 },
}

impl Connection {
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The number of the next message.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends messages; the kernel takes all of them at once or none.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // The kernel refuses what is longer than the buffer: 208 KiB unless told otherwise.
        if bytes.len() > 128 * 1024 {
            setsockopt(&self.socket, sockopt::SndBufForce, &(bytes.len() + 64 * 1024))?;
        }
        self.socket.send(bytes, 0).map(drop)
    }

    /// Waits for one packet; the kernel answers every request.
    pub(crate) fn receive(&self) -> io::Result<Vec<Message>> {
        let (bytes, _) = self.socket.recv_from_full()?;
        Ok(split(&bytes))
    }
}

/// The messages of a packet. What is cut off is left out.
fn split(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(length) = word(bytes, 0).and_then(|length| usize::try_from(length).ok()) {
        if length < HEADER_LENGTH || length > bytes.len() {
            break;
        }
        let (message, _) = bytes.split_at(length);
        let (Some(kind), Some(sequence)) = (word(message, 4), word(message, 8)) else { break };
        let [low, high, ..] = kind.to_ne_bytes();
        let kind = u16::from_ne_bytes([low, high]);
        let code = word(message, HEADER_LENGTH).map_or(0, u32::cast_signed);
        let content = match kind {
            NLMSG_ERROR => Content::Outcome(code),
            NLMSG_DONE => Content::Done,
            kind => Content::Item { kind },
        };
        messages.push(Message { sequence, content, bytes: message.to_vec() });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_split_into_its_messages_and_what_is_cut_off_is_left_out() {
        let message = |kind: u16, body: &[u8]| {
            let length = u32::try_from(HEADER_LENGTH + body.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 2]);
            bytes.extend(7_u32.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend(body);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let packet = [message(2, &(-17_i32).to_ne_bytes()), message(16, b"x"), message(3, &[0; 4])].concat();
        let seen = split(&packet);
        let contents: Vec<_> = seen.iter().map(|message| &message.content).collect();
        assert_eq!(contents, [&Content::Outcome(-17), &Content::Item { kind: 16 }, &Content::Done]);
        assert!(seen.iter().all(|message| message.sequence == 7));
        assert_eq!(split(&packet[..packet.len() - 1]).len(), 2);
        assert_eq!(split(&[0; 40]), []);
    }
}
