//! Quantities as validation sees them: canonical strings in the tree, compared as numbers.

use sampan_model::{FieldError, FieldPath, Quantity, Value};

use crate::look::{Errors, NEGATIVE, NOT_AN_INTEGER, NOT_POSITIVE};

/// The quantity of a field; what is none (decoding has refused it already) and what is absent count as zero.
pub(crate) fn quantity(value: &Value) -> Quantity {
    Quantity::from_value(value).unwrap_or(Quantity::ZERO)
}

/// Whether it is no whole number (thousandths count).
pub(crate) fn is_fractional(quantity: Quantity) -> bool {
    quantity.milli_value() % 1000 != 0
}

/// A quantity must be above zero.
pub(crate) fn positive_quantity(e: &mut Errors, path: FieldPath<'_>, value: &Value) {
    if quantity(value).sign() <= 0 {
        e.push(FieldError::invalid(path, value.clone(), NOT_POSITIVE));
    }
}

/// A quantity whose whole value must not be negative.
pub(crate) fn basic_resource(e: &mut Errors, path: FieldPath<'_>, value: &Value) {
    let whole = quantity(value).value();
    if whole < 0 {
        e.push(FieldError::invalid(path, whole, "must be a valid resource quantity"));
    }
}

/// A quantity of `resource` must not be negative, and whole where the resource is counted.
pub(crate) fn resource_quantity(e: &mut Errors, path: FieldPath<'_>, resource: &str, value: &Value) {
    let amount = quantity(value);
    if amount.sign() < 0 {
        e.push(FieldError::invalid(path, value.clone(), NEGATIVE));
    }
    if crate::core::resource_name::is_integer(resource) && is_fractional(amount) {
        e.push(FieldError::invalid(path, value.clone(), NOT_AN_INTEGER));
    }
}
