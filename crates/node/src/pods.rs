//! The pods of the node: what is to be done for each, done by one task a pod.
//!
//! `manager` has a worker for each, `plan` decides, `worker` carries out, `memory` is all that a worker remembers between two looks.

pub mod allocation;
pub mod config;
pub mod manager;
pub mod memory;
pub mod parts;
pub mod plan;
pub mod resize;
pub mod restart;
pub mod roles;
pub mod roster;
pub mod worker;
