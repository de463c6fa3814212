//! Node selectors: `nodeSelector`, and the terms of node affinity. Read once a pod, asked once a node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};
use sampan_model::label_selector::{Operator, Requirement};

type Labels = BTreeMap<String, String>;

/// The only field that terms know.
const NAME: &str = "metadata.name";

/// One term: all of its requirements.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    labels: Vec<Requirement>,
    /// Whether the node's name must be among these (`In`) or must not be.
    names: Vec<(bool, Vec<String>)>,
    /// It is empty, or cannot be read: it matches no node.
    never: bool,
}

impl Term {
    /// Reads a term.
    pub fn new(term: &NodeSelectorTerm) -> Self {
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let labels: Option<Vec<_>> = expressions.iter().map(requirement).collect();
        let names: Option<Vec<_>> = fields.iter().map(name_requirement).collect();
        let never = labels.is_none() || names.is_none() || (expressions.is_empty() && fields.is_empty());
        Self { labels: labels.unwrap_or_default(), names: names.unwrap_or_default(), never }
    }

    /// Whether a term asks for nothing: it matches no node.
    pub fn is_empty(term: &NodeSelectorTerm) -> bool {
        term.match_expressions.as_deref().unwrap_or_default().is_empty()
            && term.match_fields.as_deref().unwrap_or_default().is_empty()
    }

    /// Whether a node of this name and with these labels is one.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        !self.never
            && self.labels.iter().all(|r| r.accepts(labels.get(r.key()).map(String::as_str)))
            && self.names.iter().all(|(is_in, names)| *is_in == names.iter().any(|known| known == name))
    }

    /// The names of the only nodes that can match, if the term names them.
    fn only(&self) -> Option<Vec<&str>> {
        let mut lists = self.names.iter().filter(|(is_in, _)| *is_in).map(|(_, names)| names);
        let first = lists.next()?;
        let in_all = |name: &&String| lists.clone().all(|names| names.contains(name));
        Some(first.iter().filter(in_all).map(String::as_str).collect())
    }
}

/// What `nodeSelector` and the required terms of a pod ask of its node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Required {
    labels: Labels,
    /// Any of them; none at all: no node.
    terms: Option<Vec<Term>>,
}

impl Required {
    /// What a pod asks.
    pub fn of(spec: &PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        Self {
            labels: spec.node_selector.clone().unwrap_or_default(),
            terms: required.map(|r| r.node_selector_terms.iter().map(Term::new).collect()),
        }
    }

    /// Whether a node of this name and with these labels is one.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }

    /// The names of the only nodes that can match, if every term names some: those of the pods of a DaemonSet do.
    pub fn only(&self) -> Option<Vec<&str>> {
        let terms = self.terms.as_ref().filter(|terms| !terms.is_empty())?;
        let mut all = Vec::new();
        for term in terms {
            all.extend(term.only()?);
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }
}

fn requirement(requirement: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match requirement.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values = requirement.values.iter().flatten().map(|v| v.as_str().into()).collect();
    Requirement::new(requirement.key.as_str(), operator, values).ok()
}

fn name_requirement(requirement: &NodeSelectorRequirement) -> Option<(bool, Vec<String>)> {
    let is_in = match requirement.operator.as_str() {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    let values = requirement.values.clone().filter(|values| values.len() == 1)?;
    (requirement.key == NAME).then_some((is_in, values))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_are_alternatives_and_requirements_hold_together() {
        let labels = [("disk", "ssd"), ("cores", "8")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let is = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        let rows = [
            ("in", json!([{"matchExpressions": [is("disk", "In", &["ssd", "hdd"])]}]), true),
            ("not in", json!([{"matchExpressions": [is("disk", "NotIn", &["ssd"])]}]), false),
            ("a missing label is not in", json!([{"matchExpressions": [is("zone", "NotIn", &["a"])]}]), true),
            ("exists", json!([{"matchExpressions": [is("disk", "Exists", &[])]}]), true),
            ("does not exist", json!([{"matchExpressions": [is("disk", "DoesNotExist", &[])]}]), false),
            ("greater", json!([{"matchExpressions": [is("cores", "Gt", &["7"])]}]), true),
            ("less", json!([{"matchExpressions": [is("cores", "Lt", &["8"])]}]), false),
            ("no number", json!([{"matchExpressions": [is("disk", "Gt", &["7"])]}]), false),
            (
                "all of a term",
                json!([{"matchExpressions": [is("disk", "Exists", &[]), is("zone", "Exists", &[])]}]),
                false,
            ),
            (
                "any term",
                json!([{"matchExpressions": [is("zone", "Exists", &[])]}, {"matchExpressions": [is("disk", "Exists", &[])]}]),
                true,
            ),
            ("the name", json!([{"matchFields": [is(NAME, "In", &["n1"])]}]), true),
            ("another name", json!([{"matchFields": [is(NAME, "In", &["n2"])]}]), false),
            ("not the name", json!([{"matchFields": [is(NAME, "NotIn", &["n2"])]}]), true),
            ("an empty term", json!([{}]), false),
            ("no terms", json!([]), false),
        ];
        for (name, terms, matched) in rows {
            let terms: Vec<NodeSelectorTerm> = serde_json::from_value(terms).expect(name);
            let required =
                Required { labels: BTreeMap::new(), terms: Some(terms.iter().map(Term::new).collect()) };
            assert_eq!(required.matches("n1", &labels), matched, "{name}");
        }
    }

    #[test]
    fn the_only_nodes_are_known_when_every_term_names_them() {
        let term = |names: &[&str]| {
            let fields: Vec<_> =
                names.iter().map(|n| json!({"key": NAME, "operator": "In", "values": [n]})).collect();
            Term::new(&serde_json::from_value(json!({"matchFields": fields})).expect("a term"))
        };
        let other: NodeSelectorTerm =
            serde_json::from_value(json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]}))
                .expect("a term");
        let only = |terms: Vec<Term>| {
            let required = Required { labels: BTreeMap::new(), terms: Some(terms) };
            required.only().map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(only(vec![term(&["b"]), term(&["a"])]), Some(vec!["a".into(), "b".into()]));
        assert_eq!(only(vec![term(&["a", "b"])]), Some(vec![]), "no node has two names");
        assert_eq!(only(vec![term(&["a"]), Term::new(&other)]), None);
        assert_eq!(only(vec![]), None);
    }
}
