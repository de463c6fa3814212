//! A table as a value: its sets, its chains, their rules. Shown as text, for tests and for people.

use std::collections::BTreeMap;
use std::fmt;

use super::expression::{Data, Expression, Hex};

/// Whose packets a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ipv4,
    /// Frames between ports of bridges.
    Bridge,
}

impl Family {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Bridge => 7,
        }
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) name: String,
    pub(crate) sets: BTreeMap<String, Set>,
    pub(crate) chains: BTreeMap<String, Chain>,
}

/// What the elements of a set stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing: it is a set.
    None,
    /// A map to so many bytes.
    Bytes(u32),
    /// A map to verdicts.
    Verdict,
}

/// A set or a map. Parts of a key begin at multiples of four bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) key_length: u32,
    pub(crate) value: Value,
    pub(crate) elements: BTreeMap<Vec<u8>, Option<Data>>,
}

/// A chain; with a hook, packets come to it by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Vec<Expression>>,
}

/// Where a chain hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) kind: Kind,
    pub(crate) point: u32,
    pub(crate) priority: i32,
}

impl Hook {
    /// NF_INET_..., and NF_BR_PRE_ROUTING.
    pub(crate) const PREROUTING: u32 = 0;
    pub(crate) const FORWARD: u32 = 2;
    pub(crate) const OUTPUT: u32 = 3;
    pub(crate) const POSTROUTING: u32 = 4;
}

/// What a chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Filter,
    Nat,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {:?} {}", self.family, self.name)?;
        for (name, set) in &self.sets {
            writeln!(f, "  set {name}")?;
            for (key, value) in &set.elements {
                write!(f, "    {}", Hex(key))?;
                value.iter().try_for_each(|value| write!(f, " : {value}"))?;
                writeln!(f)?;
            }
        }
        for (name, chain) in &self.chains {
            write!(f, "  chain {name}")?;
            if let Some(Hook { kind, point, priority }) = chain.hook {
                write!(f, " {} hook {point} priority {priority}", kind.name())?;
            }
            writeln!(f)?;
            for rule in &chain.rules {
                let steps: Vec<_> = rule.iter().map(ToString::to_string).collect();
                writeln!(f, "    {}", steps.join(", "))?;
            }
        }
        Ok(())
    }
}
