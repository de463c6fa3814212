//! The frames of SPDY/3.1: bytes to values and back. No I/O.
//!
//! Data arrive in pieces: a frame of 16 MiB never exists as one buffer.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::header::{self, Headers};

/// Most bytes of a control frame.
pub const MAX_CONTROL_BYTES: usize = 64 * 1024;
/// Most bytes of a data frame that is written.
pub const MAX_DATA_BYTES: usize = (1 << 24) - 1;

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const ID_MASK: u32 = 0x7fff_ffff;
const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;

/// Status codes of [`Frame::RstStream`].
pub mod reset {
    /// A rule was broken.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// A frame for a stream that is not open.
    pub const INVALID_STREAM: u32 = 2;
    /// The stream was refused before anything was done for it.
    pub const REFUSED_STREAM: u32 = 3;
    /// Whoever opened the stream does not need it any more.
    pub const CANCEL: u32 = 5;
}

/// The identifier of a setting: how much may be sent to a new stream before its window is opened further.
pub const INITIAL_WINDOW_SIZE: u32 = 7;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another version of the protocol.
    #[error("SPDY version {0} is not spoken here")]
    Version(u16),
    /// A control frame or its headers are longer than they may be.
    #[error("a SPDY frame is too long")]
    TooLong,
    /// A control frame whose length is not that of its type.
    #[error("a SPDY frame is malformed")]
    Malformed,
    /// Headers that cannot be read.
    #[error("the headers of a SPDY frame are malformed")]
    Headers,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a stream. What was one frame may be read as several; the last has its `fin`.
    Data {
        /// The stream.
        stream: u32,
        /// Whether they are the last.
        fin: bool,
        /// They.
        bytes: Bytes,
    },
    /// Opens a stream.
    SynStream {
        /// The stream.
        stream: u32,
        /// The stream that it belongs to, or 0.
        associated: u32,
        /// 0 (highest) to 7.
        priority: u8,
        /// Whether whoever opened it will say nothing.
        fin: bool,
        /// Whether the other side may say nothing.
        unidirectional: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// The stream.
        stream: u32,
        /// Whether whoever accepted it will say nothing.
        fin: bool,
        /// What is said about it.
        headers: Headers,
    },
    /// Ends a stream at once.
    RstStream {
        /// The stream.
        stream: u32,
        /// Why ([`reset`]).
        status: u32,
    },
    /// Tells settings: (flags, identifier, value).
    Settings {
        /// Whether earlier ones are forgotten.
        clear: bool,
        /// They.
        entries: Vec<(u8, u32, u32)>,
    },
    /// Asks for an echo, or is one.
    Ping(u32),
    /// No more streams are accepted.
    GoAway {
        /// The last stream that was accepted.
        last: u32,
        /// Why.
        status: u32,
    },
    /// Further headers of a stream.
    Headers {
        /// The stream.
        stream: u32,
        /// Whether nothing follows.
        fin: bool,
        /// They.
        headers: Headers,
    },
    /// More may be sent.
    WindowUpdate {
        /// The stream; 0 is the connection.
        stream: u32,
        /// By so many bytes.
        delta: u32,
    },
    /// A control frame of a type that is not known, which is passed over.
    Unknown(u16),
}

/// Reads frames.
#[derive(Default)]
pub struct Decoder {
    headers: header::Inflater,
    data: Option<Data>,
}

/// What is still to come of a data frame.
struct Data {
    stream: u32,
    fin: bool,
    left: usize,
}

