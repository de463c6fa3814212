//! The edge between HTTP and the engine: bodies, queries, content negotiation, answers.

pub mod body;
pub mod media;
pub mod protobuf;
pub mod query;
pub mod respond;
