//! What is asked for and not part of this version yet, said once at the start.

use crate::cli::Up;

/// Prints one sentence for each.
pub(super) fn print(options: &Up) {
    for sentence in sentences(options.no_node, options.no_controllers) {
        eprintln!("sampan: {sentence}");
    }
}

fn sentences(no_node: bool, no_controllers: bool) -> impl Iterator<Item = &'static str> {
    let node = "there is no node in this version yet, so pods are stored but do not run (--no-node says that you know).";
    let controllers = "there are no controllers in this version yet, so objects do what the API server alone does (--no-controllers says that you know).";
    [(no_node, node), (no_controllers || no_node, controllers)]
        .into_iter()
        .filter(|(known, _)| !known)
        .map(|(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_unless_the_user_knows() {
        assert_eq!(sentences(false, false).count(), 2);
        assert_eq!(sentences(true, true).count(), 0);
    }
}
