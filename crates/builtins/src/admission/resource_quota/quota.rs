//! A quota, read from its object.

use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};
use sampan_store::Revision;

use super::super::amounts::{Amounts, amounts, to_map};
use super::evaluator;
use super::scopes::Requirement;

/// What a namespace may use, and what it does use.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) name: String,
    pub(super) revision: Revision,
    /// As the spec has it.
    pub(super) hard: Amounts,
    pub(super) used: Amounts,
    /// It counts only what fulfils all of these.
    pub(super) scopes: Vec<Requirement>,
    /// Whether the status is that of another spec.
    stale: bool,
    object: Value,
}

impl Quota {
    pub(super) fn new(object: Value) -> Self {
        let hard = amounts(&object, &["spec", "hard"]);
        Self {
            name: object.name().to_owned(),
            revision: object.resource_version().parse().unwrap_or(0),
            stale: amounts(&object, &["status", "hard"]) != hard,
            hard,
            used: amounts(&object, &["status", "used"]),
            scopes: Requirement::of_quota(&object),
            object,
        }
    }

    /// Whether its status tells what is used of everything that it limits.
    pub(super) fn is_counted(&self) -> bool {
        !self.stale
            && self.hard.keys().filter(|n| evaluator::is_tracked(n)).all(|n| self.used.contains_key(n))
    }

    /// The object, with a status that tells of this use.
    pub(super) fn with_used(self, used: &Amounts) -> Value {
        let mut object = self.object;
        if let Value::Object(map) = &mut object {
            let hard = map.object_mut("spec").get("hard").cloned().unwrap_or_else(|| Map::new().into());
            let status = map.object_mut("status");
            status.insert("hard", hard);
            status.insert("used", to_map(used));
        }
        object.meta_mut().remove("resourceVersion");
        object
    }
}
