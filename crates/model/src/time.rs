//! Points in time and durations as the API writes them. No clock is read here: time is an argument.

mod duration;
mod rfc3339;

use jiff::Timestamp;

pub use duration::{
    ParseDurationError, format_go_duration, human_duration, parse_go_duration, short_human_duration,
};
pub use rfc3339::{ParseTimeError, parse_micro_time, parse_time};

/// A `metav1.Time`: whole seconds in UTC.
pub fn format_time(time: Timestamp) -> String {
    with_fraction(time, "")
}

/// A `metav1.MicroTime`: UTC with six digits after the seconds.
pub fn format_micro_time(time: Timestamp) -> String {
    let micros = time.as_nanosecond().rem_euclid(1_000_000_000) / 1000;
    with_fraction(time, &format!(".{micros:06}"))
}

fn with_fraction(time: Timestamp, fraction: &str) -> String {
    let t = jiff::tz::Offset::UTC.to_datetime(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// How long ago `then` was, as the AGE column shows it; `<unknown>` when there is no such time.
pub fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| "<unknown>".to_owned(), |then| human_duration(now.duration_since(then)))
}

#[cfg(test)]
mod tests;
