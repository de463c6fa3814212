//! The routes below `/openapi`. What the documents say is made by whoever knows the schemas.

use bytes::Bytes;

/// Makes the OpenAPI documents. They are large and rarely asked for: implementations make them when they
/// are first asked for.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// `/openapi/v2` as JSON.
    fn v2_json(&self) -> Bytes;
    /// `/openapi/v2` in gnostic's protobuf.
    fn v2_protobuf(&self) -> Bytes;
    /// The paths of `/openapi/v3` (`api/v1`, `apis/apps/v1`), each with the hash of its document.
    fn v3_paths(&self) -> Vec<(String, String)>;
    /// The document of such a path.
    fn v3(&self, path: &str) -> Option<Bytes>;
}
