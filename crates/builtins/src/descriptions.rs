//! What the published API says of its types and fields; read only by OpenAPI and `kubectl explain`.

use std::io::Read as _;

use sampan_model::Value;

static DESCRIPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.z"));

/// A map from published type names to maps from field names (the empty name: the type itself) to texts.
/// It takes a megabyte and some milliseconds: ask once, when a client wants it, and keep what you make of it.
pub fn descriptions() -> Value {
    inflate(DESCRIPTIONS)
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
