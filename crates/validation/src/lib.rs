//! What is special in the built-in kinds of the v1.36 API.
//!
//! Every function here is pure: it takes object trees and answers with a changed tree, field errors or
//! warnings. Nothing knows async, I/O, the clock (time is an argument) or a server. [`rules()`] finds the
//! rules of a kind; the modules follow the API groups.

mod amount;
pub mod apps;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod core;
mod diff;
mod go_json;
mod look;
pub mod rules;
mod selector;
pub mod table;

pub use rules::{KindRules, Params, PartRules};
pub use table::rules;
