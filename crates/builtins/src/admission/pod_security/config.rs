//! `PodSecurityConfiguration`: what holds in namespaces that say nothing, and who is exempt.

use sampan_model::{FieldError, FieldPath, Map, Value};
use sampan_validation::pod_security::{Level, Policy, Version};

/// The group of the configuration; all its versions are alike.
const GROUP: &str = "pod-security.admission.config.k8s.io";

/// A cluster's configuration of the plug-in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The policy of namespaces without labels; `privileged:latest` unless configured.
    pub defaults: Policy,
    /// What is not looked at.
    pub exemptions: Exemptions,
}

/// What is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exemptions {
    /// By who writes.
    pub usernames: Vec<String>,
    /// By namespace.
    pub namespaces: Vec<String>,
    /// By the runtime class of the pod.
    pub runtime_classes: Vec<String>,
}

impl Exemptions {
    pub(super) fn namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|n| n == name)
    }

    pub(super) fn username(&self, name: &str) -> bool {
        self.usernames.iter().any(|n| n == name)
    }

    /// Whether a pod, or a pod's template, is exempt by its runtime class.
    pub(super) fn runtime_class(&self, pod: &Value) -> bool {
        let class = pod.str_at(&["spec", "runtimeClassName"]);
        self.runtime_classes.iter().any(|c| c == class)
    }
}

impl Configuration {
    /// Reads the `PodSecurityConfiguration` of an admission configuration file, strictly: nothing may be misspelt in
    /// what is to make a cluster safe. Answers in one sentence what is wrong.
    pub fn from_value(config: &Value) -> Result<Self, String> {
        let known_version = ["v1", "v1beta1", "v1alpha1"]
            .iter()
            .any(|v| config.str_at(&["apiVersion"]) == format!("{GROUP}/{v}"));
        if !known_version || config.str_at(&["kind"]) != "PodSecurityConfiguration" {
            return Err(format!(
                "no kind \"{}\" is registered for version \"{}\"",
                config.str_at(&["kind"]),
                config.str_at(&["apiVersion"])
            ));
        }
        let mut unknown = Vec::new();
        check_fields(config, "", &["apiVersion", "kind", "defaults", "exemptions"], &mut unknown);
        let (defaults, exemptions) = (part(config, "defaults"), part(config, "exemptions"));
        let levels = ["enforce", "enforce-version", "audit", "audit-version", "warn", "warn-version"];
        check_fields(defaults, "defaults.", &levels, &mut unknown);
        check_fields(exemptions, "exemptions.", &["usernames", "namespaces", "runtimeClasses"], &mut unknown);
        if !unknown.is_empty() {
            let list: Vec<String> = unknown.iter().map(|f| format!("unknown field \"{f}\"")).collect();
            return Err(format!("strict decoding error: {}", list.join(", ")));
        }
        let mut errors = Vec::new();
        let config = Self {
            defaults: read_defaults(defaults, &mut errors),
            exemptions: read_exemptions(exemptions, &mut errors),
        };
        if errors.is_empty() { Ok(config) } else { Err(super::aggregate(&errors)) }
    }
}

fn part<'a>(config: &'a Value, name: &str) -> &'a Value {
    config.get(name).unwrap_or(&Value::Null)
}

fn check_fields(value: &Value, prefix: &str, known: &[&str], unknown: &mut Vec<String>) {
    let keys = value.as_object().into_iter().flat_map(Map::keys);
    unknown.extend(keys.filter(|k| !known.contains(&k.as_str())).map(|k| format!("{prefix}{k}")));
}

fn read_defaults(defaults: &Value, errors: &mut Vec<FieldError>) -> Policy {
    let mut policy = Policy::default();
    let path = FieldPath::field("defaults");
    let modes = [(&mut policy.enforce, "enforce"), (&mut policy.warn, "warn"), (&mut policy.audit, "audit")];
    for (mode, field) in modes {
        // An empty string is as good as nothing: it is defaulted.
        let (level, version_field) = (defaults.str_at(&[field]), format!("{field}-version"));
        if !level.is_empty() {
            match Level::parse(level) {
                Ok(level) => mode.level = level,
                Err(why) => errors.push(FieldError::invalid(path.child(field), level, why)),
            }
        }
        let version = defaults.str_at(&[&version_field]);
        if !version.is_empty() {
            match Version::parse(version) {
                Ok(version) => mode.version = version,
                Err(why) => errors.push(FieldError::invalid(path.child(&version_field), version, why)),
            }
        }
    }
    policy
}

