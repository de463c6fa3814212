//! What the end-to-end tests share: a cluster that is the real binary on a free port and in a directory of its
//! own, and the tools that may or may not be on this machine.
//!
//! The binary is the one that cargo built beside the tests, or the one that `SAMPAN_BIN` names.

pub mod cluster;
pub mod leftovers;
pub mod network;
pub mod node;
pub mod replay;
pub mod tools;

pub use cluster::{Cluster, Ended};
