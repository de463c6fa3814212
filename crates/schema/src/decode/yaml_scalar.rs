//! What a YAML scalar means, by the rules of go-yaml 2 (mostly YAML 1.1).

use sampan_model::{Str, Value};

/// The value of a scalar. Only plain ones are anything but strings.
pub(super) fn resolve(text: &str, plain: bool, tag: Option<&str>) -> Value {
    match tag {
        Some("str" | "binary") => return Value::String(text.into()),
        None if !plain => return Value::String(text.into()),
        _ => {}
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::String(text.into()))
}

#[allow(clippy::cast_possible_truncation)]
fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = text.replace('_', "");
    if let Some(int) = integer(&digits) {
        return Some(Value::Int(int));
    }
    if !is_float(&digits) {
        return None;
    }
    let float: f64 = digits.parse().ok()?;
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Some(Value::Int(float as i64));
    }
    Some(Value::Float(float))
}

/// An integer with Go's prefixes; a leading 0 means octal.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let value = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// `[-+]?[0-9]*\.?[0-9]+([eE][-+][0-9]+)?`, and a point at the end.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(i) => (&text[..i], Some(&text[i + 1..])),
        None => (text, None),
    };
    let mut points = 0;
    let mantissa_fits = mantissa.bytes().all(|c| {
        points += usize::from(c == b'.');
        c == b'.' || c.is_ascii_digit()
    });
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or("");
        !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
    });
    mantissa_fits && exponent_fits && points <= 1 && mantissa.bytes().any(|c| c.is_ascii_digit())
}

/// A scalar as a key of a JSON map, and as Go prints it in a complaint.
pub(super) fn key(value: &Value) -> Option<(Str, String)> {
    match value {
        Value::String(text) => Some((text.clone(), sampan_model::field_error::go_quote(text))),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            let text = value.to_json();
            Some((text.as_str().into(), text))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
