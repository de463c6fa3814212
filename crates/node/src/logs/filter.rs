//! What of each line is shown: pure.

use jiff::Timestamp;

use super::line::{self, Line};
use super::{Options, Stream};

/// Shows lines one after another.
pub(super) struct Filter {
    since: Option<Timestamp>,
    timestamps: bool,
    stream: Stream,
    left: Option<u64>,
    in_line: bool,
}

impl Filter {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            since: options.since,
            timestamps: options.timestamps,
            stream: options.stream,
            left: options.limit_bytes,
            in_line: false,
        }
    }

    /// Whether nothing more is shown.
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Appends what is shown of a line. What is none is passed over.
    pub(super) fn show(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(line) = line::parse(bytes).filter(|line| self.is_wanted(line)) else { return };
        let start = out.len();
        if self.timestamps && !self.in_line {
            out.extend_from_slice(line::nine_digits(line.time).as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.in_line = line.partial;
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            out.truncate(start.saturating_add(most));
            *left -= (out.len() - start) as u64;
        }
    }

    fn is_wanted(&self, line: &Line<'_>) -> bool {
        (self.stream == Stream::All || self.stream == line.stream)
            && self.since.is_none_or(|since| line.time.parse::<Timestamp>().is_ok_and(|time| time >= since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-01T00:00:01.5Z stdout F one\n\
        garbage\n\
        2026-01-01T00:00:02Z stderr F two\n\
        2026-01-01T00:00:03Z stdout P thr\n\
        2026-01-01T00:00:03Z stdout F ee\n";

    #[test]
    fn lines_are_shown_as_asked() {
        let time = |text: &str| Some(text.parse().unwrap());
        let none = Options::default();
        let rows = [
            ("everything", none.clone(), "one\ntwo\nthree\n"),
            ("one output", Options { stream: Stream::Stderr, ..none.clone() }, "two\n"),
            ("since", Options { since: time("2026-01-01T00:00:02Z"), ..none.clone() }, "two\nthree\n"),
            ("limited", Options { limit_bytes: Some(6), ..none.clone() }, "one\ntw"),
            (
                "with times, which do not tear a line",
                Options { timestamps: true, ..none.clone() },
                "2026-01-01T00:00:01.500000000Z one\n2026-01-01T00:00:02.000000000Z two\n2026-01-01T00:00:03.000000000Z three\n",
            ),
            (
                "a limit counts times too",
                Options { timestamps: true, limit_bytes: Some(8), ..none },
                "2026-01-",
            ),
        ];
        for (name, options, want) in rows {
            let (mut filter, mut out) = (Filter::new(&options), Vec::new());
            for line in LOG.split_inclusive('\n') {
                if !filter.is_full() {
                    filter.show(line.as_bytes(), &mut out);
                }
            }
            assert_eq!(String::from_utf8(out).unwrap(), want, "{name}");
        }
    }
}
