//! How the built-in types are written in protobuf: the table of field numbers, read when the first client
//! speaks protobuf.

use std::sync::OnceLock;

use sampan_schema::SchemaSet;
use sampan_schema::protobuf::Layout;

use crate::descriptions::inflate_text;

static NUMBERS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/protobuf.z"));

/// All sets of the built-in types are alike, so they share one layout.
static LAYOUT: OnceLock<Layout> = OnceLock::new();

/// The layout of the built-in types.
pub(crate) fn layout(types: &SchemaSet) -> &'static Layout {
    LAYOUT.get_or_init(|| Layout::new(types, &inflate_text(NUMBERS)))
}
