//! The Pod Security Standards: what a pod may be at the levels `baseline` and `restricted`, in each version of them.
//!
//! [`checks`](self) stand in one table with the versions from which each form of them holds; one file is a small family
//! of checks. All of them are functions of a pod's metadata and spec. Nothing here knows modes, namespaces or requests;
//! [`Policy`] only reads what a namespace's labels say.

mod app_armor;
mod capabilities;
mod escalation;
mod host;
mod level;
mod policy;
mod probes;
mod proc_mount;
mod run_as;
mod se_linux;
mod seccomp;
mod sysctls;
mod table;
mod violation;
mod volumes;

pub use level::{Level, LevelVersion, Version};
pub use policy::{Policy, labels};
pub use table::{Check, LATEST, checks, evaluate};
pub use violation::{Violation, details, reasons};
