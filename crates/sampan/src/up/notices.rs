//! What is asked for and cannot be: said once at the start.

use crate::cli::Up;

/// Prints one sentence for each.
pub(super) fn print(options: &Up) {
    if !options.no_node && !runs_node(options) {
        eprintln!(
            "sampan: only root can run pods, so they are stored but do not run (--no-node says that you know)."
        );
    }
}

/// Whether there is to be a node: without root there cannot be one.
pub(super) fn runs_node(options: &Up) -> bool {
    !options.no_node && rustix::process::geteuid().is_root()
}
