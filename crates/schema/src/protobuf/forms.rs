//! The values that are no messages of known fields: scalars, and messages that JSON shows as a scalar or as
//! anything at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sampan_model::Value;
use sampan_model::quantity::Quantity;

use super::backwards::Backwards;
use super::layout::Form;
use super::source::View;
use super::wire::{self, Malformed, Reader};
use crate::decode::time::{self, Moment};
use crate::decode::{MAX_DEPTH, untyped_json};

/// The seconds of Go's zero time, which JSON shows as null.
const ZERO_TIME: i64 = -62_135_596_800;

/// Writes a field with one value that is no message of known fields, no raw JSON and no list; null is the zero value.
pub(super) fn write(form: Form, number: u32, value: &View<'_>, out: &mut Backwards) -> Result<(), String> {
    let before = out.len();
    match (form, value) {
        (Form::String | Form::Bytes, View::Null) => out.bytes(number, b""),
        (Form::String, View::String(text)) => out.bytes(number, text.as_bytes()),
        (Form::Bytes, View::String(text)) => {
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|error| error.to_string())?;
            out.bytes(number, &bytes);
        }
        (Form::Int32 | Form::Int64 | Form::Boolean, View::Null) => out.number(number, 0),
        (Form::Int32 | Form::Int64, View::Int(v)) => out.number(number, v.cast_unsigned()),
        (Form::Boolean, View::Bool(v)) => out.number(number, u64::from(*v)),
        (Form::Double, View::Null) => out.double(number, 0.0),
        #[allow(clippy::cast_precision_loss)] // as Go does
        (Form::Double, View::Int(v)) => out.double(number, *v as f64),
        (Form::Double, View::Float(v)) => out.double(number, *v),
        (Form::Time | Form::MicroTime, View::String(text)) => {
            let moment = time::parse(text).ok_or_else(|| format!("{text:?} is no time"))?;
            let micros = if form == Form::MicroTime { moment.micros } else { 0 };
            out.number(2, u64::from(micros) * 1000);
            out.number(1, moment.seconds.cast_unsigned());
            out.close(number, before);
        }
        (Form::Quantity, View::Null) => {
            out.bytes(1, b"0");
            out.close(number, before);
        }
        (Form::Quantity, View::String(text)) => {
            out.bytes(1, text.as_bytes());
            out.close(number, before);
        }
        (Form::IntOrString, View::Null | View::Int(_)) => {
            out.bytes(3, b"");
            out.number(2, if let View::Int(v) = value { v.cast_unsigned() } else { 0 });
            out.number(1, 0);
            out.close(number, before);
        }
        (Form::IntOrString, View::String(text)) => {
            out.bytes(3, text.as_bytes());
            out.number(2, 0);
            out.number(1, 1);
            out.close(number, before);
        }
        (Form::Time | Form::MicroTime | Form::Raw | Form::Items, View::Null) => out.close(number, before),
        _ => return Err(format!("found {}", value.type_name())),
    }
    Ok(())
}

/// How a form is written on the wire.
pub(super) fn wire_type(form: Form) -> u8 {
    match form {
        Form::Int32 | Form::Int64 | Form::Boolean => wire::VARINT,
        Form::Double => wire::FIXED64,
        _ => wire::BYTES,
    }
}

/// The value of a varint.
#[allow(clippy::cast_possible_truncation)] // as Go does
pub(super) fn from_varint(form: Form, v: u64) -> Value {
    match form {
        Form::Boolean => Value::Bool(v != 0),
        Form::Int32 => Value::Int(i64::from(v.cast_signed() as i32)),
        _ => Value::Int(v.cast_signed()),
    }
}

/// A double as JSON has it: one without a fraction is an integer.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn from_double(v: f64) -> Value {
    if v.fract() == 0.0 && v.abs() < 9e15 { Value::Int(v as i64) } else { Value::Float(v) }
}

/// The zero value, for an entry of a map that has none.
pub(super) fn zero(form: Form) -> Value {
    match form {
        Form::Int32 | Form::Int64 | Form::Double | Form::IntOrString => Value::Int(0),
        Form::Boolean => Value::Bool(false),
        Form::String | Form::Bytes => "".into(),
        Form::Quantity => "0".into(),
        Form::Message(_) => Value::Object(sampan_model::Map::new()),
        _ => Value::Null,
    }
}

