//! OpenAPI documents for servers whose tests do not read them.

use bytes::Bytes;
use sampan_apiserver::openapi::Source;

/// No documents.
#[derive(Debug)]
pub(crate) struct None;

impl Source for None {
    fn v2_json(&self) -> Bytes {
        Bytes::from_static(b"{}")
    }

    fn v2_protobuf(&self) -> Bytes {
        Bytes::new()
    }

    fn v3_paths(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn v3(&self, _path: &str) -> Option<Bytes> {
        Option::None
    }
}
