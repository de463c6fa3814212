//! `resource.Quantity`: a decimal number with a unit, such as `500m`, `1Gi`, `1e3`.
//!
//! The number is `mantissa` x 10^`scale` with 36 digits and nothing finer than 10^-9; what is finer is rounded
//! away from zero, since who asks for a resource should get some. It is `Copy` and never allocates.

mod format;
mod parse;

use std::cmp::Ordering;
use std::ops::Neg;

pub use parse::{ParseError, canonical};

/// Which family of suffixes a quantity is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    #[default]
    DecimalSi,
}

/// A decimal number with a unit. Equality and order are those of the number; the format does not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    mantissa: i128,
    scale: i32,
    format: Format,
}

/// The finest scale.
const NANO: i32 = -9;
/// Mantissas stay below this, so that writing them with two more digits cannot overflow.
const MANTISSA_LIMIT: i128 = 10_i128.pow(36);

fn pow10(exponent: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// Division that rounds away from zero.
fn divide_up(a: i128, b: i128) -> i128 {
    let (quotient, rest) = (a / b, a % b);
    match (rest == 0, (a < 0) == (b < 0)) {
        (true, _) => quotient,
        (false, true) => quotient + 1,
        (false, false) => quotient - 1,
    }
}

/// `mantissa` / 10^`digits`, rounded away from zero.
fn drop_digits(mantissa: i128, digits: i64) -> i128 {
    match pow10(digits) {
        Some(power) => divide_up(mantissa, power),
        None => mantissa.signum(),
    }
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { mantissa: 0, scale: 0, format: Format::DecimalSi };

    /// `mantissa` x 10^`scale`.
    pub fn new(mantissa: i64, scale: i32, format: Format) -> Self {
        Self::bounded(mantissa.into(), scale, format)
    }

    /// An integer.
    pub fn from_int(value: i64) -> Self {
        Self { mantissa: value.into(), scale: 0, format: Format::DecimalSi }
    }

    /// A number of bytes.
    pub fn from_bytes(value: i64) -> Self {
        Self { mantissa: value.into(), scale: 0, format: Format::BinarySi }
    }

    /// A number of thousandths.
    pub fn from_milli(value: i64) -> Self {
        Self { mantissa: value.into(), scale: -3, format: Format::DecimalSi }
    }

    fn bounded(mut mantissa: i128, mut scale: i32, format: Format) -> Self {
        if scale < NANO {
            mantissa = drop_digits(mantissa, i64::from(NANO) - i64::from(scale));
            scale = NANO;
        }
        while mantissa.abs() >= MANTISSA_LIMIT {
            mantissa = divide_up(mantissa, 10);
            scale = scale.saturating_add(1);
        }
        Self { mantissa, scale, format }
    }

    /// How it is written.
    pub fn format(self) -> Format {
        self.format
    }

    /// The same number, written otherwise.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Whether it is 0.
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// -1, 0 or 1.
    pub fn sign(self) -> i8 {
        match self.mantissa.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// Its value in units of 10^`scale`, rounded away from zero; at the ends of `i64` it stays there.
    pub fn scaled_value(self, scale: i32) -> i64 {
        let shift = i64::from(self.scale) - i64::from(scale);
        let value = if self.mantissa == 0 {
            Some(0)
        } else if shift >= 0 {
            pow10(shift).and_then(|power| self.mantissa.checked_mul(power))
        } else {
            Some(drop_digits(self.mantissa, -shift))
        };
        let end = if self.mantissa < 0 { i64::MIN } else { i64::MAX };
        value.and_then(|v| i64::try_from(v).ok()).unwrap_or(end)
    }

    /// Its value, rounded away from zero to an integer.
    pub fn value(self) -> i64 {
        self.scaled_value(0)
    }

    /// Its value in thousandths, rounded away from zero.
    pub fn milli_value(self) -> i64 {
        self.scaled_value(-3)
    }

    /// Its value if that is an integer of 64 bits.
    pub fn as_i64(self) -> Option<i64> {
        self.as_integer().and_then(|v| i64::try_from(v).ok())
    }

    fn as_integer(self) -> Option<i128> {
        if self.mantissa == 0 {
            return Some(0);
        }
        if self.scale >= 0 {
            return pow10(self.scale.into())?.checked_mul(self.mantissa);
        }
        let power = pow10(-i64::from(self.scale))?;
        (self.mantissa % power == 0).then(|| self.mantissa / power)
    }

    /// Its value as nearly as a float can say it.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        let base = self.mantissa as f64;
        if self.scale < 0 { base / 10_f64.powi(-self.scale) } else { base * 10_f64.powi(self.scale) }
    }

    /// How often `divisor` fits, rounded up, both counted in units of 10^`scale`: what the downward API shows
    /// (`scale` is -3 for processors and 0 for everything else). `None` for a divisor of 0.
    pub fn divided_by(self, divisor: Quantity, scale: i32) -> Option<i64> {
        let (a, b) = (i128::from(self.scaled_value(scale)), i128::from(divisor.scaled_value(scale)));
        if b == 0 {
            return None;
        }
        let towards_zero = a / b;
        let up = a % b != 0 && (a < 0) == (b < 0);
        i64::try_from(towards_zero + i128::from(up)).ok()
    }

    /// The number in units of 10^`scale`, rounded away from zero.
    #[must_use]
    pub fn round_up(self, scale: i32) -> Self {
        if self.scale >= scale {
            return self;
        }
        let digits = i64::from(scale) - i64::from(self.scale);
        Self { mantissa: drop_digits(self.mantissa, digits), scale, ..self }
    }

    /// The number in units of 10^`scale`, if they are fine enough and it fits.
    fn at_scale(self, scale: i32) -> Option<i128> {
        if self.mantissa == 0 {
            return Some(0);
        }
        self.mantissa.checked_mul(pow10(i64::from(self.scale) - i64::from(scale))?)
    }

    /// The sum. A zero takes the format of the other.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // quantities of two formats: no symmetric `+`
    pub fn add(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        let scale = self.scale.min(other.scale);
        let exact = match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(a), Some(b)) => a.checked_add(b),
            _ => None,
        };
        if let Some(sum) = exact {
            return Self::bounded(sum, scale, format);
        }
        // The finer of the two is beyond the digits of the coarser: it can only round.
        let scale = self.scale.max(other.scale);
        let (a, b) = (self.round_up(scale).mantissa, other.round_up(scale).mantissa);
        Self::bounded(a.saturating_add(b), scale, format)
    }

    /// The difference. A zero takes the format of the other.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn sub(self, other: Quantity) -> Quantity {
        self.add(-other)
    }

    /// `factor` times this.
    #[must_use]
    pub fn times(self, factor: i64) -> Quantity {
        let mut quantity = self;
        loop {
            if let Some(product) = quantity.mantissa.checked_mul(factor.into()) {
                return Self::bounded(product, quantity.scale, self.format);
            }
            quantity = quantity.round_up(quantity.scale.saturating_add(1));
        }
    }
}

impl Neg for Quantity {
    type Output = Quantity;
    fn neg(self) -> Quantity {
        Quantity { mantissa: -self.mantissa, ..self }
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale == other.scale || self.sign() != other.sign() || self.is_zero() {
            return self.sign().cmp(&other.sign()).then_with(|| self.mantissa.cmp(&other.mantissa));
        }
        let scale = self.scale.min(other.scale);
        match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // What does not fit at the finer scale is farther from zero than all that does.
            (None, _) => self.sign().cmp(&0),
            (_, None) => 0.cmp(&other.sign()),
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl From<i64> for Quantity {
    fn from(value: i64) -> Self {
        Self::from_int(value)
    }
}

#[cfg(test)]
mod tests;
