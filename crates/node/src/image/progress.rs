//! What a pull or a load tells of itself while it goes on.

use std::sync::Arc;

use super::digest::Digest;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is known what there is to do: the layers and their compressed sizes, the lowest first.
    Resolved {
        /// The reference or file.
        name: String,
        /// The layers.
        layers: Vec<(Digest, u64)>,
    },
    /// A layer is here already.
    Present(Digest),
    /// So many bytes of a layer have come.
    Received {
        /// Which.
        layer: Digest,
        /// Since its beginning, those of earlier attempts included.
        bytes: u64,
    },
    /// A transfer broke off and goes on where it was.
    Resumed {
        /// Which.
        layer: Digest,
        /// From here.
        bytes: u64,
    },
    /// A layer is complete and is being unpacked.
    Unpacking(Digest),
    /// A layer is ready.
    Unpacked(Digest),
}

/// Is told of events. It is called from many tasks and must not block.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// One that does nothing.
pub fn nobody() -> Observer {
    Arc::new(|_| {})
}
