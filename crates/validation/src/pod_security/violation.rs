//! What a check finds, the sentences that are made of several, and the words that the checks share.

use std::collections::BTreeSet;

use sampan_model::Value;

use crate::look::Look;

/// Why a check forbids a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Short: `hostPort`.
    pub reason: &'static str,
    /// Who sets what: `container "a" uses hostPort 80`.
    pub detail: String,
}

impl Violation {
    /// What a check answers that found something.
    #[allow(clippy::unnecessary_wraps, reason = "it is the last line of checks, which may find nothing")]
    pub(super) fn new(reason: &'static str, detail: String) -> Option<Self> {
        Some(Self { reason, detail })
    }
}

/// The reasons alone, as they are told of pods that exist already.
pub fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|v| v.reason).collect::<Vec<_>>().join(", ")
}

/// The reasons with their details in parentheses, as they are told of a pod that is written.
pub fn details(violations: &[Violation]) -> String {
    let sentence = |v: &Violation| match v.detail.as_str() {
        "" => v.reason.to_owned(),
        detail => format!("{} ({detail})", v.reason),
    };
    violations.iter().map(sentence).collect::<Vec<_>>().join(", ")
}

/// Items in quotes, which are not escaped within.
pub(super) fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A word for one or for several.
pub(super) fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`
pub(super) fn named_containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// All containers of a pod, in the order in which messages name them.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| spec.list(list))
}

/// The names of the containers that `is_bad`.
pub(super) fn bad_containers(spec: &Value, mut is_bad: impl FnMut(&Value) -> bool) -> Vec<&str> {
    containers(spec).filter(|c| is_bad(c)).map(|c| c.s("name")).collect()
}

/// Who sets something bad: the pod itself, containers, or both. `None` if nobody does.
pub(super) fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    match (pod, containers) {
        (false, []) => None,
        (true, []) => Some("pod".to_owned()),
        (false, names) => Some(named_containers(names)),
        (true, names) => Some(format!("pod and {}", named_containers(names))),
    }
}

/// Bad values, once each and sorted.
pub(super) type Values = BTreeSet<String>;

/// Whether a pod says that it runs on Windows, where much of this has no meaning (KEP-2802).
pub(super) fn is_windows(spec: &Value) -> bool {
    spec.sub("os").s("name") == "windows"
}

/// Whether a pod has a user namespace of its own, in which root is nobody (KEP-127).
pub(super) fn has_user_namespace(spec: &Value) -> bool {
    spec.opt_flag("hostUsers") == Some(false)
}
