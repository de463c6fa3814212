//! Headers of SPDY/3.1 streams: names and values, compressed with a dictionary that both sides know.
//!
//! What is read is inflated; what is written is put into the compressed format's stored blocks, which need neither dictionary nor
//! state: an answer's headers are a few bytes, and a deflater for each connection would take a quarter of a megabyte.

use bytes::{BufMut as _, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::frame::Error;

/// Most bytes of the headers of one stream, inflated.
pub const MAX_BYTES: usize = 64 * 1024;

/// Words of the dictionary that are preceded by their length, in order.
const WORDS: &str = "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|\
allow|authorization|cache-control|connection|content-base|content-encoding|content-language|content-length|content-location|\
content-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|\
if-unmodified-since|last-modified|location|max-forwards|pragma|proxy-authenticate|proxy-authorization|range|referer|retry-after|\
server|te|trailer|transfer-encoding|upgrade|user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|\
url|public|set-cookie|keep-alive|origin";

/// The rest of it.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found\
500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,\
text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The dictionary of the protocol.
fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split('|') {
        bytes.put_u32(u32::try_from(word.len()).unwrap_or(u32::MAX));
        bytes.put_slice(word.as_bytes());
    }
    bytes.put_slice(TAIL.as_bytes());
    bytes
}

/// Names (in lower case) and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Headers of pairs.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect())
    }

    fn parse(mut block: &[u8]) -> Result<Self, Error> {
        let count = take_length(&mut block)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let mut text = || {
                let length = take_length(&mut block)?;
                let (text, rest) = block.split_at_checked(length).ok_or(Error::Headers)?;
                block = rest;
                std::str::from_utf8(text).map(str::to_owned).map_err(|_| Error::Headers)
            };
            headers.push((text()?, text()?));
        }
        if block.is_empty() { Ok(Self(headers)) } else { Err(Error::Headers) }
    }

    fn write(&self) -> Vec<u8> {
        let mut block = Vec::new();
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        block.put_u32(length(self.0.len()));
        for (name, value) in &self.0 {
            for text in [name, value] {
                block.put_u32(length(text.len()));
                block.put_slice(text.as_bytes());
            }
        }
        block
    }
}

fn take_length(block: &mut &[u8]) -> Result<usize, Error> {
    let (length, rest) = block.split_first_chunk::<4>().ok_or(Error::Headers)?;
    *block = rest;
    usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Error::Headers)
}

/// Inflates the header blocks of one direction, one after another.
pub struct Inflater {
    raw: Decompress,
    begun: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { raw: Decompress::new(false), begun: false }
    }
}

impl Inflater {
    /// The headers in the next block.
    pub fn headers(&mut self, block: &[u8]) -> Result<Headers, Error> {
        let block = if self.begun { block } else { self.begin(block)? };
        Headers::parse(&self.inflate(block)?)
    }

    /// Reads the two bytes with which the compressed stream begins, and which dictionary it takes, if any.
    fn begin<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], Error> {
        let (&[method, flags], rest) = block.split_first_chunk::<2>().ok_or(Error::Headers)?;
        if method & 0x0f != 8 || u16::from_be_bytes([method, flags]) % 31 != 0 {
            return Err(Error::Headers);
        }
        self.begun = true;
        if flags & 0x20 == 0 {
            return Ok(rest);
        }
        let (sum, rest) = rest.split_first_chunk::<4>().ok_or(Error::Headers)?;
        if *sum != [0xe3, 0xc6, 0xa7, 0xc2] {
            return Err(Error::Headers);
        }
        // The library knows dictionaries only with another implementation behind it. A stored block that holds the
        // dictionary puts it where references to it look for it.
        let dictionary = dictionary();
        let mut primer = Vec::with_capacity(dictionary.len() + 5);
        stored(&dictionary, &mut primer);
        self.inflate(&primer)?;
        Ok(rest)
    }

    fn inflate(&mut self, mut input: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(1024);
        loop {
            if out.len() == out.capacity() {
                if out.len() >= MAX_BYTES {
                    return Err(Error::TooLong);
                }
                out.reserve(out.len());
            }
            let before = self.raw.total_in();
            let status = self.raw.decompress_vec(input, &mut out, FlushDecompress::Sync);
            let read = usize::try_from(self.raw.total_in() - before).map_err(|_| Error::Headers)?;
            input = &input[read..];
            match status {
                Ok(Status::StreamEnd) | Err(_) => return Err(Error::Headers),
                Ok(_) if input.is_empty() && out.len() < out.capacity() => return Ok(out),
                Ok(Status::BufError) if read == 0 && out.len() < out.capacity() => {
                    return Err(Error::Headers);
                }
                Ok(_) => {}
            }
        }
    }
}

