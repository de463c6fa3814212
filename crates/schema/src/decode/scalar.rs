//! Scalars: what each type takes, its normal form, and Go's words for what it does not take.

use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};
use sampan_model::Value;
use sampan_model::quantity::Quantity;

use super::path::{Path, Step};
use super::time;
use crate::types::{SchemaSet, Shape, TypeId};

/// Go does not mind superfluous bits in the last symbol.
const TOLERANT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What a reader found where a value was expected.
pub(super) enum Found<'a> {
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits with sign, or a number with a fraction or exponent.
    Float(f64),
    String(&'a str),
    Object,
    Array,
}

impl Found<'_> {
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn unsigned(v: u64) -> Self {
        i64::try_from(v).map_or(Found::Float(v as f64), Found::Int)
    }

    /// The value as it is. A float without a fraction becomes an integer: Go writes both alike.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn to_value(&self) -> Value {
        match *self {
            Found::Bool(v) => Value::Bool(v),
            Found::Int(v) => Value::Int(v),
            Found::Float(v) if v.fract() == 0.0 && v.abs() < 9e15 => Value::Int(v as i64),
            Found::Float(v) => Value::Float(v),
            Found::String(v) => Value::String(v.into()),
            Found::Object | Found::Array => Value::Null,
        }
    }

    /// What Go's error calls it; numbers with their text where a number was expected.
    fn go_name(&self, number_expected: bool) -> String {
        match self {
            Found::Bool(_) => "bool".into(),
            Found::Int(v) if number_expected => format!("number {v}"),
            Found::Float(v) if number_expected => format!("number {v:?}"),
            Found::Int(_) | Found::Float(_) => "number".into(),
            Found::String(_) => "string".into(),
            Found::Object => "object".into(),
            Found::Array => "array".into(),
        }
    }
}

/// Why a scalar does not fit.
pub(super) enum Misfit {
    /// It is of another kind.
    Kind,
    /// It is of the right kind, but its text is not.
    Text(String),
}

/// The normal form of a scalar for a type.
pub(super) fn read(shape: &Shape, found: &Found<'_>) -> Result<Value, Misfit> {
    match (shape, found) {
        (Shape::String, Found::String(v)) => Ok(Value::String((*v).into())),
        (Shape::Boolean, Found::Bool(v)) => Ok(Value::Bool(*v)),
        (Shape::Int32, Found::Int(v)) if i32::try_from(*v).is_ok() => Ok(Value::Int(*v)),
        (Shape::Int64, Found::Int(v)) => Ok(Value::Int(*v)),
        (Shape::Number, Found::Int(_) | Found::Float(_)) => Ok(found.to_value()),
        (Shape::IntOrString, Found::String(v)) => Ok(Value::String((*v).into())),
        (Shape::IntOrString, Found::Int(v)) => match i32::try_from(*v) {
            Ok(_) => Ok(Value::Int(*v)),
            Err(_) => Err(Misfit::Text(go_value(found, "int32"))),
        },
        (Shape::IntOrString, _) => Err(Misfit::Text(go_value(found, "int32"))),
        (Shape::Quantity, Found::String(v)) => quantity(v),
        (Shape::Quantity, Found::Int(v)) => quantity(&v.to_string()),
        (Shape::Quantity, Found::Float(v)) => quantity(&v.to_string()),
        (Shape::Quantity, _) => Err(Misfit::Text(bad_quantity())),
        (Shape::Bytes, Found::String(v)) => bytes(v),
        (Shape::Time, Found::String(v)) => time::seconds(v).map_err(Misfit::Text),
        (Shape::MicroTime, Found::String(v)) => time::micros(v).map_err(Misfit::Text),
        (Shape::Time | Shape::MicroTime, _) => Err(Misfit::Text(go_value(found, "string"))),
        (Shape::Any, _) => Ok(found.to_value()),
        _ => Err(Misfit::Kind),
    }
}

