//! Conflicts, and how upstream words them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sampan_model::Str;
use sampan_model::field_error::go_quote;

/// A field that an applied configuration would change although someone else manages it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Whose field it is.
    pub manager: Str,
    /// Whether that manager applied it, rather than wrote it otherwise.
    pub applied: bool,
    /// The subresource it was written through; empty for none.
    pub subresource: Str,
    /// The version it was written in.
    pub api_version: Str,
    /// When it was last written.
    pub time: Option<Str>,
    /// The field, `.data.k`.
    pub path: String,
}

impl Conflict {
    /// The manager as messages name it: `"m1"`, `"m2" with subresource "status" using v1`.
    fn manager_text(&self) -> String {
        let mut text = go_quote(&self.manager);
        if !self.subresource.is_empty() {
            let _ = write!(text, " with subresource {}", go_quote(&self.subresource));
        }
        if !self.applied {
            let _ = write!(text, " using {}", self.api_version);
        }
        text
    }

    /// The message of the cause in the answer: `conflict with "m1"`.
    pub fn cause_message(&self) -> String {
        format!("conflict with {}", self.manager_text())
    }
}

/// The message of the answer; conflicts are grouped by their managers.
pub(super) fn message(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", conflict.cause_message(), conflict.path);
    }
    let mut by_manager: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(conflict.manager_text()).or_default().push(&conflict.path);
    }
    let groups: Vec<String> = by_manager
        .into_iter()
        .map(|(manager, paths)| format!("conflicts with {manager}:\n- {}", paths.join("\n- ")))
        .collect();
    format!("Apply failed with {} conflicts: {}", conflicts.len(), groups.join("\n"))
}
