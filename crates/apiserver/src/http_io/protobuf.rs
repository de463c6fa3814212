//! The protobuf encoding of answers: objects in their envelopes, and the documents that every API has.

use sampan_model::{Status, Value};
use sampan_schema::protobuf::{self, Backwards, Layout, MessageId, Transcoder, envelope};

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The protobuf form of a set of types, which clients of these types may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Protobuf(pub &'static Layout);

impl PartialEq for Protobuf {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Protobuf {}

impl Protobuf {
    /// The message of a document that belongs to no resource: a Status, a discovery document, metadata alone.
    pub fn document(self, api_version: &str, kind: &str) -> Option<MessageId> {
        let find = |package: &str| self.0.find(&format!("io.k8s.{package}.{kind}"));
        match api_version {
            "" | "v1" | "meta.k8s.io/v1" => find("apimachinery.pkg.apis.meta.v1"),
            // One object is the same in both versions.
            "meta.k8s.io/v1beta1" => {
                find("apimachinery.pkg.apis.meta.v1beta1").or_else(|| find("apimachinery.pkg.apis.meta.v1"))
            }
            "apidiscovery.k8s.io/v2" => find("api.apidiscovery.v2"),
            "apidiscovery.k8s.io/v2beta1" => find("api.apidiscovery.v2beta1"),
            _ => None,
        }
    }

    /// A tree as a message without an envelope.
    pub fn message(self, id: MessageId, value: &Value, out: &mut Backwards) -> Result<(), Status> {
        protobuf::encode(self.0, id, value, out).map_err(Status::internal)
    }

    /// The JSON of an object as a message without an envelope.
    pub fn transcode(
        self,
        id: MessageId,
        json: &[u8],
        transcoder: &mut Transcoder,
        out: &mut Backwards,
    ) -> Result<(), Status> {
        transcoder.transcode(self.0, id, json, out).map_err(Status::internal)
    }

    /// A tree as a message in its envelope.
    pub fn object(self, id: MessageId, value: &Value) -> Result<Vec<u8>, Status> {
        let mut out = Backwards::with_capacity(1024);
        envelope::begin(&mut out);
        self.message(id, value, &mut out)?;
        envelope::close(&mut out, value.str_at(&["apiVersion"]), value.str_at(&["kind"]));
        Ok(out.as_slice().to_vec())
    }
}

/// A document in its envelope, found by its own `apiVersion` and `kind`.
pub fn encode(protobuf: Protobuf, value: &Value) -> Result<Vec<u8>, Status> {
    let (api_version, kind) = (value.str_at(&["apiVersion"]), value.str_at(&["kind"]));
    let id = protobuf.document(api_version, kind).ok_or_else(|| not_marshalable(kind))?;
    protobuf.object(id, value)
}

/// What has no message.
pub fn not_marshalable(kind: &str) -> Status {
    Status::failure(
        406,
        sampan_model::Reason::NotAcceptable,
        format!(
            "object {kind} does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message"
        ),
    )
}
