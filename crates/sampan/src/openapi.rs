//! The documents of `/openapi`.

use bytes::Bytes;
use sampan_apiserver::openapi::Source;

/// Says nothing of any type yet.
#[derive(Debug)]
pub(crate) struct Documents;

impl Source for Documents {
    fn v2_json(&self) -> Bytes {
        Bytes::from_static(
            br#"{"swagger":"2.0","info":{"title":"Kubernetes","version":"v1.36.2"},"paths":{}}"#,
        )
    }

    fn v2_protobuf(&self) -> Bytes {
        Bytes::new()
    }

    fn v3_paths(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn v3(&self, _path: &str) -> Option<Bytes> {
        None
    }
}
