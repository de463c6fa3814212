//! What a user may do: one file an authorizer, and [`modes`] that puts them in the order a cluster configures.

pub mod abac;
pub mod modes;
pub mod node;
pub mod rbac;
pub mod webhook;
