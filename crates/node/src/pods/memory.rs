//! What a worker remembers of its pod between two looks. All of it may be lost: a restarted node begins anew with what the runtime says.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::restart::Backoff;

/// What a worker remembers of its pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Of its containers by name.
    pub containers: BTreeMap<String, ContainerMemory>,
    /// How far its volumes are.
    pub volumes: Volumes,
    /// Why the sandbox could not be made, and until when it is not tried again.
    pub sandbox: Option<Problem>,
    /// How often that was.
    pub sandbox_backoff: Backoff,
    /// How far a change of its resources is.
    pub resize: Resize,
}

impl Memory {
    /// What is remembered of a container.
    pub fn container(&self, name: &str) -> &ContainerMemory {
        const NOTHING: &ContainerMemory = &ContainerMemory::NOTHING;
        self.containers.get(name).unwrap_or(NOTHING)
    }

    /// What is remembered of a container, to be changed.
    pub fn container_mut(&mut self, name: &str) -> &mut ContainerMemory {
        self.containers.entry(name.to_owned()).or_default()
    }
}

/// What a worker remembers of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerMemory {
    /// Of its starts.
    pub crashes: Backoff,
    /// Why the last start did not come about.
    pub problem: Option<Problem>,
    /// Of pulling its image.
    pub pulls: Backoff,
    /// The attempt that what follows speaks of.
    pub attempt: Option<u32>,
    /// Whether its startup probe has succeeded (or it has none), and its hook after the start has ended.
    pub started: bool,
    /// What its readiness probe says; `None` while it has not spoken.
    pub ready: Option<bool>,
    /// Why it is to be killed, if it is: a probe or a hook failed.
    pub unhealthy: Option<Unhealthy>,
}

impl ContainerMemory {
    const NOTHING: Self = Self {
        crashes: Backoff::NEVER,
        problem: None,
        pulls: Backoff::NEVER,
        attempt: None,
        started: false,
        ready: None,
        unhealthy: None,
    };

    /// Forgets what spoke of an earlier start.
    pub fn begin(&mut self, attempt: u32) {
        *self = Self { crashes: self.crashes, pulls: self.pulls, attempt: Some(attempt), ..Self::default() };
    }
}

/// How far a change of a pod's resources is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resize {
    /// Why what the spec asks for was not accepted: the condition `PodResizePending`.
    pub pending: Option<Pending>,
    /// What was accepted is not everywhere yet: the condition `PodResizeInProgress`.
    pub progress: Option<Progress>,
}

/// Why a pod does not get the resources that it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred` or `Infeasible`.
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// Of which generation of the pod.
    pub generation: Option<i64>,
}

/// What was accepted is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of which generation of the pod.
    pub generation: Option<i64>,
    /// Why it did not go so far.
    pub error: Option<String>,
}

/// Why something did not come about: what a waiting container shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In one word: `ErrImagePull`, `CreateContainerConfigError` ...
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// When it is to be tried again.
    pub retry_at: SystemTime,
}

/// Why a container that runs is to be killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// For the event `Killing`: `Container main failed liveness probe, will be restarted`.
    pub message: String,
    /// How long it may take to end, if that differs from the pod's.
    pub grace: Option<Duration>,
}

/// How far the volumes of a pod are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Volumes {
    /// An earlier worker may have made them. Making and removing them go on where that one was.
    #[default]
    Unknown,
    /// They are not there.
    Absent,
    /// They cannot be had yet, and are tried again at that time.
    Failed(Problem),
    /// They are there.
    Ready,
}
