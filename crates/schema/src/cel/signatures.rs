//! The functions that expressions may use, as a table (`signatures.txt`). What the interpreter knows beyond it is not there.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::types::Type;

/// One form of a function.
#[derive(Debug)]
pub(super) struct Signature {
    /// Whether it is called on its first argument.
    pub(super) is_member: bool,
    /// The types of its arguments.
    pub(super) args: Vec<Type>,
    /// The type of its result.
    pub(super) result: Type,
}

/// Comparisons have the forms of the first.
const COMPARISONS: [&str; 4] = ["_<_", "_<=_", "_>_", "_>=_"];

static TABLE: LazyLock<HashMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let mut table: HashMap<&'static str, Vec<Signature>> = HashMap::new();
    let lines = include_str!("signatures.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let (name, signature) = parse(line).expect("the table of functions is well-formed");
        if name == COMPARISONS[0] {
            for operator in &COMPARISONS[1..] {
                let (_, signature) = parse(line).expect("the table of functions is well-formed");
                table.entry(operator).or_default().push(signature);
            }
        }
        table.entry(name).or_default().push(signature);
    }
    table
});

fn parse(line: &'static str) -> Option<(&'static str, Signature)> {
    let (left, result) = line.split_once("-> ")?;
    let mut words = left.split_whitespace();
    let name = words.next()?;
    let args = words.map(Type::parse).collect::<Option<_>>()?;
    let is_member = name.starts_with('.');
    let signature = Signature { is_member, args, result: Type::parse(result)? };
    Some((name.trim_start_matches('.'), signature))
}

/// The forms of a function; none if there is no such function.
pub(super) fn of(name: &str) -> &'static [Signature] {
    TABLE.get(name).map_or(&[], Vec::as_slice)
}

/// Whether `name` is the first part of names of functions (`optional.of`).
pub(super) fn is_namespace(name: &str) -> bool {
    TABLE.keys().any(|function| function.split_once('.').is_some_and(|(space, _)| space == name))
}

/// All names, for the test that each works.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.keys().copied()
}
