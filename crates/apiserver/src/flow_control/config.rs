//! What requests are classified and limited by, typed: FlowSchemas and PriorityLevelConfigurations without their objects.
//!
//! Who reads the objects is a [`Source`]; this engine knows neither their encoding nor where they are kept. It adds what
//! may never be missing: the mandatory `exempt` and `catch-all` (KEP-1040).

use std::fmt::Debug;
use std::sync::Arc;

use sampan_model::Str;

/// The mandatory schema and level of requests that are not limited.
pub const EXEMPT: &str = "exempt";
/// The mandatory schema and level of requests that no other schema matches.
pub const CATCH_ALL: &str = "catch-all";

/// Where the configuration comes from. Asked at each request: it must answer from memory, and with the same `Arc` as long as
/// nothing has changed.
pub trait Source: Send + Sync + Debug {
    /// The configuration as of now.
    fn current(&self) -> Arc<Configuration>;
}

/// All schemas and levels, in any order; names are unique.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// How requests are classified.
    pub schemas: Vec<Arc<FlowSchema>>,
    /// How many may be served at once.
    pub levels: Vec<Arc<PriorityLevel>>,
}

/// Which requests belong to a level, and which of them to one flow.
#[derive(Debug, Clone, Default)]
pub struct FlowSchema {
    /// Its name.
    pub name: Str,
    /// Its uid, which answers carry.
    pub uid: Str,
    /// Schemas are asked in ascending order of this, then by name.
    pub precedence: i64,
    /// The level's name.
    pub level: Str,
    /// What tells the flows of this schema apart; `None`: they are one.
    pub distinguisher: Option<Distinguisher>,
    /// A request matches when it matches one of them.
    pub rules: Vec<Rule>,
}

/// What tells flows apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distinguisher {
    /// The user's name.
    ByUser,
    /// The namespace of what is asked for.
    ByNamespace,
}

/// Subjects, and what they ask for.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// Who asks.
    pub subjects: Vec<Subject>,
    /// Which resources are asked for.
    pub resources: Vec<ResourceRule>,
    /// Which other paths are asked for.
    pub paths: Vec<PathRule>,
}

/// Who asks. `*` as a name matches every user, every group, or every account of the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Subject {
    User(Str),
    Group(Str),
    ServiceAccount { namespace: Str, name: Str },
}

/// Requests for resources. `*` in a list matches everything.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct ResourceRule {
    pub verbs: Vec<Str>,
    pub groups: Vec<Str>,
    /// Plurals, with subresources as `pods/log`.
    pub resources: Vec<Str>,
    /// Whether requests without a namespace match.
    pub cluster_scope: bool,
    pub namespaces: Vec<Str>,
}

/// Requests for paths that are no resources.
#[derive(Debug, Clone, Default)]
pub struct PathRule {
    /// Methods in lower case, or `*`.
    pub verbs: Vec<Str>,
    /// Paths; a trailing `*` matches every ending.
    pub paths: Vec<Str>,
}

/// How many requests may be served at once, and what becomes of the others.
#[derive(Debug, Clone)]
pub struct PriorityLevel {
    /// Its name.
    pub name: Str,
    /// Its uid, which answers carry.
    pub uid: Str,
    /// Its part of the server's seats is this, divided by the sum of all.
    pub shares: u32,
    /// How much of its seats other levels may borrow.
    pub lendable_percent: u32,
    /// How much it may borrow, in per cent of its own; `None`: everything.
    pub borrowing_limit_percent: Option<u32>,
    /// What becomes of requests when its seats are taken.
    pub response: Response,
}

/// What becomes of requests when all seats of a level are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// They are served all the same.
    Exempt,
    /// They are refused.
    Reject,
    /// They wait.
    Queue(Queuing),
}

/// The queues of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queuing {
    /// How many there are.
    pub queues: u32,
    /// How many of them a flow may use.
    pub hand_size: u32,
    /// How many requests may wait in one.
    pub length_limit: u32,
}

