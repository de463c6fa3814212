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
    let mut text = Vec::new();
    flate2::read::ZlibDecoder::new(compressed)
        .read_to_end(&mut text)
        .expect("the build compressed these bytes");
    serde_json::from_slice(&text).expect("the build compressed JSON")
}
