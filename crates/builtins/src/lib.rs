//! The v1.36 API as data: what each kind looks like, how it is served and printed, and what a new
//! cluster begins with.
//!
//! [`types()`] reads the schemas, [`resources()`] makes the descriptors that the engine serves. Facts
//! stand in `data/` as tables (the overlay of what the published schemas lack among them); code stands
//! here only where a kind does what no other does. Nothing here knows HTTP.

#![forbid(unsafe_code)]

pub mod admission;
pub mod bootstrap;
pub mod conversion;
mod deprecated;
pub mod descriptions;
pub mod flow_control;
mod installation;
mod printers;
mod protobuf;
mod resources;
mod selectable;
mod services;
mod strategy;
mod subresources;
mod types;
mod virtuals;

pub use descriptions::descriptions;
pub use installation::{Dependencies, Nodes, install};
pub use resources::{resources, schema_name};
pub use types::types;
