//! Durations: as tables show them, and as Go writes and reads them (`1h2m3.5s`).

use std::fmt::Write;

use jiff::SignedDuration;

use crate::field_error::go_quote;

/// A duration in two significant units, as tables show ages: `5m30s`, `3h`, `2d4h`.
pub fn human_duration(duration: SignedDuration) -> String {
    // Up to two seconds in the future are the clocks' disagreement.
    let seconds = duration.as_secs();
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    if seconds < 0 {
        return "0s".to_owned();
    }
    let pair = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match () {
        () if seconds < 60 * 2 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 60 * 3 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 24 * 8 => pair(days, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{days}d"),
        () if hours < 24 * 365 * 8 => pair(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

/// A duration in one unit.
pub fn short_human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// Why a text is no duration; the sentences are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// It does not look like one, or is too long.
    #[error("time: invalid duration {}", go_quote(.0))]
    Invalid(String),
    /// A number has no unit.
    #[error("time: missing unit in duration {}", go_quote(.0))]
    MissingUnit(String),
    /// A unit does not exist.
    #[error("time: unknown unit {} in duration {}", go_quote(.unit), go_quote(.text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

fn unit_nanos(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Reads what Go's `time.ParseDuration` reads: `300ms`, `-1.5h`, `2h45m`.
pub fn parse_go_duration(text: &str) -> Result<SignedDuration, ParseDurationError> {
    let invalid = || ParseDurationError::Invalid(text.to_owned());
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let (unit, after) =
            after.split_at(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()));
        if unit.is_empty() {
            return Err(ParseDurationError::MissingUnit(text.to_owned()));
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let nanos = unit_nanos(unit).ok_or_else(|| ParseDurationError::UnknownUnit {
            unit: unit.to_owned(),
            text: text.to_owned(),
        })?;
        total += i128::from(whole) * nanos;
        let fraction = &fraction[..fraction.len().min(18)];
        if !fraction.is_empty() {
            let power = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| invalid())?);
            total += fraction.parse::<i128>().map_err(|_| invalid())? * nanos / power;
        }
        rest = after;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map(SignedDuration::from_nanos).map_err(|_| invalid())
}

/// As Go's `time.Duration` writes itself: `1h0m0s`, `1.5s`, `100ms`, `0s`.
pub fn format_go_duration(duration: SignedDuration) -> String {
    let nanos = duration.as_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let mut out = sign.to_owned();
    match nanos {
        0 => out.push_str("0s"),
        1..1_000 => _ = write!(out, "{nanos}ns"),
        1_000..1_000_000 => write_fraction(&mut out, nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => write_fraction(&mut out, nanos, 1_000_000, "ms"),
        _ => {
            let minutes = nanos / 60_000_000_000;
            if minutes >= 60 {
                _ = write!(out, "{}h", minutes / 60);
            }
            if minutes > 0 {
                _ = write!(out, "{}m", minutes % 60);
            }
            write_fraction(&mut out, nanos % 60_000_000_000, 1_000_000_000, "s");
        }
    }
    out
}

fn write_fraction(out: &mut String, nanos: u128, unit: u128, name: &str) {
    let width = unit.ilog10() as usize;
    let digits = format!("{:0width$}", nanos % unit);
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    _ = write!(out, "{}{point}{digits}{name}", nanos / unit);
}
