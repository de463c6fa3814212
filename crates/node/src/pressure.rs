//! Keeps the machine alive when memory, disk or processes run short: images that nobody uses go first, then pods, one at a time, in the kubelet's order.
//!
//! `thresholds` says what is short and `rank` who goes (both pure), `local_storage` measures what pods keep on the disk, `keeper` looks and acts. It looks every ten
//! seconds, as the kubelet does without notifications of the kernel: nothing tells when a disk fills.

mod keeper;
mod local_storage;
mod rank;
pub mod thresholds;

use std::time::Duration;

pub use keeper::{Eviction, Keeper};
pub(crate) use local_storage::bytes_of;
pub(crate) use rank::is_critical;

/// For how long a condition is told after what it tells of has passed: the kubelet's `evictionPressureTransitionPeriod`.
pub const TRANSITION: Duration = Duration::from_mins(5);

/// What the node is short of, as its conditions tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// `MemoryPressure`.
    pub memory: bool,
    /// `DiskPressure`.
    pub disk: bool,
    /// `PIDPressure`.
    pub processes: bool,
}
