//! RFC 3339 times in the normal forms of `metav1.Time` (whole seconds, UTC) and `metav1.MicroTime`.

use sampan_model::Value;

/// A moment: seconds since 1970 and microseconds.
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    pub(crate) micros: u32,
}

/// The years that RFC 3339 can write, in seconds since 1970.
const WRITABLE: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

impl Moment {
    /// The form of `metav1.Time`; `None` for a year that RFC 3339 cannot write.
    pub(crate) fn in_seconds(&self) -> Option<String> {
        WRITABLE.contains(&self.seconds).then(|| format!("{}Z", civil(self.seconds)))
    }

    /// The form of `metav1.MicroTime`; `None` for a year that RFC 3339 cannot write.
    pub(crate) fn in_micros(&self) -> Option<String> {
        WRITABLE.contains(&self.seconds).then(|| format!("{}.{:06}Z", civil(self.seconds), self.micros))
    }
}

/// The form of `metav1.Time`.
pub(super) fn seconds(text: &str) -> Result<Value, String> {
    if is_normal(text.as_bytes()) {
        return Ok(Value::String(text.into()));
    }
    let moment = parse(text).ok_or_else(|| refusal(text, "2006-01-02T15:04:05Z07:00"))?;
    Ok(Value::String(format!("{}Z", civil(moment.seconds)).into()))
}

/// The form of `metav1.MicroTime`.
pub(super) fn micros(text: &str) -> Result<Value, String> {
    let moment = parse(text).ok_or_else(|| refusal(text, "2006-01-02T15:04:05.000000Z07:00"))?;
    Ok(Value::String(format!("{}.{:06}Z", civil(moment.seconds), moment.micros).into()))
}

fn refusal(text: &str, layout: &str) -> String {
    format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\"")
}

/// Whether the text is in the normal form already.
fn is_normal(text: &[u8]) -> bool {
    text.len() == 20 && text[19] == b'Z' && text[10] == b'T' && parse_civil(text).is_some()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |sum: i64, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Seconds since 1970 of `YYYY-MM-DDThh:mm:ss`.
fn parse_civil(text: &[u8]) -> Option<i64> {
    if text.len() < 19 || text[4] != b'-' || text[7] != b'-' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    if !matches!(text[10], b'T' | b't') {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970 by the 400-year cycle that begins on 1 March.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// The moment that an RFC 3339 text means.
pub(crate) fn parse(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let mut seconds = parse_civil(bytes)?;
    let mut rest = &bytes[19..];
    let mut micros: u32 = 0;
    if let [b'.' | b',', digits @ ..] = rest {
        let count = digits.iter().take_while(|d| d.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let padded = digits[..count].iter().copied().chain(std::iter::repeat(b'0'));
        micros = padded.take(6).fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        rest = &digits[count..];
    }
    match rest {
        [b'Z' | b'z'] => {}
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            seconds += if *sign == b'+' { -offset } else { offset };
        }
        _ => return None,
    }
    Some(Moment { seconds, micros })
}

/// `YYYY-MM-DDThh:mm:ss` of seconds since 1970.
fn civil(seconds: i64) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Whether the text is a time.
pub(crate) fn is_rfc3339(text: &str) -> bool {
    parse(text).is_some()
}

/// Seconds since 1970, for whoever orders times.
pub(crate) fn unix_seconds(text: &str) -> i64 {
    parse(text).map_or(0, |moment| moment.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_their_normal_form() {
        let rows = [
            ("2001-01-01T00:00:00Z", Some("2001-01-01T00:00:00Z")),
            ("2001-01-01T00:00:00.999Z", Some("2001-01-01T00:00:00Z")),
            ("2024-03-01T00:30:00+01:00", Some("2024-02-29T23:30:00Z")),
            ("1969-12-31T23:59:59-00:30", Some("1970-01-01T00:29:59Z")),
            ("2001-02-29T00:00:00Z", None),
            ("2001-01-01", None),
            ("2001-01-01T00:00:00", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(seconds(text).ok().as_ref().and_then(Value::as_str), want, "{text}");
        }
        assert_eq!(micros("2001-01-01T00:00:00.12Z").unwrap().as_str(), Some("2001-01-01T00:00:00.120000Z"));
        assert_eq!(unix_seconds("1970-01-02T00:00:00Z"), 86_400);
    }
}
