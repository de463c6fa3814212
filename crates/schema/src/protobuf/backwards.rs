//! A buffer that is filled from its end, so that the length of a nested message is known when it is written:
//! what comes last is put first, and no part is measured or moved.

use super::wire;

/// The buffer.
#[derive(Debug, Default)]
pub struct Backwards {
    /// What was written stands at the end, from `at` on.
    buffer: Vec<u8>,
    at: usize,
}

impl Backwards {
    /// An empty buffer with room for so many bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: vec![0; capacity], at: capacity }
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Forgets what was written, and keeps the room.
    pub fn clear(&mut self) {
        self.at = self.buffer.len();
    }

    /// Puts bytes before what was written.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.at < bytes.len() {
            self.grow(bytes.len());
        }
        self.at -= bytes.len();
        self.buffer[self.at..self.at + bytes.len()].copy_from_slice(bytes);
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let size = (self.len() + more).next_power_of_two().max(256);
        let mut buffer = vec![0; size];
        let at = size - self.len();
        buffer[at..].copy_from_slice(self.as_slice());
        *self = Self { buffer, at };
    }

    /// Puts a varint.
    pub fn varint(&mut self, mut value: u64) {
        #[allow(clippy::cast_possible_truncation)]
        if value < 0x80 {
            return self.put(&[value as u8]);
        }
        let mut bytes = [0; 10];
        let mut length = 0;
        #[allow(clippy::cast_possible_truncation)]
        while value >= 0x80 {
            bytes[length] = value as u8 | 0x80;
            length += 1;
            value >>= 7;
        }
        #[allow(clippy::cast_possible_truncation)]
        {
            bytes[length] = value as u8;
        }
        self.put(&bytes[..=length]);
    }

    fn tag(&mut self, number: u32, wire: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire));
    }

    /// Puts a field that is a varint.
    pub fn number(&mut self, number: u32, value: u64) {
        self.varint(value);
        self.tag(number, wire::VARINT);
    }

    /// Puts a field that is a double.
    pub fn double(&mut self, number: u32, value: f64) {
        self.put(&value.to_le_bytes());
        self.tag(number, wire::FIXED64);
    }

    /// Puts a field that is bytes.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.put(bytes);
        self.close(number, self.len() - bytes.len());
    }

    /// Makes what was written since `length` was the length a field.
    pub fn close(&mut self, number: u32, length: usize) {
        self.varint((self.len() - length) as u64);
        self.tag(number, wire::BYTES);
    }
}
