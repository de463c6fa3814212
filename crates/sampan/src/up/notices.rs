//! What is asked for and cannot be, or is not part of this version yet: said once at the start.

use crate::cli::Up;

/// Prints one sentence for each.
pub(super) fn print(options: &Up) {
    let is_root = rustix::process::geteuid().is_root();
    for sentence in sentences(options.no_node, options.no_controllers, is_root) {
        eprintln!("sampan: {sentence}");
    }
}

/// Whether there is to be a node: without root there cannot be one.
pub(super) fn runs_node(options: &Up) -> bool {
    !options.no_node && rustix::process::geteuid().is_root()
}

fn sentences(no_node: bool, no_controllers: bool, is_root: bool) -> impl Iterator<Item = &'static str> {
    let node = "only root can run pods, so they are stored but do not run (--no-node says that you know).";
    let controllers = "there are no controllers in this version yet, so objects do what the API server alone does (--no-controllers says that you know).";
    [(no_node || is_root, node), (no_controllers, controllers)]
        .into_iter()
        .filter(|(known, _)| !known)
        .map(|(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_unless_the_user_knows() {
        assert_eq!(sentences(false, false, false).count(), 2);
        assert_eq!(sentences(false, true, true).count(), 0);
        assert_eq!(sentences(true, true, false).count(), 0);
    }
}
