//! For tests only: an API server in the test's own process, objects to begin with, and patience with a reason.
//!
//! [`TestServer`] is the real server with all built-in resources over a store in memory; requests go to its
//! tower service, so no port, no certificate and no serialization of HTTP stands between a test and an answer.
//! Images and a registry on loopback are for tests of the node. Failures panic, as assertions do.

mod admitting;
pub mod credentials;
mod eventually;
pub mod fixtures;
pub mod image;
mod openapi;
pub mod registry;
mod reply;
mod server;
mod watch;

pub use admitting::Admitting;
pub use eventually::eventually;
pub use reply::Reply;
pub use server::{TestServer, admin, user};
pub use watch::{Event, Watch};
