//! What of a log is asked for: `PodLogOptions`, as the kubelet reads them from a query.

use jiff::Timestamp;

/// Which output is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Both.
    #[default]
    All,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether what is written later is asked for too.
    pub follow: bool,
    /// Whether it is the log of the container before this one.
    pub previous: bool,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// Only what was written since.
    pub since: Option<Timestamp>,
    /// Only so many of the last lines.
    pub tail_lines: Option<u64>,
    /// Only so many bytes.
    pub limit_bytes: Option<u64>,
    /// Which output.
    pub stream: Stream,
}

/// Why a query says nothing useful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A value cannot be read.
    Decode,
    /// A value may not be.
    Invalid,
}

impl Options {
    /// Reads a query; `now` is what seconds are counted from.
    pub fn parse(query: &str, now: Timestamp) -> Result<Self, Error> {
        let get = |name: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let is_set = |name: &str| get(name).is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"));
        let number =
            |name: &str| get(name).map(|text| text.parse::<i64>()).transpose().map_err(|_| Error::Decode);
        let tail = match get("tail").as_deref() {
            None => number("tailLines")?,
            Some("all") => None,
            Some(text) => Some(text.parse().map_err(|_| Error::Decode)?),
        };
        let seconds = number("sinceSeconds")?;
        let time = get("sinceTime").map(|text| text.parse::<Timestamp>()).transpose();
        let time = time.map_err(|_| Error::Decode)?;
        let limit = number("limitBytes")?;
        let stream = match get("stream").as_deref() {
            None | Some("All") => Stream::All,
            Some("Stdout") => Stream::Stdout,
            Some("Stderr") => Stream::Stderr,
            Some(_) => return Err(Error::Invalid),
        };
        let both = seconds.is_some() && time.is_some();
        let exclusive = stream != Stream::All && tail.is_some();
        if both || exclusive || seconds.is_some_and(|n| n < 1) || limit.is_some_and(|n| n < 1) {
            return Err(Error::Invalid);
        }
        let since = match seconds {
            Some(n) => now.checked_sub(jiff::SignedDuration::from_secs(n)).ok(),
            None => time,
        };
        Ok(Self {
            follow: is_set("follow"),
            previous: is_set("previous"),
            timestamps: is_set("timestamps"),
            since,
            tail_lines: tail.map(|n| u64::try_from(n).map_err(|_| Error::Invalid)).transpose()?,
            limit_bytes: limit.and_then(|n| u64::try_from(n).ok()),
            stream,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_the_query_says() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let minute: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let none = Options::default();
        let rows = [
            ("", Ok(none.clone())),
            (
                "follow=true&timestamps=1&previous=",
                Ok(Options { follow: true, timestamps: true, previous: true, ..none.clone() }),
            ),
            ("follow=false&timestamps=0", Ok(none.clone())),
            ("sinceSeconds=60", Ok(Options { since: Some(minute), ..none.clone() })),
            ("sinceTime=2026-01-01T00:00:00Z", Ok(Options { since: Some(minute), ..none.clone() })),
            (
                "tailLines=0&limitBytes=1",
                Ok(Options { tail_lines: Some(0), limit_bytes: Some(1), ..none.clone() }),
            ),
            ("tail=5", Ok(Options { tail_lines: Some(5), ..none.clone() })),
            ("tail=all&tailLines=3", Ok(none.clone())),
            ("stream=Stderr", Ok(Options { stream: Stream::Stderr, ..none })),
            ("tailLines=x", Err(Error::Decode)),
            ("sinceTime=yesterday", Err(Error::Decode)),
            ("tailLines=-1", Err(Error::Invalid)),
            ("limitBytes=0", Err(Error::Invalid)),
            ("sinceSeconds=0", Err(Error::Invalid)),
            ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", Err(Error::Invalid)),
            ("stream=Stdin", Err(Error::Invalid)),
            ("stream=Stdout&tailLines=1", Err(Error::Invalid)),
        ];
        for (query, want) in rows {
            assert_eq!(Options::parse(query, now), want, "{query}");
        }
    }
}
