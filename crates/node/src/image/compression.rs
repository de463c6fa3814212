//! Compressed streams by their first bytes, whatever a media type says: gzip, zstd, or neither. Nothing is read ahead of need.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd's frames without content: 0x184D2A50 to 0x184D2A5F.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// A stream, decompressed.
pub(crate) fn open<'a>(mut source: impl BufRead + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let start = source.fill_buf()?;
    let skippable =
        start.first().is_some_and(|first| first & 0xf0 == 0x50) && start[1..].starts_with(&ZSTD_SKIPPABLE);
    Ok(if start.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(source))
    } else if start.starts_with(&ZSTD) || skippable {
        Box::new(Zstd { source, decoder: FrameDecoder::new(), inside: false })
    } else {
        Box::new(source)
    })
}

/// zstd, one frame after the other. Memory: one frame's window, at most 128 MiB; a frame that wants more is an error.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Goes to the next frame with content; `false` at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut content = (&mut self.source).take(length.into());
                    if io::copy(&mut content, &mut io::sink())? < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.inside {
                while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
                }
                let read = self.decoder.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
                self.inside = false;
            }
            if !self.next_frame()? {
                return Ok(0);
            }
            self.inside = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    #[test]
    fn streams_are_known_by_their_first_bytes() {
        let text = "a layer ".repeat(100_000).into_bytes();
        let (first, second) = text.split_at(300_000);
        // As zstd:chunked writes its table of contents.
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let rows = [
            ("plain", text.clone()),
            ("gzip", gzip(&text)),
            ("two members of gzip", [gzip(first), gzip(second)].concat()),
            ("zstd", zstd(&text)),
            ("two frames of zstd", [zstd(first), zstd(second)].concat()),
            (
                "frames without content",
                [&skipped[..], &zstd(first), &skipped, &zstd(second), &skipped].concat(),
            ),
        ];
        for (name, compressed) in rows {
            let mut got = Vec::new();
            open(io::BufReader::with_capacity(7, &compressed[..])).unwrap().read_to_end(&mut got).unwrap();
            assert!(got == text, "{name}: {} bytes", got.len());
        }
        let mut nothing = Vec::new();
        open(&b""[..]).unwrap().read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error_and_no_end() {
        let text = "a layer ".repeat(10_000).into_bytes();
        for (name, whole) in [("gzip", gzip(&text)), ("zstd", zstd(&text))] {
            let broken = &whole[..whole.len() - 9];
            let outcome = open(broken).and_then(|mut stream| io::copy(&mut stream, &mut io::sink()));
            assert!(outcome.is_err(), "{name}");
        }
    }
}
