//! The envelope of an object on its own: four bytes that say what follows, and a `runtime.Unknown` that names
//! the kind and holds the message.

use super::backwards::Backwards;
use super::wire::{BYTES, Malformed, Reader, push_varint, varint_len};

/// What every enveloped object begins with: `k8s`, and a byte for the style of the envelope.
pub const PREFIX: [u8; 4] = *b"k8s\0";

/// An opened envelope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened<'a> {
    /// As the sender names it; may be empty.
    pub api_version: String,
    /// As the sender names it; may be empty.
    pub kind: String,
    /// The message.
    pub raw: &'a [u8],
}

/// Opens an envelope.
pub fn open(bytes: &[u8]) -> Result<Opened<'_>, Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::new("empty data"));
    }
    let Some(body) = bytes.strip_prefix(&PREFIX) else {
        return Err(Malformed::new(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ));
    };
    if body.is_empty() {
        return Err(Malformed::new("empty body"));
    }
    let mut opened = Opened::default();
    let mut reader = Reader::new(body);
    while !reader.is_empty() {
        match reader.tag("Unknown")? {
            (1, BYTES) => open_type(reader.bytes()?, &mut opened)?,
            (2, BYTES) => opened.raw = reader.bytes()?,
            (number @ 1..=4, wire) if wire != BYTES => {
                let field = ["TypeMeta", "Raw", "ContentEncoding", "ContentType"][number as usize - 1];
                return Err(Malformed::new(format_args!("proto: wrong wireType = {wire} for field {field}")));
            }
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(opened)
}

fn open_type(bytes: &[u8], opened: &mut Opened<'_>) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.tag("TypeMeta")? {
            (1, BYTES) => opened.api_version = String::from_utf8_lossy(reader.bytes()?).into_owned(),
            (2, BYTES) => opened.kind = String::from_utf8_lossy(reader.bytes()?).into_owned(),
            (number @ 1..=2, wire) => {
                let field = ["APIVersion", "Kind"][number as usize - 1];
                return Err(Malformed::new(format_args!("proto: wrong wireType = {wire} for field {field}")));
            }
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(())
}

/// No content encoding, no content type: what Go writes after the message.
const TAIL: [u8; 4] = [3 << 3 | 2, 0, 4 << 3 | 2, 0];

/// Puts the envelope around the message that was written.
pub fn close(out: &mut Backwards, api_version: &str, kind: &str) {
    // The message ends before the tail, which is written first.
    let head = head(api_version, kind, out.len() - TAIL.len());
    out.put(&head);
}

/// Begins a message whose envelope [`close`] will put around it.
pub fn begin(out: &mut Backwards) {
    out.put(&TAIL);
}

/// What comes before a message of that length; [`tail`] comes after it.
pub fn head(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut types = Backwards::with_capacity(api_version.len() + kind.len() + 16);
    types.bytes(2, kind.as_bytes());
    types.bytes(1, api_version.as_bytes());
    types.close(1, 0);
    let mut head = Vec::with_capacity(PREFIX.len() + types.len() + 1 + varint_len(length as u64));
    head.extend_from_slice(&PREFIX);
    head.extend_from_slice(types.as_slice());
    head.push(2 << 3 | BYTES);
    push_varint(&mut head, length as u64);
    head
}

/// What comes after a message.
pub fn tail() -> &'static [u8] {
    &TAIL
}
