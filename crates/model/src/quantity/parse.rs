//! Reading a quantity.

use std::borrow::Cow;
use std::str::FromStr;

use super::{Format, Quantity, divide_up};
use crate::Value;

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It does not look like one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// Its number is none.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// Its suffix is none.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The parts of the text. `integer` has no leading zeros, and may be empty.
struct Parts<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    suffix: &'a str,
    has_digits: bool,
}

enum Unit {
    Decimal(i32, Format),
    Binary(u32),
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

fn split(text: &str) -> Result<Parts<'_>, ParseError> {
    if text.is_empty() {
        return Err(ParseError::Format);
    }
    let negative = text.starts_with('-');
    let unsigned = if negative { &text[1..] } else { text.strip_prefix('+').unwrap_or(text) };
    let (integer, mut rest) = digits(unsigned);
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = digits(after);
    }
    let letters = rest.bytes().position(|b| !b"eEinumkKMGTP".contains(&b)).unwrap_or(rest.len());
    let exponent = &rest[letters..];
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::Format);
    }
    Ok(Parts {
        negative,
        integer: integer.trim_start_matches('0'),
        fraction,
        suffix: rest,
        has_digits: !(integer.is_empty() && fraction.is_empty()),
    })
}

fn unit(suffix: &str) -> Result<Unit, ParseError> {
    let si = |exponent| Ok(Unit::Decimal(exponent, Format::DecimalSi));
    match suffix {
        "n" => si(-9),
        "u" => si(-6),
        "m" => si(-3),
        "" => si(0),
        "k" => si(3),
        "M" => si(6),
        "G" => si(9),
        "T" => si(12),
        "P" => si(15),
        "E" => si(18),
        "Ki" => Ok(Unit::Binary(10)),
        "Mi" => Ok(Unit::Binary(20)),
        "Gi" => Ok(Unit::Binary(30)),
        "Ti" => Ok(Unit::Binary(40)),
        "Pi" => Ok(Unit::Binary(50)),
        "Ei" => Ok(Unit::Binary(60)),
        _ => suffix
            .strip_prefix(['e', 'E'])
            .and_then(|exponent| exponent.parse().ok())
            .map(|exponent| Unit::Decimal(exponent, Format::DecimalExponent))
            .ok_or(ParseError::Suffix),
    }
}

impl Parts<'_> {
    fn quantity(&self) -> Result<Quantity, ParseError> {
        let unit = unit(self.suffix)?;
        let (mut mantissa, mut scale) = self.mantissa();
        let format = match unit {
            Unit::Decimal(exponent, format) => {
                if !self.has_digits && exponent < super::NANO {
                    return Err(ParseError::Numeric);
                }
                scale += i64::from(exponent);
                format
            }
            Unit::Binary(bits) => {
                if !self.has_digits && bits > 0 && !self.fraction.is_empty() {
                    return Err(ParseError::Numeric);
                }
                let mut product = mantissa.checked_mul(1 << bits);
                while product.is_none() && scale < 0 {
                    mantissa = divide_up(mantissa, 10);
                    scale += 1;
                    product = mantissa.checked_mul(1 << bits);
                }
                mantissa = product.unwrap_or(i128::from(i64::MAX) + 1);
                Format::BinarySi
            }
        };
        if scale < super::NANO.into() {
            mantissa = super::drop_digits(mantissa, i64::from(super::NANO) - scale);
            scale = super::NANO.into();
        }
        let scale = i32::try_from(scale).map_err(|_| ParseError::Suffix)?;
        let mut quantity = Quantity::bounded(mantissa, scale, format);
        if format == Format::BinarySi {
            quantity = quantity.min(Quantity::from_bytes(i64::MAX));
            if !quantity.is_zero() && quantity < Quantity::from_int(1) {
                quantity.format = Format::DecimalSi;
            }
        }
        Ok(if self.negative { -quantity } else { quantity })
    }

    /// The digits as a number; those beyond 36 are rounded up into the scale.
    fn mantissa(&self) -> (i128, i64) {
        let (mut mantissa, mut dropped, mut rounds) = (0_i128, 0, false);
        for digit in self.integer.bytes().chain(self.fraction.bytes()).map(|b| b - b'0') {
            if dropped == 0 && mantissa < super::MANTISSA_LIMIT / 10 {
                mantissa = mantissa * 10 + i128::from(digit);
            } else {
                dropped += 1;
                rounds |= digit != 0;
            }
        }
        let fraction = i64::try_from(self.fraction.len()).unwrap_or(i64::MAX / 2);
        (mantissa + i128::from(rounds), dropped - fraction)
    }

    /// Whether upstream keeps the text as it was written, though it be not canonical: `1.234`, `+1`, `007`.
    fn is_kept(&self) -> bool {
        let length = self.integer.len().max(1) + self.fraction.len();
        match unit(self.suffix) {
            Ok(Unit::Decimal(exponent, _)) => {
                let scale = i64::from(exponent) - i64::try_from(self.fraction.len()).unwrap_or(i64::MAX);
                let mut end = self.integer.bytes().chain(self.fraction.bytes()).rev();
                let thousands = length >= 3 && (0..3).all(|_| end.next() == Some(b'0'));
                length <= 18
                    && scale >= super::NANO.into()
                    && scale % 3 == 0
                    && !thousands
                    && !self.integer.is_empty()
            }
            Ok(Unit::Binary(bits)) => {
                self.fraction.is_empty()
                    && length + (bits as usize * 3 / 10) < 15
                    && self.integer.parse::<i64>().is_ok_and(|v| v & 7 != 0)
            }
            Err(_) => false,
        }
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // Plain integers are by far the most frequent.
        if text.len() <= 18
            && let Ok(value) = text.parse::<u64>()
            && !text.starts_with('+')
        {
            return Ok(Quantity { mantissa: value.into(), scale: 0, format: Format::DecimalSi });
        }
        split(text)?.quantity()
    }
}

impl Quantity {
    /// From a tree's string or number; null is 0.
    pub fn from_value(value: &Value) -> Result<Self, ParseError> {
        match value {
            Value::Null => Ok(Quantity::ZERO),
            Value::String(text) => text.trim().parse(),
            Value::Int(value) => Ok(Quantity::from_int(*value)),
            Value::Float(_) => value.to_json().parse(),
            _ => Err(ParseError::Format),
        }
    }
}

/// The text that upstream answers with for a quantity that was sent as `text`. Spaces around it go; a few texts
/// that are not in canonical form stay as they are, as upstream keeps them.
pub fn canonical(text: &str) -> Result<Cow<'_, str>, ParseError> {
    let text = text.trim();
    if text == "0" {
        return Ok(text.into());
    }
    let parts = split(text)?;
    let quantity = parts.quantity()?;
    Ok(if parts.is_kept() { text.into() } else { quantity.to_string().into() })
}
