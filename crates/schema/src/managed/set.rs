//! Sets of fields, as `fieldsV1` holds them: a tree of keys. A node without children is a member; one with
//! children is a member if it has the key `.`. All operations work on that form.

use std::cmp::Ordering;

use sampan_model::{Map, Str, Value};

use super::{Error, element};
use crate::decode::MAX_DEPTH;

/// The key that makes a node with children a member.
const SELF: &str = ".";

/// A set of fields of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FieldSet(pub(super) Map);

impl FieldSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// From the form that `fieldsV1` has.
    pub fn from_value(fields_v1: &Value) -> Result<Self, Error> {
        let map = match fields_v1 {
            Value::Object(map) => canonical(map, 0)?,
            Value::Null => Map::new(),
            other => {
                return Err(Error::Invalid(format!(
                    "error decoding set: expected a map, found {}",
                    other.type_name()
                )));
            }
        };
        Ok(Self(map))
    }

    /// The form that `fieldsV1` has.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Whether there is no field in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: &FieldSet) -> Self {
        Self(union(self.0, &other.0))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> Self {
        Self(intersection(&self.0, &other.0))
    }

    /// What is in this but not in the other. A member of the other takes nothing that is below it.
    #[must_use]
    pub fn difference(mut self, other: &FieldSet) -> Self {
        subtract(&mut self.0, &other.0);
        self
    }

    /// What is in this but neither in the other nor below one of its members.
    #[must_use]
    pub fn recursive_difference(mut self, other: &FieldSet) -> Self {
        subtract_recursively(&mut self.0, &other.0);
        self
    }

    /// Whether there is a field that is in both.
    pub fn intersects(&self, other: &FieldSet) -> bool {
        intersects(&self.0, &other.0)
    }

    /// The members, printed: `.spec.containers[name="x"].image`. Those of one level come before those below.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        collect(&self.0, &mut String::new(), &mut paths);
        paths
    }
}

fn canonical(map: &Map, depth: usize) -> Result<Map, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::Invalid("error decoding set: exceeded max depth".into()));
    }
    let mut entries: Vec<(Str, Value)> = Vec::with_capacity(map.len());
    for (key, value) in map.iter() {
        let key = element::canonical(key).map_err(|e| Error::Invalid(format!("error decoding set: {e}")))?;
        let Some(key) = key else { continue };
        if key == SELF {
            if depth > 0 {
                entries.push((key, Value::Object(Map::new())));
            }
            continue;
        }
        let below = match value {
            Value::Object(below) => canonical(below, depth + 1)?,
            _ => Map::new(),
        };
        entries.push((key, Value::Object(below)));
    }
    if depth > 0 && entries.len() == 1 && entries[0].0 == SELF {
        entries.clear();
    }
    Ok(Map::from_unsorted(entries))
}

fn children(node: &Value) -> &Map {
    static NONE: Map = Map::new();
    node.as_object().unwrap_or(&NONE)
}

/// Whether a node is a member.
pub(super) fn is_member(node: &Map) -> bool {
    node.keys().next().is_none_or(|first| first == SELF)
}

fn below(node: &Map) -> impl Iterator<Item = (&Str, &Value)> {
    node.iter().skip_while(|(key, _)| *key == SELF)
}

fn has_below(node: &Map) -> bool {
    node.len() > usize::from(node.contains_key(SELF))
}

/// A node from its parts.
pub(super) fn node(member: bool, mut below: Vec<(Str, Value)>) -> Option<Value> {
    if below.is_empty() {
        return member.then(|| Value::Object(Map::new()));
    }
    if member {
        below.insert(0, (SELF.into(), Value::Object(Map::new())));
    }
    Some(Value::Object(Map::from_unsorted(below)))
}

fn split(node: Value) -> (bool, Vec<(Str, Value)>) {
    let Value::Object(map) = node else { return (true, Vec::new()) };
    let member = is_member(&map);
    (member, map.into_iter().filter(|(key, _)| key != SELF).collect())
}

/// What is in either of two sets.
pub(super) fn union(a: Map, b: &Map) -> Map {
    if b.is_empty() {
        return a;
    }
    if a.is_empty() {
        return b.clone();
    }
    Map::from_unsorted(union_below(a.into_iter().collect(), b))
}

fn union_below(a: Vec<(Str, Value)>, b: &Map) -> Vec<(Str, Value)> {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let mut a = a.into_iter().peekable();
    let mut b = below(b).peekable();
    loop {
        let order = match (a.peek(), b.peek()) {
            (Some((left, _)), Some((right, _))) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return out,
        };
        match order {
            Ordering::Less => out.extend(a.next()),
            Ordering::Greater => out.extend(b.next().map(|(key, value)| (key.clone(), value.clone()))),
            Ordering::Equal => {
                if let (Some((key, left)), Some((_, right))) = (a.next(), b.next()) {
                    let right = children(right);
                    let (member, left) = split(left);
                    if let Some(both) = node(member || is_member(right), union_below(left, right)) {
                        out.push((key, both));
                    }
                }
            }
        }
    }
}