/// The value of bytes. `depth` is how deep it stands in the tree.
pub(super) fn from_bytes(form: Form, bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
    match form {
        // Go's strings are any bytes, and its JSON encoder puts the sign for what is none in their place.
        Form::String => Ok(String::from_utf8_lossy(bytes).into_owned().into()),
        Form::Bytes => Ok(STANDARD.encode(bytes).into()),
        Form::Time => read_time(bytes, false),
        Form::MicroTime => read_time(bytes, true),
        Form::Quantity => read_quantity(bytes),
        Form::IntOrString => read_int_or_string(bytes),
        Form::Raw => read_raw(bytes, depth),
        Form::Items => read_items(bytes),
        _ => Err(Malformed::new("proto: a message where none is known")),
    }
}

fn read_time(bytes: &[u8], micro: bool) -> Result<Value, Malformed> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    each(bytes, "Timestamp", &["Seconds", "Nanos"], wire::VARINT, |number, reader| {
        let v = reader.varint()?.cast_signed();
        if number == 1 {
            seconds = v;
        } else {
            nanos = v;
        }
        Ok(())
    })?;
    // Whole seconds, or whole microseconds: more does not survive JSON.
    let micros = if micro { nanos.div_euclid(1000) } else { 0 };
    if seconds == ZERO_TIME && micros == 0 {
        return Ok(Value::Null);
    }
    let moment = u32::try_from(micros).ok().filter(|m| *m < 1_000_000);
    let moment = moment.map(|micros| Moment { seconds, micros });
    let text = moment.and_then(|moment| if micro { moment.in_micros() } else { moment.in_seconds() });
    text.map(Value::from).ok_or_else(|| Malformed::new("proto: Timestamp: out of range"))
}

fn read_quantity(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut text = None;
    each(bytes, "Quantity", &["String_"], wire::BYTES, |_, reader| {
        text = Some(String::from_utf8_lossy(reader.bytes()?).into_owned());
        Ok(())
    })?;
    let Some(text) = text else { return Ok("0".into()) };
    Ok(text.parse::<Quantity>().map_err(Malformed::new)?.to_string().into())
}

fn read_int_or_string(bytes: &[u8]) -> Result<Value, Malformed> {
    let (mut kind, mut number, mut text) = (0, Value::Int(0), String::new());
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.tag("IntOrString")? {
            (1, wire::VARINT) => kind = reader.varint()?,
            (2, wire::VARINT) => number = from_varint(Form::Int32, reader.varint()?),
            (3, wire::BYTES) => text = String::from_utf8_lossy(reader.bytes()?).into_owned(),
            (n @ 1..=3, wire) => return Err(wrong_wire(wire, ["Type", "IntVal", "StrVal"][n as usize - 1])),
            (_, wire) => reader.skip(wire)?,
        }
    }
    match kind {
        0 => Ok(number),
        1 => Ok(text.into()),
        _ => Err(Malformed::new("impossible IntOrString.Type")),
    }
}

fn read_raw(bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
    let mut raw: &[u8] = b"";
    each(bytes, "RawExtension", &["Raw"], wire::BYTES, |_, reader| {
        raw = reader.bytes()?;
        Ok(())
    })?;
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    let (value, _) = untyped_json(raw).map_err(Malformed::new)?;
    if is_deeper(&value, MAX_DEPTH.saturating_sub(depth)) {
        return Err(Malformed::new("exceeded max depth"));
    }
    Ok(value)
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => true,
        Value::Array(items) => items.iter().any(|item| is_deeper(item, levels - 1)),
        Value::Object(map) => map.values().any(|value| is_deeper(value, levels - 1)),
        _ => false,
    }
}

fn read_items(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut items = Vec::new();
    each(bytes, "Items", &["Items"], wire::BYTES, |_, reader| {
        items.push(Value::from(String::from_utf8_lossy(reader.bytes()?).into_owned()));
        Ok(())
    })?;
    Ok(if items.is_empty() { Value::Null } else { Value::Array(items) })
}

/// Calls `take` for each of the known fields, which count from 1 and are all written in one way.
fn each<'a>(
    bytes: &'a [u8],
    message: &str,
    names: &[&str],
    wire: u8,
    mut take: impl FnMut(u32, &mut Reader<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (number, found) = reader.tag(message)?;
        match names.get(number as usize - 1) {
            Some(_) if found == wire => take(number, &mut reader)?,
            Some(name) => return Err(wrong_wire(found, name)),
            None => reader.skip(found)?,
        }
    }
    Ok(())
}

/// Go's complaint about a field that is written in another way than it should be.
pub(super) fn wrong_wire(wire: u8, field: &str) -> Malformed {
    Malformed::new(format_args!("proto: wrong wireType = {wire} for field {field}"))
}
