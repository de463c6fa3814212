//! Quantities: `1.5Gi`, `200m`.

use std::cmp::Ordering;

use cel::common::types::{CelBool, CelDouble, CelInt, CelString, Type};
use cel::{DeclarationError, Env, ExecutionError};
use sampan_model::quantity::Quantity;

use super::{Of, Own, failed};

static KIND: Type = Type::new_unspecified_type("kubernetes.Quantity");

impl Own for Quantity {
    fn kind() -> &'static Type {
        &KIND
    }
}

type Value = Of<Quantity>;

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_overload!(env, fn quantity: (CelString) -> Result<Value>)?;
    cel::add_overload!(env, fn is_quantity: (CelString) -> CelBool)?;
    cel::add_member_overload!(env, fn sign: (Value) -> CelInt)?;
    cel::add_member_overload!(env, fn is_integer: (Value) -> CelBool)?;
    cel::add_member_overload!(env, fn as_integer: (Value) -> Result<CelInt>)?;
    cel::add_member_overload!(env, fn as_approximate_float: (Value) -> CelDouble)?;
    cel::add_member_overload!(env, fn add: (Value, Value) -> Value)?;
    cel::add_member_overload!(env, fn add_int: (Value, CelInt) -> Value, name = "add")?;
    cel::add_member_overload!(env, fn sub: (Value, Value) -> Value)?;
    cel::add_member_overload!(env, fn sub_int: (Value, CelInt) -> Value, name = "sub")?;
    cel::add_member_overload!(env, fn is_less_than: (Value, Value) -> CelBool)?;
    cel::add_member_overload!(env, fn is_greater_than: (Value, Value) -> CelBool)?;
    cel::add_member_overload!(env, fn compare_to: (Value, Value) -> CelInt)
}

fn quantity(text: &CelString<'_>) -> Result<Value, ExecutionError> {
    text.inner().parse().map(Of).map_err(|e| failed("quantity", e))
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    text.inner().parse::<Quantity>().is_ok().into()
}

fn sign(this: &Value) -> CelInt {
    i64::from(this.0.sign()).into()
}

fn is_integer(this: &Value) -> CelBool {
    this.0.as_i64().is_some().into()
}

fn as_integer(this: &Value) -> Result<CelInt, ExecutionError> {
    this.0.as_i64().map(CelInt::from).ok_or_else(|| failed("asInteger", "cannot convert value to integer"))
}

fn as_approximate_float(this: &Value) -> CelDouble {
    this.0.as_f64().into()
}

fn add(this: &Value, other: &Value) -> Value {
    Of(this.0.add(other.0))
}

fn add_int(this: &Value, other: &CelInt) -> Value {
    Of(this.0.add(Quantity::from_int(*other.inner())))
}

fn sub(this: &Value, other: &Value) -> Value {
    Of(this.0.sub(other.0))
}

fn sub_int(this: &Value, other: &CelInt) -> Value {
    Of(this.0.sub(Quantity::from_int(*other.inner())))
}

fn is_less_than(this: &Value, other: &Value) -> CelBool {
    (this.0.cmp(&other.0) == Ordering::Less).into()
}

fn is_greater_than(this: &Value, other: &Value) -> CelBool {
    (this.0.cmp(&other.0) == Ordering::Greater).into()
}

fn compare_to(this: &Value, other: &Value) -> CelInt {
    (this.0.cmp(&other.0) as i64).into()
}
