//! What the node asks of whoever keeps its images, and the [`store`] that does. `docs/images.md` has its shape.

mod archive;
mod compression;
pub mod cri;
pub mod digest;
pub mod gc;
mod hosts;
mod manifest;
mod overlay;
mod platform;
pub mod progress;
mod pull;
pub mod reference;
mod registry;
mod rootfs;
mod shared;
pub mod store;
mod tar;
mod unpack;

use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use unpack::Limits;

/// Keeps images.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// The image that this reference names here, if it is here.
    async fn get(&self, reference: &str) -> Result<Option<Image>, Error>;

    /// Brings an image here. Calls for the same reference and credentials share one pull.
    async fn pull(&self, reference: &str, credentials: &[Credentials]) -> Result<Image, Error>;

    /// All images.
    async fn list(&self) -> Result<Vec<Image>, Error>;

    /// Removes an image by its id, or one of its names.
    async fn remove(&self, reference: &str) -> Result<(), Error>;

    /// Removes images that nothing uses while the disk is fuller than it should be, or that were not used for too long.
    async fn collect(&self) -> Result<(), Error>;

    /// Removes every image that nothing uses.
    async fn collect_unused(&self) -> Result<(), Error>;

    /// The space images take.
    async fn disk_use(&self) -> Result<DiskUse, Error>;
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `sha256:...` of its configuration.
    pub id: String,
    /// Names with tags: `docker.io/library/busybox:latest`.
    pub tags: Vec<String>,
    /// Names with digests.
    pub digests: Vec<String>,
    /// Compressed size of what it consists of.
    pub size_bytes: u64,
    /// What it says about its containers.
    pub defaults: Defaults,
    /// When a container was last made of it, or it was brought here.
    pub last_used: SystemTime,
}

/// What an image says about its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// `USER[:GROUP]`, by name or number; empty is root.
    pub user: String,
    /// The entry point.
    pub entrypoint: Vec<String>,
    /// Its arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// The working directory.
    pub working_directory: String,
    /// The signal that asks its containers to end.
    pub stop_signal: Option<String>,
}

/// Who asks a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// A token that is used instead of both.
    pub identity_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The space images take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes of content and unpacked layers.
    pub used_bytes: u64,
    /// Size of the file system they are on.
    pub capacity_bytes: u64,
    /// What is free of it.
    pub available_bytes: u64,
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reference is no reference: `InvalidImageName`.
    #[error("couldn't parse image name \"{reference}\": {reason}")]
    InvalidName {
        /// As it was given.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry has no such image, or does not say so to these credentials.
    #[error("{0}")]
    NotFound(String),
    /// The registry refuses these credentials.
    #[error("{0}")]
    Unauthorized(String),
    /// What came is not what its digest says, or not an image.
    #[error("{0}")]
    Invalid(String),
    /// There is no platform of this machine in the index.
    #[error("no match for platform in manifest: {0}")]
    Platform(String),
    /// A container uses it.
    #[error("image {0} is in use")]
    InUse(String),
    /// The registry or the disk failed.
    #[error("{context}")]
    Failed {
        /// What was tried.
        context: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn failed(
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { context: context.into(), source: source.into() }
    }

    /// The same, in the course of something.
    #[must_use]
    pub(crate) fn during(self, what: &str) -> Self {
        match self {
            Self::NotFound(text) => Self::NotFound(format!("{what}: {text}")),
            Self::Unauthorized(text) => Self::Unauthorized(format!("{what}: {text}")),
            Self::Invalid(text) => Self::Invalid(format!("{what}: {text}")),
            Self::Failed { context, source } => {
                Self::Failed { context: format!("{what}: {context}"), source }
            }
            other @ (Self::InvalidName { .. } | Self::Platform(_) | Self::InUse(_)) => other,
        }
    }

    /// For another who waited for the same.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::InvalidName { reference, reason } => {
                Self::InvalidName { reference: reference.clone(), reason: reason.clone() }
            }
            Self::NotFound(text) => Self::NotFound(text.clone()),
            Self::Unauthorized(text) => Self::Unauthorized(text.clone()),
            Self::Invalid(text) => Self::Invalid(text.clone()),
            Self::Platform(text) => Self::Platform(text.clone()),
            Self::InUse(text) => Self::InUse(text.clone()),
            Self::Failed { context, source } => Self::failed(context.clone(), chain(source.as_ref())),
        }
    }
}

/// An error and all its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