fn go_value(found: &Found<'_>, go_type: &str) -> String {
    format!(
        "json: cannot unmarshal {} into Go value of type {go_type}",
        found.go_name(go_type.starts_with("int"))
    )
}

fn bad_quantity() -> String {
    "quantities must match the regular expression \
     '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        .into()
}

fn quantity(text: &str) -> Result<Value, Misfit> {
    match text.trim().parse::<Quantity>() {
        Ok(quantity) => Ok(Value::String(quantity.to_string().into())),
        Err(error) => Err(Misfit::Text(if text.is_empty() { bad_quantity() } else { error.to_string() })),
    }
}

/// Checks base64. Line breaks in it are dropped, and superfluous bits of its last symbol.
fn bytes(text: &str) -> Result<Value, Misfit> {
    let padding = text.bytes().rev().take_while(|c| *c == b'=').count();
    let body = &text.as_bytes()[..text.len() - padding];
    let canonical = match padding {
        0 => true,
        1 => body.last().is_some_and(|c| b"AEIMQUYcgkosw048".contains(c)),
        2 => body.last().is_some_and(|c| b"AQgw".contains(c)),
        _ => false,
    };
    let plain = |c: &u8| c.is_ascii_alphanumeric() || *c == b'+' || *c == b'/';
    if canonical && text.len().is_multiple_of(4) && body.iter().all(plain) {
        return Ok(Value::String(text.into()));
    }
    let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match TOLERANT.decode(&joined) {
        Ok(bytes) => Ok(Value::String(TOLERANT.encode(bytes).into())),
        Err(DecodeError::InvalidByte(offset, _)) => {
            Err(Misfit::Text(format!("illegal base64 data at input byte {offset}")))
        }
        Err(_) => Err(Misfit::Text(format!("illegal base64 data at input byte {}", joined.len() & !3))),
    }
}

/// Go's sentence for a value of the wrong kind.
pub(super) fn mismatch(set: &SchemaSet, id: TypeId, path: &Path<'_>, found: &Found<'_>) -> String {
    let shape = &set.get(id).shape;
    let text = match shape {
        Shape::Quantity => return bad_quantity(),
        Shape::IntOrString => return go_value(found, "int32"),
        Shape::Time | Shape::MicroTime => return go_value(found, "string"),
        _ => found.go_name(matches!(shape, Shape::Int32 | Shape::Int64)),
    };
    let go_type = go_type(set, id, 0);
    let (mut owner, mut fields) = (None, Vec::new());
    for step in path.steps() {
        if let Step::Field { name, owner: of, .. } = step {
            owner = Some(of.map_or("", |name| name.rsplit('.').next().unwrap_or(name)));
            fields.push(name);
        }
    }
    match owner {
        Some(owner) => format!(
            "json: cannot unmarshal {text} into Go struct field {owner}.{} of type {go_type}",
            fields.join(".")
        ),
        None => format!("json: cannot unmarshal {text} into Go value of type {go_type}"),
    }
}

/// What Go calls a type: `map[string]string`, `[]v1.Container`.
fn go_type(set: &SchemaSet, id: TypeId, depth: usize) -> String {
    let ty = set.get(id);
    if depth > 8 {
        return "interface {}".into();
    }
    match &ty.shape {
        Shape::String => "string".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Number => "float64".into(),
        Shape::Boolean => "bool".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Map { values, .. } => format!("map[string]{}", go_type(set, *values, depth + 1)),
        Shape::List { items, .. } => format!("[]{}", go_type(set, *items, depth + 1)),
        Shape::IntOrString => "intstr.IntOrString".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::Time => "v1.Time".into(),
        Shape::MicroTime => "v1.MicroTime".into(),
        Shape::Object(_) | Shape::Any => {
            let name = ty.name.as_deref().unwrap_or("struct {}");
            let mut parts = name.rsplit('.');
            match (parts.next(), parts.next()) {
                (Some(last), Some(package)) => format!("{package}.{last}"),
                _ => name.to_owned(),
            }
        }
    }
}
