//! What the system grants the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sampan_apiserver::listener::MAX_CONNECTIONS;

/// How many open files are kept for everything that is no connection of a client.
const OTHER_FILES: u64 = 256;

/// Takes as many open files as the system allows, and says how many: each connection is one, and the usual first limit of 1024
/// is kept low only for programs that call `select`.
pub(crate) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections may be open at once, of so many files.
pub(super) fn connections(open_files: u64) -> u32 {
    let left = open_files.saturating_sub(OTHER_FILES).max(open_files / 2).max(1);
    u32::try_from(left).unwrap_or(u32::MAX).min(MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        for (files, want) in [(u64::MAX, 16_384), (65_536, 16_384), (4_096, 3_840), (64, 32), (0, 1)] {
            assert_eq!(connections(files), want, "{files}");
        }
    }
}