/// What is in both of two sets.
pub(super) fn intersection(a: &Map, b: &Map) -> Map {
    Map::from_unsorted(intersection_below(a, b))
}

fn intersection_below(a: &Map, b: &Map) -> Vec<(Str, Value)> {
    let mut out = Vec::new();
    for (key, left) in below(a) {
        let Some(right) = b.get(key) else { continue };
        let (left, right) = (children(left), children(right));
        let member = is_member(left) && is_member(right);
        out.extend(node(member, intersection_below(left, right)).map(|both| (key.clone(), both)));
    }
    out
}

/// Whether two sets have a member in common.
pub(super) fn intersects(a: &Map, b: &Map) -> bool {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    below(few).any(|(key, left)| {
        many.get(key).is_some_and(|right| {
            let (left, right) = (children(left), children(right));
            (is_member(left) && is_member(right)) || intersects(left, right)
        })
    })
}

/// Takes the members of `b` out of `a`.
pub(super) fn subtract(a: &mut Map, b: &Map) {
    subtract_with(a, b, false);
}

/// Takes the members of `b`, and what is below them, out of `a`.
pub(super) fn subtract_recursively(a: &mut Map, b: &Map) {
    subtract_with(a, b, true);
}

fn subtract_with(a: &mut Map, b: &Map, recursively: bool) {
    let mut emptied = false;
    for (key, right) in below(b) {
        let Some(Value::Object(left)) = a.get_mut(key) else { continue };
        let right = children(right);
        let gone = is_member(right);
        if gone && recursively {
            a.remove(key);
            continue;
        }
        let member = is_member(left) && !gone;
        subtract_with(left, right, recursively);
        match (member, has_below(left)) {
            (true, false) => *left = Map::new(),
            (false, true) => drop(left.remove(SELF)),
            (true, true) => {}
            (false, false) => {
                // Marked, and taken away below, so that the map is not shifted once for each.
                *left = [("!", Value::Null)].into_iter().collect();
                emptied = true;
            }
        }
    }
    if emptied {
        a.retain(|_, node| !children(node).contains_key("!"));
    }
}

fn collect(map: &Map, path: &mut String, paths: &mut Vec<String>) {
    let start = path.len();
    for (key, node) in below(map) {
        if is_member(children(node)) {
            paths.push(format!("{path}{}", element::print(key)));
        }
    }
    for (key, node) in below(map) {
        let node = children(node);
        if has_below(node) {
            path.push_str(&element::print(key));
            collect(node, path, paths);
            path.truncate(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set() -> impl Strategy<Value = FieldSet> {
        let leaf = Just(Value::Object(Map::new()));
        let key = prop_oneof!["f:[abc]", Just(r#"k:{"n":"a"}"#.to_owned()), Just("v:1".to_owned())];
        leaf.prop_recursive(3, 12, 3, move |inner| {
            (any::<bool>(), prop::collection::vec((key.clone(), inner), 1..3)).prop_map(|(member, below)| {
                let below: Map = below.into_iter().collect();
                node(member, below.into_iter().collect()).unwrap()
            })
        })
        .prop_map(|value| {
            let (_, below) = split(value);
            FieldSet(Map::from_unsorted(below))
        })
    }

    fn members(set: &FieldSet) -> std::collections::BTreeSet<String> {
        set.paths().into_iter().collect()
    }

    proptest! {
        #[test]
        fn sets_follow_the_algebra_of_their_members(a in set(), b in set()) {
            let (left, right) = (members(&a), members(&b));
            prop_assert_eq!(members(&a.clone().union(&b)), &left | &right);
            prop_assert_eq!(members(&a.intersection(&b)), &left & &right);
            prop_assert_eq!(members(&a.clone().difference(&b)), &left - &right);
            prop_assert_eq!(a.intersects(&b), !left.is_disjoint(&right));
            prop_assert_eq!(a.clone().union(&b), b.clone().union(&a));
            prop_assert!(a.clone().difference(&a).is_empty());
            let recursive = a.clone().recursive_difference(&b);
            prop_assert!(members(&recursive).is_subset(&(&left - &right)));
            prop_assert_eq!(recursive.clone().recursive_difference(&b), recursive);
        }

        #[test]
        fn a_set_survives_its_value(a in set()) {
            prop_assert_eq!(FieldSet::from_value(&a.to_value()).unwrap(), a);
        }
    }

    #[test]
    fn members_come_before_what_is_below() {
        let set = FieldSet::from_value(&crate::schemas::value(
            r#"{"f:a":{".":{},"f:x":{}},"f:b":{},"f:c":{"f:y":{}}}"#,
        ))
        .unwrap();
        assert_eq!(set.paths(), [".a", ".b", ".a.x", ".c.y"]);
    }
}
