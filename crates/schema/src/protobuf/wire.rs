//! The wire: tags, varints and lengths, read with the complaints of Go's generated code.

use std::fmt;

/// Why bytes are no message, in the words of Go's decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }

    fn end() -> Self {
        Self::new("unexpected EOF")
    }
}

/// How the value of a field is written.
pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const BYTES: u8 = 2;
const GROUP: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// How deep groups may be nested (nobody writes any).
const MAX_GROUPS: usize = 32;

/// Reads a message.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the next field and how it is written; `message` names the message in complaints.
    pub(super) fn tag(&mut self, message: &str) -> Result<(u32, u8), Malformed> {
        let tag = self.varint()?;
        let wire = (tag & 7) as u8;
        if wire == GROUP_END {
            return Err(Malformed::new(format_args!("proto: {message}: wiretype end group for non-group")));
        }
        // Go takes the low 32 bits of the number.
        #[allow(clippy::cast_possible_truncation)]
        let number = (tag >> 3) as u32;
        if number == 0 || number > i32::MAX.unsigned_abs() {
            return Err(Malformed::new(format_args!(
                "proto: {message}: illegal tag {} (wire type {wire})",
                number.cast_signed()
            )));
        }
        Ok((number, wire))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (i, byte) in self.0.iter().enumerate() {
            if i == 10 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() >= 10 { Malformed::new("proto: integer overflow") } else { Malformed::end() })
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        if length > i64::MAX.unsigned_abs() {
            return Err(Malformed::new("proto: negative length found during unmarshaling"));
        }
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("8 bytes were taken")))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(Malformed::end)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Passes over the value of a field.
    pub(super) fn skip(&mut self, wire: u8) -> Result<(), Malformed> {
        self.skip_in(wire, MAX_GROUPS)
    }

    fn skip_in(&mut self, wire: u8, groups: usize) -> Result<(), Malformed> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.take(8).map(drop),
            BYTES => self.bytes().map(drop),
            FIXED32 => self.take(4).map(drop),
            GROUP if groups == 0 => Err(Malformed::new("proto: groups are nested too deep")),
            GROUP => loop {
                let inner = (self.varint()? & 7) as u8;
                if inner == GROUP_END {
                    return Ok(());
                }
                self.skip_in(inner, groups - 1)?;
            },
            GROUP_END => Err(Malformed::new("proto: unexpected end of group")),
            other => Err(Malformed::new(format_args!("proto: illegal wireType {other}"))),
        }
    }
}

/// How many bytes a varint takes.
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a varint.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    #[allow(clippy::cast_possible_truncation)]
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)]
    out.push(value as u8);
}