fn read_exemptions(exemptions: &Value, errors: &mut Vec<FieldError>) -> Exemptions {
    let mut names = |field: &str, complaints: fn(&str) -> Vec<String>| {
        let path = FieldPath::field("exemptions");
        let path = path.child(field);
        let mut names: Vec<String> = Vec::new();
        for (i, name) in exemptions.array_at(&[field]).iter().enumerate() {
            let name = name.as_str().unwrap_or("");
            let wrong = complaints(name);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(path.index(i), name, wrong.join(", ")));
            } else if names.iter().any(|n| n == name) {
                errors.push(FieldError::duplicate(path.index(i), name));
            } else {
                names.push(name.to_owned());
            }
        }
        names
    };
    let namespaces = names("namespaces", |name| sampan_model::name::name_is_dns_label(name, false));
    let runtime_classes =
        names("runtimeClasses", |name| sampan_model::name::name_is_dns_subdomain(name, false));
    let usernames = names("usernames", |name| {
        if name.is_empty() { vec!["username must not be empty".to_owned()] } else { Vec::new() }
    });
    Exemptions { usernames, namespaces, runtime_classes }
}

#[cfg(test)]
mod tests {
    use sampan_validation::pod_security::LevelVersion;

    use super::*;

    fn read(json: &serde_json::Value) -> Result<Configuration, String> {
        let mut json = json.clone();
        json["kind"] = "PodSecurityConfiguration".into();
        if json["apiVersion"].is_null() {
            json["apiVersion"] = "pod-security.admission.config.k8s.io/v1".into();
        }
        Configuration::from_value(&Value::from(json))
    }

    #[test]
    fn a_configuration_is_read_and_what_it_leaves_out_is_privileged() {
        assert_eq!(read(&serde_json::json!({})), Ok(Configuration::default()));
        let config = read(&serde_json::json!({
            "apiVersion": "pod-security.admission.config.k8s.io/v1beta1",
            "defaults": {"enforce": "baseline", "enforce-version": "v1.30", "warn": "restricted", "audit": ""},
            "exemptions": {"usernames": ["a"], "namespaces": ["kube-system"], "runtimeClasses": ["vm"]},
        }))
        .unwrap();
        let want = Policy {
            enforce: LevelVersion { level: Level::Baseline, version: Version::Minor(30) },
            warn: LevelVersion { level: Level::Restricted, version: Version::Latest },
            audit: LevelVersion::PRIVILEGED,
        };
        assert_eq!(config.defaults, want);
        assert!(config.exemptions.namespace("kube-system") && !config.exemptions.namespace("default"));
        assert!(config.exemptions.username("a") && !config.exemptions.username(""));
    }

    #[test]
    fn mistakes_in_a_configuration_are_told_all_at_once() {
        let rows = [
            (
                "levels and versions",
                serde_json::json!({"defaults": {"enforce": "x", "audit-version": "1.2"}}),
                "[defaults.enforce: Invalid value: \"x\": must be one of privileged, baseline, restricted, defaults.audit-version: Invalid value: \"1.2\": must be \"latest\" or \"v1.x\"]",
            ),
            (
                "a name twice",
                serde_json::json!({"exemptions": {"namespaces": ["a", "a"]}}),
                "exemptions.namespaces[1]: Duplicate value: \"a\"",
            ),
            (
                "an empty name",
                serde_json::json!({"exemptions": {"usernames": [""]}}),
                "exemptions.usernames[0]: Invalid value: \"\": username must not be empty",
            ),
            (
                "a misspelt field",
                serde_json::json!({"defaults": {"enforced": "baseline"}}),
                "strict decoding error: unknown field \"defaults.enforced\"",
            ),
            (
                "another version",
                serde_json::json!({"apiVersion": "v1"}),
                "no kind \"PodSecurityConfiguration\" is registered for version \"v1\"",
            ),
        ];
        for (name, config, want) in rows {
            assert_eq!(read(&config).unwrap_err(), want, "{name}");
        }
    }
}
