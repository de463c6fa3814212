//! What a worker has under way.

use super::start::Failed;
use crate::container::ContainerId;
use crate::pods::parts::VolumeError;
use crate::runtime;

/// What a job works on: two jobs on one thing would be in each other's way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    Volumes,
    UpdateVolumes,
    Sandbox,
    Container(ContainerId),
    Resize,
    Stop(ContainerId),
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Mounted(Result<(), VolumeError>),
    Unmounted(Result<(), VolumeError>),
    Sandbox(Result<(), String>),
    Started(Result<ContainerId, Failed>),
    Runtime(Result<(), runtime::Error>),
    Resized(Result<(), String>),
    Forgotten(Result<(), String>),
}

impl Outcome {
    /// Whether it is to be tried again, and not at once. Other failures have their own times.
    pub(super) fn failed(&self) -> bool {
        matches!(
            self,
            Self::Unmounted(Err(_)) | Self::Runtime(Err(_)) | Self::Resized(Err(_)) | Self::Forgotten(Err(_))
        )
    }
}
