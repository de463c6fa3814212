//! What a pod asks of a node, and whether the node has it: what scheduler and node must judge alike. Pure, on the types of the API.
//!
//! It knows no queue, no runtime, no I/O.

pub mod node_selector;
pub mod ports;
pub mod resources;
pub mod taints;

pub use node_selector::{Required, Term};
pub use ports::HostPort;
pub use resources::{NonZero, Resources};
