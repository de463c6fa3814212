//! What the published API says of its types and fields; read only by OpenAPI and `kubectl explain`.

use std::io::Read as _;

use sampan_model::Value;
use sampan_schema::openapi;

static DESCRIPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.z"));
static ENUMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/enums.z"));

/// What is told of the published types.
#[derive(Debug)]
pub struct Descriptions {
    /// From published type names to maps from field names (the empty name: the type itself) to texts.
    texts: Value,
    /// From published type names to maps from field names to lists of values.
    enums: Value,
}

impl openapi::Descriptions for Descriptions {
    fn of(&self, type_name: &str, field: Option<&str>) -> Option<&str> {
        self.texts.of(type_name, field)
    }

    fn values(&self, type_name: &str, field: &str) -> &[Value] {
        self.enums.at(&[type_name, field]).and_then(Value::as_array).unwrap_or_default()
    }
}

/// Reads what is told of the types. It takes a megabyte and some milliseconds: ask once, when a client wants
/// it, and keep what you make of it.
pub fn descriptions() -> Descriptions {
    Descriptions { texts: inflate(DESCRIPTIONS), enums: inflate(ENUMS) }
}

/// The JSON that the build compressed.
pub(crate) fn inflate(compressed: &[u8]) -> Value {
    serde_json::from_str(&inflate_text(compressed)).expect("the build compressed JSON")
}

/// The text that the build compressed.
pub(crate) fn inflate_text(compressed: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(compressed)
        .read_to_string(&mut text)
        .expect("the build compressed these bytes");
    text
}
