//! Why a pod could not be connected.

use std::error::Error as StdError;

/// Why a pod could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every address of the node's range is taken.
    #[error("no address is free in {range}")]
    Exhausted {
        /// The node's range.
        range: String,
    },
    /// A port of the host is another pod's.
    #[error("port {port} of the host is taken")]
    PortTaken {
        /// Which.
        port: u16,
    },
    /// The machine refused, or what was asked makes no sense.
    #[error("{context}")]
    Failed {
        /// What was tried.
        context: String,
        /// What went wrong.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// For `map_err`: says what was tried.
pub(crate) fn failed<E: Into<Box<dyn StdError + Send + Sync>>>(
    context: impl Into<String>,
) -> impl FnOnce(E) -> Error {
    |source| Error::Failed { context: context.into(), source: source.into() }
}
