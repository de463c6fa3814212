//! Whether some rules allow all that others allow, and what they lack.
//!
//! As upstream's `rbac/validation` does: rules are broken into the smallest ones, and each of these must be covered by a
//! single rule.

use sampan_model::Str;
use sampan_model::field_error::go_quote;

use super::rule::{ALL, PolicyRule, covers_path, has};

/// The smallest rules of `wanted` that no rule of `owned` covers.
pub fn missing(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let small = wanted.iter().flat_map(break_down);
    small.filter(|rule| !owned.iter().any(|owner| covers(owner, rule))).collect()
}

/// A rule as rules of one verb and one thing each.
fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut all = Vec::new();
    let one = |word: &Str| vec![word.clone()];
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let small = PolicyRule {
                    api_groups: one(group),
                    resources: one(resource),
                    verbs: one(verb),
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    all.push(small);
                } else {
                    let named = rule.resource_names.iter();
                    all.extend(named.map(|name| PolicyRule { resource_names: one(name), ..small.clone() }));
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            let (verbs, non_resource_urls) = (one(verb), one(url));
            all.push(PolicyRule { verbs, non_resource_urls, ..PolicyRule::default() });
        }
    }
    all
}

fn covers(owner: &PolicyRule, rule: &PolicyRule) -> bool {
    let all = |owned: &[Str], wanted: &[Str]| has(owned, ALL) || wanted.iter().all(|w| has(owned, w));
    let names = owner.resource_names.is_empty()
        || (!rule.resource_names.is_empty()
            && rule.resource_names.iter().all(|n| has(&owner.resource_names, n)));
    all(&owner.verbs, &rule.verbs)
        && all(&owner.api_groups, &rule.api_groups)
        && covers_resources(&owner.resources, &rule.resources)
        && names
        && rule.non_resource_urls.iter().all(|u| owner.non_resource_urls.iter().any(|o| covers_path(o, u)))
}

fn covers_resources(owned: &[Str], wanted: &[Str]) -> bool {
    has(owned, ALL)
        || wanted.iter().all(|resource| {
            let anywhere =
                || resource.split_once('/').is_some_and(|(_, part)| has(owned, &format!("*/{part}")));
            has(owned, resource) || anywhere()
        })
}

/// Rules about one resource each, those about the same one joined (upstream's `CompactRules`).
fn compact(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut compacted: Vec<PolicyRule> = Vec::new();
    for rule in rules {
        let simple = rule.non_resource_urls.is_empty() && rule.resource_names.len() <= 1;
        let same = |other: &&mut PolicyRule| {
            other.api_groups == rule.api_groups
                && other.resources == rule.resources
                && other.resource_names == rule.resource_names
                && other.non_resource_urls.is_empty()
        };
        match compacted.iter_mut().find(same) {
            Some(other) if simple => {
                for verb in rule.verbs {
                    if !has(&other.verbs, &verb) {
                        other.verbs.push(verb);
                    }
                }
            }
            _ => compacted.push(rule),
        }
    }
    compacted
}

/// The missing rules as a refusal lists them: one a line, sorted.
pub fn describe(missing: Vec<PolicyRule>) -> String {
    let mut lines: Vec<String> = compact(missing).iter().map(line).collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

fn line(rule: &PolicyRule) -> String {
    let fields = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let fields = fields.into_iter().filter(|(_, list)| !list.is_empty());
    let fields: Vec<String> = fields.map(|(name, list)| format!("{name}:{}", go_list(list))).collect();
    format!("{{{}}}", fields.join(", "))
}

/// A list of strings as Go's `%q` shows it.
pub(super) fn go_list<S: AsRef<str>>(list: &[S]) -> String {
    format!("[{}]", list.iter().map(|word| go_quote(word.as_ref())).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verbs groups resources [names]`, words joined by commas, `-` the core group; or `verbs /path`.
    fn rule(text: &str) -> PolicyRule {
        let list =
            |words: &str| words.split(',').map(|w| if w == "-" { "".into() } else { w.into() }).collect();
        match text.split(' ').collect::<Vec<_>>().as_slice() {
            [verbs, urls] => {
                PolicyRule { verbs: list(verbs), non_resource_urls: list(urls), ..PolicyRule::default() }
            }
            [verbs, groups, resources, names @ ..] => PolicyRule {
                verbs: list(verbs),
                api_groups: list(groups),
                resources: list(resources),
                resource_names: names.first().map(|n| list(n)).unwrap_or_default(),
                ..PolicyRule::default()
            },
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn what_is_not_held_is_told_in_the_smallest_words() {
        let rows: [(&[&str], &str, &str); 12] = [
            (&["get - pods"], "get - pods", ""),
            (&["get - pods"], "get,list - pods", r#"{APIGroups:[""], Resources:["pods"], Verbs:["list"]}"#),
            (&["get - pods", "list - pods"], "get,list - pods", ""),
            (
                &["get - configmaps"],
                "get,delete - configmaps,secrets",
                "{APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"delete\"]}\n\
                 {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\"]}",
            ),
            (&["* * *"], "get,bind apps,- a,b/c x", ""),
            (&["* * *"], "get /metrics", r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#),
            (&["get - pods a,b"], "get - pods a", ""),
            (&["get - pods a"], "get - pods", r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#),
            (
                &["get - pods a"],
                "get - pods b",
                r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}"#,
            ),
            (&["update apps */scale"], "update apps deployments/scale", ""),
            (&["get /healthz/*"], "get /healthz/a,/healthz/b/*", ""),
            (&["get - pods"], "* * *", r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#),
        ];
        for (owned, wanted, lacking) in rows {
            let owned: Vec<PolicyRule> = owned.iter().map(|r| rule(r)).collect();
            assert_eq!(describe(missing(&owned, &[rule(wanted)])), lacking, "{owned:?} {wanted}");
        }
    }
}
