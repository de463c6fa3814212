//! One line of a log file: `TIME STREAM TAGS TEXT`.

use super::Stream;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// As it is written.
    pub(super) time: &'a str,
    /// Which output it is of.
    pub(super) stream: Stream,
    /// Whether the program's own line goes on in the next one.
    pub(super) partial: bool,
    /// What the program wrote, without the end of its line.
    pub(super) text: &'a [u8],
}

/// Reads a line, with or without its end; `None` when it is none.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(words.next()?).ok().filter(|time| is_time(time))?;
    let stream = match words.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // The first of the tags says it; there are no others yet.
    let partial = words.next()?.split(|byte| *byte == b':').next() == Some(b"P");
    Some(Line { time, stream, partial, text: words.next()? })
}

/// Whether it may be RFC 3339: enough not to take a torn line for one.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes[..19].iter().zip(b"0000-00-00T00:00:00").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

/// The time with nine digits of its second, which is how clients know it.
pub(super) fn nine_digits(time: &str) -> String {
    let (second, rest) = time.split_at(19);
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, zone) = rest.split_at(end);
    format!("{second}.{:0<9}{zone}", &digits[..digits.len().min(9)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let time = "2026-01-01T00:00:00.123456789Z";
        let line =
            |stream, partial, text: &'static str| Some(Line { time, stream, partial, text: text.as_bytes() });
        let rows = [
            ("full", format!("{time} stdout F hello\n"), line(Stream::Stdout, false, "hello")),
            ("partial", format!("{time} stderr P hel\n"), line(Stream::Stderr, true, "hel")),
            ("empty", format!("{time} stdout F \n"), line(Stream::Stdout, false, "")),
            ("spaces", format!("{time} stdout F  a  b \n"), line(Stream::Stdout, false, " a  b ")),
            ("more tags", format!("{time} stdout P:x a\n"), line(Stream::Stdout, true, "a")),
            ("no end", format!("{time} stdout F a"), line(Stream::Stdout, false, "a")),
            ("no tags", format!("{time} stdout\n"), None),
            ("no stream", format!("{time} stdin F a\n"), None),
            ("no time", "yesterday stdout F a\n".to_owned(), None),
            ("nothing", "\n".to_owned(), None),
        ];
        for (name, text, want) in &rows {
            assert_eq!(parse(text.as_bytes()), *want, "{name}");
        }
    }

    #[test]
    fn times_have_nine_digits() {
        let rows = [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000000Z"),
            ("2026-01-01T00:00:00.5+02:00", "2026-01-01T00:00:00.500000000+02:00"),
            ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123456789Z"),
        ];
        for (time, want) in rows {
            assert_eq!(nine_digits(time), want);
        }
    }
}
