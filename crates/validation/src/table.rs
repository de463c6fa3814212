//! Which rules belong to which kind.

use crate::KindRules;

/// The rules of a kind, or `None` for a kind that has none (all that is true of every kind then holds).
pub fn rules(group: &str, kind: &str) -> Option<&'static KindRules> {
    let kinds = match group {
        _ => return None,
    };
    #[allow(unreachable_code)]
    Some(kinds)
}