/// Writes the header blocks of one direction, one after another.
#[derive(Default)]
pub struct Deflater {
    begun: bool,
}

impl Deflater {
    /// Appends the block of these headers.
    pub fn append(&mut self, headers: &Headers, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.begun, true) {
            out.put_slice(&[0x78, 0x01]);
        }
        let mut blocks = Vec::new();
        headers.write().chunks(usize::from(u16::MAX)).for_each(|chunk| stored(chunk, &mut blocks));
        // An empty block is what a flush leaves behind it. Go's reader hands on what it has read when it sees one; without it, it
        // looks for the next block in the same frame, and reads no further headers on this connection.
        stored(&[], &mut blocks);
        out.put_slice(&blocks);
    }
}

/// A stored block (RFC 1951, 3.2.4) that is not the last.
fn stored(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("a stored block is cut to its greatest length");
    out.push(0);
    out.put_u16_le(length);
    out.put_u16_le(!length);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn blocks_of_another_implementation_are_read() {
        // Written by zlib at its best compression, with the dictionary, flushed after each block.
        let rows = [
            (
                "78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff",
                Headers::of(&[("streamtype", "error")]),
            ),
            (
                "02a5474ca9e21260768194d845e0cc6161606100a4398b20319c094af98c0600000000ffff",
                Headers::of(&[("streamtype", "stdin"), ("port", "8080"), ("requestid", "0")]),
            ),
            ("02120c00000000ffff", Headers::default()),
        ];
        let mut inflater = Inflater::default();
        for (hex, want) in rows {
            assert_eq!(inflater.headers(&bytes(hex)), Ok(want), "{hex}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let rows = [
            ("nothing", ""),
            ("no zlib", "0000000000"),
            ("another dictionary", "78bb00000000"),
            ("not deflated", "78019f0000"),
            ("a stored block cut short", "780100080011ff0000"),
            ("a length beyond the block", "7801000800f7ff00000001000000ff"),
            ("more than it says", "7801000800f7ff0000000000000000"),
        ];
        for (name, hex) in rows {
            assert_eq!(Inflater::default().headers(&bytes(hex)), Err(Error::Headers), "{name}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_ends_as_a_flush_does() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        for headers in
            [Headers::default(), Headers::of(&[("port", "80")]), Headers::of(&[("a", &"b".repeat(40_000))])]
        {
            let mut block = BytesMut::new();
            deflater.append(&headers, &mut block);
            assert!(block.ends_with(&[0, 0, 0, 0xff, 0xff]), "{block:x}");
            assert_eq!(inflater.headers(&block), Ok(headers));
        }
    }

    #[test]
    fn what_inflates_without_end_is_cut_off() {
        let mut deflated = flate2::Compress::new(flate2::Compression::best(), true);
        let mut block = Vec::with_capacity(64 * 1024);
        let zeros = vec![0; 16 << 20];
        deflated.compress_vec(&zeros, &mut block, flate2::FlushCompress::Sync).unwrap();
        assert!(block.len() < 64 * 1024, "{}", block.len());
        assert_eq!(Inflater::default().headers(&block), Err(Error::TooLong));
    }
}
