//! The parent of a pod's containers: one small, single-threaded process a pod, which outlives the node agent.
//!
//! `docs/node.md` says why. It knows OCI bundles and file descriptors; it knows neither pods' specs nor the API.

pub mod protocol;
