//! The node as the API knows it: its object with what the machine has, its conditions, and the Lease that says it is alive.
//!
//! `machine` reads, `object` and `lease` work out (pure), `keeper` writes. A condition is written when it changes, everything at the latest every five minutes; the Lease every
//! ten seconds (KEP-589).

mod keeper;
pub mod lease;
pub mod machine;
pub mod object;

pub use keeper::{Error, keep};
pub use object::Settings;
