//! The pod network of one node: a bridge, a pair of devices for each pod, a pool of addresses, and rules of nftables for host ports, services and
//! what leaves the node. All of it by netlink: nothing needs to be installed.
//!
//! It knows nothing of containers, of the API or of its clients: callers name pods by UID, give it namespaces by path and services as plain values.

mod error;
mod namespace;
mod netlink;
mod nft;
pub mod pods;
mod route;
mod rules;
pub mod service;
mod sysctl;

pub use error::Error;
