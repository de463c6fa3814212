//! The schema engine: what an object of a kind looks like, and everything that follows from it.
//!
//! A [`Schema`] is a handle on one type of a [`SchemaSet`]. Built-in kinds and CustomResourceDefinitions
//! both become such sets; from there on nothing tells them apart. Nothing here knows async, I/O, the
//! clock (time is an argument), or the name of any kind.

#![allow(clippy::similar_names)] // patch and path, old and own: the field's words are alike

pub mod cel;
pub mod complete;
pub mod decode;
pub mod default;
pub mod import;
pub mod managed;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod types;
pub mod validate;

pub use complete::{complete, normalise};
pub use decode::Decoded;
pub use default::default;
pub use types::{Field, ListSemantics, ObjectType, Presence, Schema, SchemaSet, Shape, Type, TypeId};

#[cfg(test)]
extern crate self as sampan_schema;
#[cfg(test)]
#[path = "../fixtures/schemas.rs"]
#[allow(dead_code, unreachable_pub)]
mod schemas;
