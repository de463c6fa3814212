//! SPDY/3.1, as far as Kubernetes speaks it: streams that either side opens, over one connection.
//!
//! `frame` and `header` are pure; `connection` carries them over something that is read and written. Either role works, so
//! that a client can be built on it as well.

mod connection;
pub mod frame;
pub mod header;
mod shared;
mod stream;

pub use connection::{Connection, Incoming, Role, open};
pub use stream::Stream;

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side does not speak SPDY/3.1.
    #[error(transparent)]
    Frame(#[from] frame::Error),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The other side broke the rules of streams.
    #[error("{0}")]
    Protocol(&'static str),
}
