//! Where the last lines of a file begin.

use std::io::{self, Read, Seek, SeekFrom};

/// How much is read at once, from the end.
const BLOCK_BYTES: u64 = 16 * 1024;

/// The offset of the last `lines` lines.
pub(super) fn start(file: &mut (impl Read + Seek), lines: u64) -> io::Result<u64> {
    let size = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(size);
    }
    let (mut end, mut ends) = (size, 0);
    let mut block = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK_BYTES);
        block.resize(usize::try_from(end - begin).map_err(io::Error::other)?, 0);
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            ends += 1;
            // The end of the line before those.
            if ends > lines {
                return Ok(begin + at as u64 + 1);
            }
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_last_lines_are_found() {
        let long = format!("{}\nb\nc\n", "a".repeat(40_000));
        let rows = [
            ("none of nothing", "", 1, ""),
            ("none", "a\nb\n", 0, ""),
            ("one", "a\nb\nc\n", 1, "c\n"),
            ("two", "a\nb\nc\n", 2, "b\nc\n"),
            ("as many as there are", "a\nb\n", 2, "a\nb\n"),
            ("more than there are", "a\nb\n", 9, "a\nb\n"),
            ("empty lines", "a\n\n\n", 2, "\n\n"),
            ("over blocks", &long, 2, "b\nc\n"),
            ("a long one", &long, 3, &long),
        ];
        for (name, text, lines, want) in rows {
            let at = start(&mut Cursor::new(text), lines).unwrap();
            assert_eq!(&text[usize::try_from(at).unwrap()..], want, "{name}");
        }
    }
}
