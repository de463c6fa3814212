//! Fields that hold a number or a string, which is a percentage or the name of a port.

use crate::field_error::go_quote;
use crate::name::{is_non_negative, is_valid_percent, is_valid_port_name, is_valid_port_num};
use crate::{FieldError, FieldPath, Value};

/// Why a value is no number and no percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A string without a percent sign.
    #[error("invalid value for IntOrString: invalid type: string is not a percentage")]
    NotAPercentage,
    /// A percent sign after something that is no number.
    #[error("invalid value for IntOrString: invalid value {}: strconv.Atoi: parsing {}: {reason}", go_quote(.text), go_quote(.number))]
    NotANumber {
        /// The whole string.
        text: String,
        /// Without its percent sign.
        number: String,
        /// `invalid syntax` or `value out of range`.
        reason: &'static str,
    },
    /// Neither a number nor a string.
    #[error("invalid value for IntOrString: invalid type: neither int nor percentage")]
    WrongType,
}

/// A number if `text` is one, else a string.
pub fn parse(text: &str) -> Value {
    text.parse::<i32>().map_or_else(|_| text.into(), Value::from)
}

/// The number, and whether it is a percentage.
pub fn number_or_percent(value: &Value) -> Result<(i64, bool), Error> {
    match value {
        Value::Int(number) => Ok((*number, false)),
        Value::String(text) => {
            let number = text.strip_suffix('%').ok_or(Error::NotAPercentage)?;
            number.parse().map(|n| (n, true)).map_err(|e: std::num::ParseIntError| {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                let too_large = matches!(e.kind(), PosOverflow | NegOverflow);
                let reason = if too_large { "value out of range" } else { "invalid syntax" };
                Error::NotANumber { text: text.to_string(), number: number.to_owned(), reason }
            })
        }
        _ => Err(Error::WrongType),
    }
}

/// The number, or that percentage of `total`, rounded up or down.
pub fn scaled_value(value: &Value, total: i64, round_up: bool) -> Result<i64, Error> {
    let (number, is_percent) = number_or_percent(value)?;
    if !is_percent {
        return Ok(number);
    }
    let product = i128::from(number) * i128::from(total);
    let floor = product.div_euclid(100);
    let scaled = floor + i128::from(round_up && product.rem_euclid(100) != 0);
    let end = if scaled < 0 { i64::MIN } else { i64::MAX };
    Ok(i64::try_from(scaled).unwrap_or(end))
}

/// The percentage, if the value is a well-formed one.
pub fn percent(value: &Value) -> Option<i64> {
    let text = value.as_str()?;
    if !is_valid_percent(text).is_empty() {
        return None;
    }
    text.strip_suffix('%')?.parse().ok()
}

/// Checks that a value is a number that is not negative, or a percentage.
pub fn validate_non_negative_int_or_percent(value: &Value, path: &FieldPath) -> Vec<FieldError> {
    let complaints = match value {
        Value::String(text) => is_valid_percent(text),
        Value::Int(number) => is_non_negative(*number),
        // The doubled percent sign is upstream's.
        _ => vec!["must be an integer or percentage (e.g '5%%')".to_owned()],
    };
    complaints.into_iter().map(|c| FieldError::invalid(path, value.clone(), c)).collect()
}

/// Checks that a percentage is not above 100.
pub fn validate_not_more_than_100_percent(value: &Value, path: &FieldPath) -> Vec<FieldError> {
    if percent(value).is_none_or(|p| p <= 100) {
        return Vec::new();
    }
    vec![FieldError::invalid(path, value.clone(), "must not be greater than 100%")]
}

/// Checks that a value is the number or the name of a port.
pub fn validate_port_num_or_name(value: &Value, path: &FieldPath) -> Vec<FieldError> {
    let complaints = match value {
        Value::String(name) => is_valid_port_name(name),
        Value::Int(number) => is_valid_port_num(*number),
        other => return vec![FieldError::internal(path, format!("unknown type: {}", other.type_name()))],
    };
    complaints.into_iter().map(|c| FieldError::invalid(path, value.clone(), c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_scaled_and_rounded() {
        let rows = [
            (Value::from(3), 10, true, 3),
            ("25%".into(), 10, true, 3),
            ("25%".into(), 10, false, 2),
            ("100%".into(), 7, false, 7),
            ("0%".into(), 7, true, 0),
            ("-25%".into(), 10, true, -2),
        ];
        for (value, total, round_up, want) in rows {
            assert_eq!(scaled_value(&value, total, round_up), Ok(want), "{value:?} of {total}");
        }
    }

    #[test]
    fn what_is_no_percentage_is_refused_with_upstreams_sentence() {
        let rows = [
            (Value::from("x"), "invalid value for IntOrString: invalid type: string is not a percentage"),
            (
                "x%".into(),
                "invalid value for IntOrString: invalid value \"x%\": strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (Value::Null, "invalid value for IntOrString: invalid type: neither int nor percentage"),
        ];
        for (value, want) in rows {
            assert_eq!(scaled_value(&value, 1, true).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn values_are_checked_with_upstreams_sentences() {
        type Check = fn(&Value, &FieldPath) -> Vec<FieldError>;
        let rows: [(Check, Value, &str); 9] = [
            (validate_non_negative_int_or_percent, "5%".into(), ""),
            (validate_non_negative_int_or_percent, 0.into(), ""),
            (
                validate_non_negative_int_or_percent,
                Value::from(-1),
                "f: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                validate_non_negative_int_or_percent,
                "5".into(),
                "f: Invalid value: \"5\": a valid percent string must be a numeric string followed by an ending '%' \
                 (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ),
            (
                validate_non_negative_int_or_percent,
                Value::Bool(true),
                "f: Invalid value: true: must be an integer or percentage (e.g '5%%')",
            ),
            (
                validate_not_more_than_100_percent,
                "101%".into(),
                "f: Invalid value: \"101%\": must not be greater than 100%",
            ),
            (validate_not_more_than_100_percent, 200.into(), ""),
            (
                validate_port_num_or_name,
                Value::from(0),
                "f: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (validate_port_num_or_name, "http".into(), ""),
        ];
        for (check, value, want) in rows {
            let got: Vec<_> = check(&value, &FieldPath::field("f")).iter().map(ToString::to_string).collect();
            assert_eq!(got.join("|"), want, "{value:?}");
        }
    }

    #[test]
    fn a_text_that_is_a_number_becomes_one() {
        assert_eq!(parse("80"), Value::Int(80));
        assert_eq!(parse("http"), Value::from("http"));
        assert_eq!(parse("3000000000"), Value::from("3000000000"));
    }
}
