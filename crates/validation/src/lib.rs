//! What is special in the built-in kinds of the v1.36 API.
//!
//! Every function here is pure: it takes object trees and answers with a changed tree, field errors or
//! warnings. Nothing knows async, I/O, the clock (time is an argument) or a server. [`rules()`] finds the
//! rules of a kind; the modules follow the API groups.

pub mod admission;
mod amount;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod coordination;
pub mod core;
mod diff;
pub mod discovery;
pub mod flowcontrol;
mod go_json;
mod look;
pub mod networking;
pub mod node;
pub mod pod_security;
pub mod policy;
pub mod rbac;
pub mod resource;
pub mod rules;
pub mod scheduling;
mod seen;
mod selector;
pub mod storage;
mod strategy;
pub mod table;

pub use rules::{KindRules, Params, PartRules};
pub use table::rules;
