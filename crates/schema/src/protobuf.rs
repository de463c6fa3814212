//! The Kubernetes protobuf encoding: trees to and from messages of proto2, as Go's generated code reads and
//! writes them.
//!
//! A [`Layout`] joins a table of field numbers to the types of a [`crate::SchemaSet`]; encoder and decoder walk
//! it beside the tree, or beside the text of one ([`Transcoder`]). An object on its own stands in an envelope that names its kind ([`envelope`]). Nothing
//! here knows HTTP, streams, or the name of any kind.

mod backwards;
mod decode;
mod encode;
pub mod envelope;
mod forms;
mod layout;
mod outline;
mod source;
mod wire;

pub use backwards::Backwards;
pub use decode::decode;
pub use encode::{EncodeError, TranscodeError, Transcoder, encode};
pub use layout::{Layout, MessageId};
pub use outline::NotJson;
pub use wire::{Malformed, push_varint, varint_len};

#[cfg(test)]
mod tests;
