//! Reads the policy file of `--audit-policy-file`, with upstream's complaints.

use sampan_model::{FieldError, FieldPath, Map, Value};
use serde::Deserialize;

use super::{GroupResources, Policy, Rule};
use crate::audit::level::{Level, Stage};

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no YAML, or of another shape.
    #[error("failed decoding: {0}")]
    Decode(String),
    /// It is of another kind or version.
    #[error("unknown group version field {0} in policy")]
    Version(String),
    /// Its fields are wrong.
    #[error("{0}")]
    Invalid(String),
    /// It has no rules.
    #[error("loaded illegal policy with 0 rules")]
    Empty,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicyFile {
    omit_stages: Option<Vec<String>>,
    omit_managed_fields: bool,
    rules: Option<Vec<RuleFile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RuleFile {
    level: String,
    users: Option<Vec<String>>,
    user_groups: Option<Vec<String>>,
    verbs: Option<Vec<String>>,
    resources: Option<Vec<ResourcesFile>>,
    namespaces: Option<Vec<String>>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Option<Vec<String>>,
    omit_stages: Option<Vec<String>>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourcesFile {
    group: String,
    resources: Option<Vec<String>>,
    resource_names: Option<Vec<String>>,
}

const POLICY_FIELDS: [&str; 6] =
    ["apiVersion", "kind", "metadata", "omitManagedFields", "omitStages", "rules"];
const RULE_FIELDS: [&str; 9] = [
    "level",
    "namespaces",
    "nonResourceURLs",
    "omitManagedFields",
    "omitStages",
    "resources",
    "userGroups",
    "users",
    "verbs",
];

impl Policy {
    /// Reads the text of a policy file. Fields that do not exist are logged and ignored, as upstream does.
    pub fn from_yaml(text: &[u8]) -> Result<Self, Error> {
        let (tree, duplicates) = sampan_schema::decode::untyped_yaml(text).map_err(decode_error)?;
        let (version, kind) = (tree.str_at(&["apiVersion"]), tree.str_at(&["kind"]));
        if version != "audit.k8s.io/v1" || kind != "Policy" {
            return Err(Error::Version(format!("{version}, Kind={kind}")));
        }
        let unknown = unknown_fields(&tree);
        if !unknown.is_empty() || !duplicates.is_empty() {
            tracing::warn!(?unknown, ?duplicates, "the audit policy contains errors, which are ignored");
        }
        let json = serde_json::to_value(&tree).map_err(decode_error)?;
        let file: PolicyFile = serde_json::from_value(json).map_err(decode_error)?;
        let mut errors = Vec::new();
        let policy = policy(file, &mut errors);
        if !errors.is_empty() {
            let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Err(Error::Invalid(match list.as_slice() {
                [one] => one.clone(),
                many => format!("[{}]", many.join(", ")),
            }));
        }
        if policy.rules.is_empty() { Err(Error::Empty) } else { Ok(policy) }
    }
}

fn decode_error(error: impl std::fmt::Display) -> Error {
    Error::Decode(error.to_string())
}

fn unknown_fields(policy: &Value) -> Vec<String> {
    let unknown = |value: &Value, known: &[&str], place: &str| -> Vec<String> {
        let keys = value.as_object().into_iter().flat_map(Map::keys);
        keys.filter(|k| !known.contains(&k.as_str())).map(|k| format!("{place}{k}")).collect()
    };
    let mut fields = unknown(policy, &POLICY_FIELDS, "");
    for (i, rule) in policy.array_at(&["rules"]).iter().enumerate() {
        fields.extend(unknown(rule, &RULE_FIELDS, &format!("rules[{i}].")));
    }
    fields
}

fn policy(file: PolicyFile, errors: &mut Vec<FieldError>) -> Policy {
    let path = FieldPath::field("omitStages");
    let everywhere = stages(file.omit_stages.as_deref().unwrap_or_default(), &path, errors);
    let path = FieldPath::field("rules");
    let rules = file.rules.unwrap_or_default().into_iter().enumerate();
    let rules = rules.map(|(i, rule)| self::rule(rule, &everywhere, &path.index(i), errors)).collect();
    Policy { rules, omit_managed_fields: file.omit_managed_fields }
}

fn rule(file: RuleFile, everywhere: &[Stage], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) -> Rule {
    let level = Level::parse(&file.level).unwrap_or_else(|| {
        let (path, names) = (path.child("level"), Level::ALL.map(Level::as_str));
        errors.push(if file.level.is_empty() {
            FieldError::required(path, "")
        } else {
            FieldError::not_supported_as_listed(path, file.level.as_str(), &names)
        });
        Level::None
    });
    let non_resource_urls = file.non_resource_urls.unwrap_or_default();
    check_urls(&non_resource_urls, &path.child("nonResourceURLs"), errors);
    let resources = resources(file.resources.unwrap_or_default(), &path.child("resources"), errors);
    let own = stages(file.omit_stages.as_deref().unwrap_or_default(), &path.child("omitStages"), errors);
    let namespaces = file.namespaces.unwrap_or_default();
    if !non_resource_urls.is_empty() && (!resources.is_empty() || !namespaces.is_empty()) {
        let urls: Vec<Value> = non_resource_urls.iter().map(|u| Value::from(u.as_str())).collect();
        let detail = "rules cannot apply to both regular resources and non-resource URLs";
        errors.push(FieldError::invalid(path.child("nonResourceURLs"), urls, detail));
    }
    Rule {
        level,
        users: file.users.unwrap_or_default(),
        user_groups: file.user_groups.unwrap_or_default(),
        verbs: file.verbs.unwrap_or_default(),
        resources,
        namespaces,
        non_resource_urls,
        omit_stages: everywhere.iter().copied().chain(own).collect(),
        omit_managed_fields: file.omit_managed_fields,
    }
}

fn stages(names: &[String], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) -> Vec<Stage> {
    let mut stages = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if let Some(stage) = Stage::parse(name) {
            stages.push(stage);
            continue;
        }
        let detail = format!("allowed stages are {}", Stage::ALL.map(Stage::as_str).join(","));
        errors.push(FieldError::invalid(path.index(i), name.as_str(), detail));
    }
    stages
}

fn check_urls(urls: &[String], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for (i, url) in urls.iter().enumerate().filter(|(_, url)| *url != "*") {
        if !url.starts_with('/') {
            let detail = "non-resource URL rules must begin with a '/' character";
            errors.push(FieldError::invalid(path.index(i), url.as_str(), detail));
        }
        if url.strip_suffix(|_: char| true).is_some_and(|start| start.contains('*')) {
            let detail = "non-resource URL wildcards '*' must be the final character of the rule";
            errors.push(FieldError::invalid(path.index(i), url.as_str(), detail));
        }
    }
}

fn resources(
    files: Vec<ResourcesFile>,
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) -> Vec<GroupResources> {
    let mut all = Vec::new();
    for file in files {
        let (resources, resource_names) =
            (file.resources.unwrap_or_default(), file.resource_names.unwrap_or_default());
        if !file.group.is_empty() {
            let wrong = sampan_model::name::name_is_dns_subdomain(&file.group, false);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(path.child("group"), file.group.as_str(), wrong.join(",")));
            }
        }
        if !resource_names.is_empty() && resources.is_empty() {
            let names: Vec<Value> = resource_names.iter().map(|n| Value::from(n.as_str())).collect();
            let detail = "using resourceNames requires at least one resource";
            errors.push(FieldError::invalid(path.child("resourceNames"), names, detail));
        }
        all.push(GroupResources { group: file.group, resources, resource_names });
    }
    all
}
