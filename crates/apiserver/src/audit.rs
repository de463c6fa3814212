//! What requests tell the audit log.

mod recorder;

pub use recorder::Recorder;