impl Decoder {
    /// The next frame, or piece of one; `None` when more bytes are needed.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
        if let Some(data) = self.data.take() {
            return Ok(self.piece(data, buffer));
        }
        let Some(&[a, b, c, d, flags, ref length @ ..]) = buffer.first_chunk::<8>() else { return Ok(None) };
        let first = u16::from_be_bytes([a, b]);
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if first & CONTROL == 0 {
            buffer.advance(8);
            let stream = u32::from_be_bytes([a, b, c, d]);
            let data = Data { stream, fin: flags & FIN != 0, left: length };
            return Ok(self.piece(data, buffer));
        }
        if first & !CONTROL != VERSION {
            return Err(Error::Version(first & !CONTROL));
        }
        if length > MAX_CONTROL_BYTES {
            return Err(Error::TooLong);
        }
        if buffer.len() < 8 + length {
            buffer.reserve(8 + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(8);
        let body = buffer.split_to(length).freeze();
        self.control(u16::from_be_bytes([c, d]), flags, body).map(Some)
    }

    fn piece(&mut self, data: Data, buffer: &mut BytesMut) -> Option<Frame> {
        let n = data.left.min(buffer.len());
        if n == 0 && data.left > 0 {
            self.data = Some(data);
            return None;
        }
        let bytes = buffer.split_to(n).freeze();
        let left = data.left - n;
        let frame = Frame::Data { stream: data.stream, fin: data.fin && left == 0, bytes };
        if left > 0 {
            self.data = Some(Data { left, ..data });
        }
        Some(frame)
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: Bytes) -> Result<Frame, Error> {
        let fin = flags & FIN != 0;
        let fits = |least: usize, most: usize| (least..=most).contains(&body.len());
        let fitting = match kind {
            1 => fits(10, usize::MAX),
            2 | 8 => fits(4, usize::MAX),
            3 | 7 | 9 => fits(8, 8),
            4 => fits(4, usize::MAX),
            6 => fits(4, 4),
            _ => true,
        };
        if !fitting {
            return Err(Error::Malformed);
        }
        Ok(match kind {
            1 => {
                let (stream, associated) = (body.get_u32() & ID_MASK, body.get_u32() & ID_MASK);
                let (priority, _slot) = (body.get_u8() >> 5, body.get_u8());
                let (unidirectional, headers) = (flags & UNIDIRECTIONAL != 0, self.headers.headers(&body)?);
                Frame::SynStream { stream, associated, priority, fin, unidirectional, headers }
            }
            2 => Frame::SynReply {
                stream: body.get_u32() & ID_MASK,
                fin,
                headers: self.headers.headers(&body)?,
            },
            3 => Frame::RstStream { stream: body.get_u32() & ID_MASK, status: body.get_u32() },
            4 => {
                let count = body.get_u32() as usize;
                if body.len() != count.saturating_mul(8) {
                    return Err(Error::Malformed);
                }
                let entry = |_| {
                    let word = body.get_u32();
                    (word.to_be_bytes()[0], word & 0x00ff_ffff, body.get_u32())
                };
                Frame::Settings { clear: flags & 1 != 0, entries: (0..count).map(entry).collect() }
            }
            6 => Frame::Ping(body.get_u32()),
            7 => Frame::GoAway { last: body.get_u32() & ID_MASK, status: body.get_u32() },
            8 => Frame::Headers {
                stream: body.get_u32() & ID_MASK,
                fin,
                headers: self.headers.headers(&body)?,
            },
            9 => Frame::WindowUpdate { stream: body.get_u32() & ID_MASK, delta: body.get_u32() & ID_MASK },
            other => Frame::Unknown(other),
        })
    }
}

/// Writes frames.
#[derive(Default)]
pub struct Encoder {
    headers: header::Deflater,
}

impl Encoder {
    /// Appends a frame. Data longer than a frame may be are cut into several.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) {
        let mut body = BytesMut::new();
        let fin_flag = |fin: bool| if fin { FIN } else { 0 };
        let (kind, flags) = match frame {
            Frame::Data { stream, fin, bytes } => return data(*stream, *fin, bytes, out),
            Frame::SynStream { stream, associated, priority, fin, unidirectional, headers } => {
                body.put_u32(*stream);
                body.put_u32(*associated);
                body.put_u8(priority << 5);
                body.put_u8(0);
                self.headers.append(headers, &mut body);
                (1, fin_flag(*fin) | if *unidirectional { UNIDIRECTIONAL } else { 0 })
            }
            Frame::SynReply { stream, fin, headers } => {
                body.put_u32(*stream);
                self.headers.append(headers, &mut body);
                (2, fin_flag(*fin))
            }
            Frame::RstStream { stream, status } => {
                body.put_u32(*stream);
                body.put_u32(*status);
                (3, 0)
            }
            Frame::Settings { clear, entries } => {
                body.put_u32(u32::try_from(entries.len()).unwrap_or(u32::MAX));
                for (flags, id, value) in entries {
                    body.put_u32(u32::from(*flags) << 24 | id & 0x00ff_ffff);
                    body.put_u32(*value);
                }
                (4, u8::from(*clear))
            }
            Frame::Ping(id) => {
                body.put_u32(*id);
                (6, 0)
            }
            Frame::GoAway { last, status } => {
                body.put_u32(*last);
                body.put_u32(*status);
                (7, 0)
            }
            Frame::Headers { stream, fin, headers } => {
                body.put_u32(*stream);
                self.headers.append(headers, &mut body);
                (8, fin_flag(*fin))
            }
            Frame::WindowUpdate { stream, delta } => {
                body.put_u32(*stream);
                body.put_u32(*delta);
                (9, 0)
            }
            Frame::Unknown(kind) => (*kind, 0),
        };
        out.put_u16(CONTROL | VERSION);
        out.put_u16(kind);
        put_length(flags, body.len(), out);
        out.put_slice(&body);
    }
}

fn data(stream: u32, fin: bool, bytes: &[u8], out: &mut BytesMut) {
    let mut rest = bytes;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(MAX_DATA_BYTES));
        out.put_u32(stream & ID_MASK);
        put_length(if fin && after.is_empty() { FIN } else { 0 }, piece.len(), out);
        out.put_slice(piece);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

fn put_length(flags: u8, length: usize, out: &mut BytesMut) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out.put_u32(u32::from(flags) << 24 | length & 0x00ff_ffff);
}

#[cfg(test)]
mod tests;