impl Configuration {
    /// The same with what may never be missing, the schemas in the order in which they are asked, those left out that name a
    /// level that is not there.
    pub(super) fn completed(&self) -> Self {
        let mut levels: Vec<_> = self.levels.iter().filter(|level| level.is_sound()).cloned().collect();
        for (name, level) in [(EXEMPT, mandatory_exempt()), (CATCH_ALL, mandatory_catch_all())] {
            if levels.iter().all(|l| l.name != name) {
                levels.push(Arc::new(level));
            }
        }
        let there = |name: &str| levels.iter().any(|level| level.name == name);
        let mut schemas: Vec<_> =
            self.schemas.iter().filter(|schema| there(&schema.level)).cloned().collect();
        for (name, precedence) in [(EXEMPT, 1), (CATCH_ALL, 10_000)] {
            if schemas.iter().all(|s| s.name != name) {
                schemas.push(Arc::new(mandatory_schema(name, precedence)));
            }
        }
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        Self { schemas, levels }
    }
}

impl PriorityLevel {
    /// Only `exempt` may be exempt, and must be.
    fn is_sound(&self) -> bool {
        (self.response == Response::Exempt) == (self.name == EXEMPT)
    }
}

fn mandatory_exempt() -> PriorityLevel {
    PriorityLevel {
        name: EXEMPT.into(),
        uid: "".into(),
        shares: 0,
        lendable_percent: 0,
        borrowing_limit_percent: None,
        response: Response::Exempt,
    }
}

fn mandatory_catch_all() -> PriorityLevel {
    PriorityLevel { name: CATCH_ALL.into(), shares: 5, response: Response::Reject, ..mandatory_exempt() }
}

fn mandatory_schema(name: &str, precedence: i64) -> FlowSchema {
    let groups: &[&str] = if name == EXEMPT {
        &["system:masters"]
    } else {
        &["system:unauthenticated", "system:authenticated"]
    };
    let all = || vec![Str::from("*")];
    let everything = ResourceRule {
        verbs: all(),
        groups: all(),
        resources: all(),
        cluster_scope: true,
        namespaces: all(),
    };
    let rule = Rule {
        subjects: groups.iter().map(|group| Subject::Group((*group).into())).collect(),
        resources: vec![everything],
        paths: vec![PathRule { verbs: all(), paths: all() }],
    };
    FlowSchema {
        name: name.into(),
        precedence,
        level: name.into(),
        distinguisher: (name == CATCH_ALL).then_some(Distinguisher::ByUser),
        rules: vec![rule],
        ..FlowSchema::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_never_be_missing_is_added_and_dangling_schemas_are_left_out() {
        let schema = |name: &str, precedence, level: &str| {
            Arc::new(FlowSchema {
                name: name.into(),
                precedence,
                level: level.into(),
                ..FlowSchema::default()
            })
        };
        let level = PriorityLevel { name: "mine".into(), shares: 1, ..mandatory_catch_all() };
        let given = Configuration {
            schemas: vec![
                schema("z", 5, "mine"),
                schema("a", 5, "mine"),
                schema("lost", 2, "gone"),
                schema("first", 3, "mine"),
            ],
            levels: vec![Arc::new(level)],
        };
        let completed = given.completed();
        let names: Vec<_> = completed.schemas.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["exempt", "first", "a", "z", "catch-all"]);
        let levels: Vec<_> = completed.levels.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(levels, ["mine", "exempt", "catch-all"]);
    }

    #[test]
    fn a_level_that_is_exempt_without_being_the_exempt_one_does_not_count() {
        let impostor = PriorityLevel { name: "vip".into(), ..mandatory_exempt() };
        let given = Configuration { schemas: Vec::new(), levels: vec![Arc::new(impostor)] };
        assert!(given.completed().levels.iter().all(|level| level.name != "vip"));
    }
}
