//! Messages of channels: which channel, and what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;

/// The channel on which a client of the fifth version says that another one ends.
const CLOSE: u8 = 255;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A byte and the data. With `ends`, `255` and a number end a channel.
    Binary {
        /// Whether channels can be ended.
        ends: bool,
    },
    /// A digit and the data in base64, as text.
    Base64,
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes of a channel.
    Data(u8, Bytes),
    /// A channel ends.
    End(u8),
    /// Nothing.
    Nothing,
}

impl Format {
    /// What a client's message says. What cannot be read says nothing, as upstream has it.
    pub fn read(self, message: Message) -> Received {
        let mut bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            _ => return Received::Nothing,
        };
        let Some(&channel) = bytes.first() else { return Received::Nothing };
        let data = bytes.split_off(1);
        match self {
            Format::Binary { ends: true } if channel == CLOSE => {
                data.first().map_or(Received::Nothing, |other| Received::End(*other))
            }
            Format::Binary { .. } => Received::Data(channel, data),
            Format::Base64 => {
                let digit = channel.wrapping_sub(b'0');
                STANDARD.decode(&data).map_or(Received::Nothing, |data| Received::Data(digit, data.into()))
            }
        }
    }

    /// A message of a channel.
    pub fn write(self, channel: u8, data: &[u8]) -> Message {
        match self {
            Format::Binary { .. } => {
                let mut bytes = BytesMut::with_capacity(data.len() + 1);
                bytes.put_u8(channel);
                bytes.put_slice(data);
                Message::Binary(bytes.freeze())
            }
            Format::Base64 => {
                let mut text = String::with_capacity(data.len() * 4 / 3 + 4);
                text.push(char::from(b'0'.wrapping_add(channel)));
                STANDARD.encode_string(data, &mut text);
                Message::Text(text.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINARY: Format = Format::Binary { ends: false };
    const ENDING: Format = Format::Binary { ends: true };

    fn data(channel: u8, text: &'static str) -> Received {
        Received::Data(channel, Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn messages_say_what_they_say() {
        let binary = |bytes: &'static [u8]| Message::Binary(Bytes::from_static(bytes));
        let text = |text: &str| Message::Text(text.into());
        let rows = [
            ("data", BINARY, binary(b"\0hi"), data(0, "hi")),
            ("text is as good", BINARY, text("\0hi"), data(0, "hi")),
            ("no data", BINARY, binary(b"\x04"), data(4, "")),
            ("nothing", BINARY, binary(b""), Received::Nothing),
            ("an end", ENDING, binary(b"\xff\0"), Received::End(0)),
            ("an end of nothing", ENDING, binary(b"\xff"), Received::Nothing),
            ("no end before version 5", BINARY, binary(b"\xff\0"), data(255, "\0")),
            ("base64", Format::Base64, text("0aGk="), data(0, "hi")),
            ("no base64", Format::Base64, text("0!"), Received::Nothing),
            ("a ping", ENDING, Message::Ping(Bytes::new()), Received::Nothing),
        ];
        for (name, format, message, want) in rows {
            assert_eq!(format.read(message), want, "{name}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for format in [BINARY, ENDING, Format::Base64] {
            for channel in 0..8 {
                for text in ["", "a", "hello\0"] {
                    assert_eq!(format.read(format.write(channel, text.as_bytes())), data(channel, text));
                }
            }
        }
        assert_eq!(Format::Base64.write(1, b"hi"), Message::Text("1aGk=".into()));
    }
}
