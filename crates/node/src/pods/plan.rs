//! What is to be done for a pod: a pure function of what is wanted, what is there, what is remembered, and the time.
//!
//! It is asked after every change. An action that it names is carried out once and named again until the change that it brings is seen, so it decides
//! from what is, never from what it said before. `life` is a pod that is to run, `end` one that is to go.

mod end;
mod life;
pub mod resize;

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Pod;

use self::resize::{Resize, Resizing};
use super::memory::Memory;
use crate::container::ContainerId;
use crate::runtime::Sandbox;

/// What a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The pod as it is wanted.
    pub pod: &'a Pod,
    /// Whether and how it is to go.
    pub ending: Option<&'a Ending>,
    /// The sandbox as it is.
    pub sandbox: Option<&'a Sandbox>,
    /// What is remembered.
    pub memory: &'a Memory,
    /// The most processes of a pod.
    pub pids_limit: Option<i64>,
    /// The time.
    pub now: SystemTime,
}

/// How a pod is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Since when.
    pub since: SystemTime,
    /// How long its containers may take from then on.
    pub grace: Duration,
    /// Why; `None` if it is deleted.
    pub failure: Option<Failure>,
    /// Whether its object is deleted too: then nothing of it stays.
    pub deleted: bool,
}

/// Why a pod fails as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one word: `DeadlineExceeded`, `Evicted`, `OutOfcpu` ...
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// How long it may take to end, if that differs from the pod's.
    pub grace: Option<Duration>,
    /// Whether it was never let in: nothing of it ever ran.
    pub rejected: bool,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the volumes.
    MountVolumes,
    /// Makes the sandbox, or brings it back.
    StartSandbox,
    /// Brings the image, creates the container and starts it.
    StartContainer(ContainerId),
    /// Runs the hook before the stop, asks the container to end, and kills it when the time is over.
    StopContainer {
        /// Which.
        id: ContainerId,
        /// When it is over.
        deadline: SystemTime,
        /// For the event `Killing`.
        message: String,
    },
    /// Changes limits of what runs.
    Resize(Box<Resize>),
    /// Forgets a container that ended.
    RemoveContainer(ContainerId),
    /// Takes the sandbox down; its containers can still be read.
    StopSandbox,
    /// Lets go of the volumes.
    UnmountVolumes,
    /// Removes everything that is left of the pod.
    Forget,
}

/// What is to be done, and when to ask again at the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Independent of each other.
    pub actions: Vec<Action>,
    /// `None`: nothing will change by time alone.
    pub wake_at: Option<SystemTime>,
    /// The pod has run past its deadline: it is to go, for this reason.
    pub failure: Option<Failure>,
    /// How far a change of its resources is.
    pub resizing: Resizing,
}

impl Plan {
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn wake(&mut self, at: SystemTime) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

/// What is to be done for a pod.
pub fn plan(view: View<'_>) -> Plan {
    match view.ending {
        Some(ending) => end::plan(view, ending),
        None => life::plan(view),
    }
}

#[cfg(test)]
mod tests;
