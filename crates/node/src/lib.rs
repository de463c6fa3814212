//! The node agent: makes the machine what the pods of its node say, and reports what it sees.
//!
//! It is an ordinary client of the API, and knows neither the API server nor the store. `docs/node.md` has its shape.

pub mod admit;
pub mod agent;
pub mod container;
pub mod cri;
pub mod downward;
pub mod environment;
pub mod events;
pub mod health;
pub mod image;
mod lifecycle;
pub mod logs;
pub mod mirror;
pub mod network;
pub mod objects;
pub mod pods;
pub mod pressure;
pub mod probe;
pub mod registration;
pub mod reporter;
pub mod runtime;
pub mod server;
pub mod source;
pub mod status;
pub mod status_writer;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod volume;
mod words;
