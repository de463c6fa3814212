//! Writing a quantity in canonical form: no precision is lost, there is no fraction, and the suffix is as
//! large as can be.

use std::fmt;

use super::{Format, Quantity};

const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        match self.format {
            Format::BinarySi => match self.as_integer() {
                // Small numbers and fractions are clearer in decimals.
                Some(value) if value.unsigned_abs() >= 1024 => write_binary(f, value),
                _ => self.write_decimal(f, Format::DecimalSi),
            },
            format => self.write_decimal(f, format),
        }
    }
}

fn write_binary(f: &mut fmt::Formatter<'_>, mut value: i128) -> fmt::Result {
    let mut suffix = 0;
    while value % 1024 == 0 && suffix + 1 < BINARY.len() {
        value /= 1024;
        suffix += 1;
    }
    write!(f, "{value}{}", BINARY[suffix])
}

impl Quantity {
    fn write_decimal(self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let (mut mantissa, mut exponent) = without_zeros(self.mantissa, self.scale.into());
        while exponent % 3 != 0 {
            mantissa *= 10;
            exponent -= 1;
        }
        if format == Format::DecimalExponent {
            write!(f, "{mantissa}")?;
            return if exponent == 0 { Ok(()) } else { write!(f, "e{exponent}") };
        }
        write!(f, "{mantissa}")?;
        while exponent > 18 {
            f.write_str("000")?;
            exponent -= 3;
        }
        let suffix = usize::try_from(exponent / 3 + 3).ok().and_then(|i| DECIMAL.get(i));
        f.write_str(suffix.expect("the scale is not below nano, and was brought down to exa"))
    }
}

/// Moves the zeros at the end into the exponent.
fn without_zeros(mut mantissa: i128, mut exponent: i64) -> (i128, i64) {
    while let Err(_) | Ok(0) = i64::try_from(mantissa) {
        if mantissa % 10 != 0 {
            return (mantissa, exponent);
        }
        mantissa /= 10;
        exponent += 1;
    }
    // From here on in 64 bits, which is much quicker.
    let mut small = i64::try_from(mantissa).expect("the loop above ended because it fits");
    while small % 10 == 0 {
        small /= 10;
        exponent += 1;
    }
    (small.into(), exponent)
}
