//! The node agent: makes the machine what the pods of its node say, and reports what it sees.
//!
//! It is an ordinary client of the API, and knows neither the API server nor the store. `docs/node.md` has its shape.

pub mod container;
pub mod downward;
pub mod environment;
pub mod image;
pub mod network;
pub mod objects;
pub mod pods;
pub mod registration;
pub mod runtime;
pub mod status;
pub mod volume;
