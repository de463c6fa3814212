//! Reading times, with the sentences of Go's `time.Parse`.

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::field_error::go_quote;

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseTimeError(String);

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Reads a `metav1.Time`. A fraction of the second is allowed, and kept.
pub fn parse_time(text: &str) -> Result<Timestamp, ParseTimeError> {
    Parser { text, rest: text, layout: SECONDS }.time(false)
}

/// Reads a `metav1.MicroTime`, which has exactly six digits after the seconds.
pub fn parse_micro_time(text: &str) -> Result<Timestamp, ParseTimeError> {
    Parser { text, rest: text, layout: MICROS }.time(true)
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl Parser<'_> {
    fn cannot_parse(&self, rest: &str, element: &str) -> ParseTimeError {
        let (text, rest) = (go_quote(self.text), go_quote(rest));
        ParseTimeError(format!(
            "parsing time {text} as \"{}\": cannot parse {rest} as \"{element}\"",
            self.layout
        ))
    }

    fn wrong(&self, what: &str) -> ParseTimeError {
        ParseTimeError(format!("parsing time {}: {what}", go_quote(self.text)))
    }

    fn out_of_range(&self, element: &str) -> ParseTimeError {
        self.wrong(&format!("{element} out of range"))
    }

    /// The number in the next `length` digits.
    fn number(&mut self, length: usize, element: &str) -> Result<u16, ParseTimeError> {
        let digits = self.rest.get(..length).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|d| d.parse().ok());
        let number = number.ok_or_else(|| self.cannot_parse(self.rest, element))?;
        self.rest = &self.rest[length..];
        Ok(number)
    }

    fn literal(&mut self, literal: &str) -> Result<(), ParseTimeError> {
        let rest = self.rest.strip_prefix(literal);
        self.rest = rest.ok_or_else(|| self.cannot_parse(self.rest, literal))?;
        Ok(())
    }

    fn bounded(&mut self, element: &str, name: &str, end: u16) -> Result<i8, ParseTimeError> {
        let number = self.number(2, element)?;
        let number = i8::try_from(number).ok().filter(|_| number < end);
        number.ok_or_else(|| self.out_of_range(name))
    }

    fn time(mut self, micros: bool) -> Result<Timestamp, ParseTimeError> {
        let year = self.number(4, "2006")?.cast_signed();
        self.literal("-")?;
        let month = self.bounded("01", "month", 13)?;
        if month == 0 {
            return Err(self.out_of_range("month"));
        }
        self.literal("-")?;
        let day = self.bounded("02", "day", 100)?;
        self.literal("T")?;
        let hour = self.hour()?;
        self.literal(":")?;
        let minute = self.bounded("04", "minute", 60)?;
        self.literal(":")?;
        let second = self.bounded("05", "second", 60)?;
        let nanosecond = self.fraction(micros)?;
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(self.wrong(&format!("extra text: {}", go_quote(self.rest))));
        }
        let time = DateTime::new(year, month, day, hour, minute, second, nanosecond)
            .map_err(|_| self.out_of_range("day"))?;
        let time = jiff::tz::Offset::UTC.to_timestamp(time).map_err(|_| self.out_of_range("year"))?;
        time.checked_sub(jiff::SignedDuration::from_secs(offset)).map_err(|_| self.out_of_range("year"))
    }

    /// Go lets the hour have one digit.
    fn hour(&mut self) -> Result<i8, ParseTimeError> {
        let digits = if self.rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) { 2 } else { 1 };
        let hour = self.number(digits, "15")?;
        let hour = i8::try_from(hour).ok().filter(|hour| *hour < 24);
        hour.ok_or_else(|| self.out_of_range("hour"))
    }

    fn fraction(&mut self, micros: bool) -> Result<i32, ParseTimeError> {
        let start = self.rest;
        let digits = start.strip_prefix(['.', ',']).unwrap_or("");
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if micros && count < 6 {
            return Err(self.cannot_parse(start, ".000000"));
        }
        let count = if micros { 6 } else { count };
        if count == 0 {
            return Ok(0);
        }
        self.rest = &digits[count..];
        let kept = &digits[..count.min(9)];
        Ok(format!("{kept:0<9}").parse().unwrap_or(0))
    }

    /// Seconds east of Greenwich.
    fn offset(&mut self) -> Result<i64, ParseTimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let start = self.rest;
        let bad = |parser: &Self| parser.cannot_parse(start, "Z07:00");
        let sign = match start.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(bad(self)),
        };
        self.rest = &start[1..];
        let hours = self.number(2, "").map_err(|_| bad(self))?;
        self.literal(":").map_err(|_| bad(self))?;
        let minutes = self.number(2, "").map_err(|_| bad(self))?;
        if hours > 24 {
            return Err(self.out_of_range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.out_of_range("time zone offset minute"));
        }
        Ok(sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
    }
}
