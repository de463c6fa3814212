//! The file of `--authorization-config`: `apiserver.config.k8s.io` `AuthorizationConfiguration`.
//!
//! Fields that are not known are errors, as upstream's strict decoding has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sampan_model::time::parse_go_duration;
use serde::Deserialize;

use super::{Mode, Named, WebhookMode};
use crate::authorization::webhook::conditions::{self, Conditions};
use crate::authorization::webhook::{FailurePolicy, Settings, Version};

/// Why a file is no order of authorizers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no such configuration.
    #[error("{path} is no AuthorizationConfiguration: {why}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A field has a value that cannot be.
    #[error("{path}: {field}: {why}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    authorizers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(rename = "type", default)]
    of_type: String,
    #[serde(default)]
    name: String,
    webhook: Option<WebhookEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookEntry {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: Option<String>,
    #[serde(rename = "cacheAuthorizedRequests", default = "yes")]
    cache_authorized: bool,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: Option<String>,
    #[serde(rename = "cacheUnauthorizedRequests", default = "yes")]
    cache_unauthorized: bool,
    #[serde(default)]
    timeout: String,
    #[serde(rename = "subjectAccessReviewVersion", default)]
    version: String,
    #[serde(rename = "matchConditionSubjectAccessReviewVersion", default)]
    match_version: String,
    #[serde(rename = "failurePolicy", default)]
    failure_policy: String,
    #[serde(rename = "connectionInfo", default)]
    connection: Connection,
    #[serde(rename = "matchConditions", default)]
    match_conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(default)]
    expression: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Connection {
    #[serde(rename = "type", default)]
    of_type: String,
    #[serde(rename = "kubeConfigFile")]
    file: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

const VERSIONS: [&str; 3] =
    ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The text of a file.
pub fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The order that the text of a file gives.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Named>, Error> {
    let syntax = |why: String| Error::Syntax { path: path.to_owned(), why };
    let document: Document = serde_saphyr::from_str(text).map_err(|e| syntax(e.to_string()))?;
    if document.kind != "AuthorizationConfiguration" || !VERSIONS.contains(&document.api_version.as_str()) {
        return Err(syntax(format!(
            "it says kind {:?} and apiVersion {:?}; write AuthorizationConfiguration and {}",
            document.kind, document.api_version, VERSIONS[0]
        )));
    }
    let file = File(path);
    if document.authorizers.is_empty() {
        return Err(file.wrong("authorizers", "at least one authorization mode must be defined"));
    }
    let mut modes = Vec::new();
    for (i, entry) in document.authorizers.iter().enumerate() {
        let at = format!("authorizers[{i}]");
        let earlier = &document.authorizers[..i];
        if entry.name.is_empty() {
            return Err(file.wrong(&format!("{at}.name"), "Required value"));
        }
        if earlier.iter().any(|e| e.name == entry.name) {
            return Err(file.wrong(&format!("{at}.name"), format!("Duplicate value: {:?}", entry.name)));
        }
        if entry.of_type != "Webhook" {
            if earlier.iter().any(|e| e.of_type == entry.of_type) {
                return Err(
                    file.wrong(&format!("{at}.type"), format!("Duplicate value: {:?}", entry.of_type))
                );
            }
            if entry.webhook.is_some() {
                return Err(file.wrong(&format!("{at}.webhook"), "may only be specified when type=Webhook"));
            }
        }
        let complaints = sampan_model::name::is_dns1123_subdomain(&entry.name);
        if !complaints.is_empty() {
            let why = format!(
                "Invalid value: {:?}: authorizer name is invalid: {}",
                entry.name,
                complaints.join(", ")
            );
            return Err(file.wrong(&format!("{at}.name"), why));
        }
        let mode = match (entry.of_type.as_str(), &entry.webhook) {
            ("AlwaysAllow", _) => Mode::AlwaysAllow,
            ("AlwaysDeny", _) => Mode::AlwaysDeny,
            ("Node", _) => Mode::Node,
            ("RBAC", _) => Mode::Rbac,
            ("ABAC", _) => Mode::Abac,
            ("Webhook", Some(webhook)) => Mode::Webhook(file.webhook(&at, &entry.name, webhook)?),
            ("Webhook", None) => {
                return Err(file.wrong(&format!("{at}.webhook"), "required when type=Webhook"));
            }
            (other, _) => {
                let why = format!(
                    "Unsupported value: {other:?}: supported values: \"ABAC\", \"AlwaysAllow\", \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\""
                );
                return Err(file.wrong(&format!("{at}.type"), why));
            }
        };
        modes.push(Named { name: entry.name.clone(), mode });
    }
    Ok(modes)
}

/// The file that is read, for messages and for paths within it.
struct File<'a>(&'a Path);

impl File<'_> {
    fn wrong(&self, field: &str, why: impl Into<String>) -> Error {
        Error::Field { path: self.0.to_owned(), field: field.to_owned(), why: why.into() }
    }

    fn duration(&self, field: &str, text: Option<&str>, default: Duration) -> Result<Duration, Error> {
        let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(default) };
        let parsed = parse_go_duration(text).ok().and_then(|d| Duration::try_from(d).ok());
        match parsed {
            Some(duration) if !duration.is_zero() => Ok(duration),
            _ => Err(self.wrong(field, format!("Invalid value: {text:?}: must be a duration > 0s"))),
        }
    }

    fn webhook(&self, at: &str, name: &str, webhook: &WebhookEntry) -> Result<WebhookMode, Error> {
        let field = |name: &str| format!("{at}.webhook.{name}");
        let ttl = |name: &str, cached: bool, text: &Option<String>, default: u64| {
            let ttl = self.duration(&field(name), text.as_deref(), Duration::from_secs(default))?;
            Ok::<_, Error>(if cached { ttl } else { Duration::ZERO })
        };
        if webhook.timeout.is_empty() {
            return Err(self.wrong(&field("timeout"), "Required value"));
        }
        let timeout = self.duration(&field("timeout"), Some(&webhook.timeout), Duration::ZERO)?;
        if timeout > LONGEST_TIMEOUT {
            return Err(self.wrong(&field("timeout"), "Invalid value: must be <= 30s"));
        }
        let Some(version) = Version::parse(&webhook.version) else {
            let why = match webhook.version.as_str() {
                "" => "Required value".to_owned(),
                other => format!("Unsupported value: {other:?}: supported values: \"v1\", \"v1beta1\""),
            };
            return Err(self.wrong(&field("subjectAccessReviewVersion"), why));
        };
        match webhook.match_version.as_str() {
            "v1" => {}
            "" if webhook.match_conditions.is_empty() => {}
            "" => {
                let why = "Required value: required if match conditions are specified";
                return Err(self.wrong(&field("matchConditionSubjectAccessReviewVersion"), why));
            }
            other => {
                let why = format!("Unsupported value: {other:?}: supported values: \"v1\"");
                return Err(self.wrong(&field("matchConditionSubjectAccessReviewVersion"), why));
            }
        }
        let conditions = self.conditions(&field("matchConditions"), &webhook.match_conditions)?;
        let on_failure = match webhook.failure_policy.as_str() {
            "NoOpinion" => FailurePolicy::NoOpinion,
            "Deny" => FailurePolicy::Deny,
            other => {
                let why = format!("Unsupported value: {other:?}: supported values: \"Deny\", \"NoOpinion\"");
                return Err(self.wrong(&field("failurePolicy"), why));
            }
        };
        match webhook.connection.of_type.as_str() {
            "KubeConfigFile" => {}
            "" => return Err(self.wrong(&field("connectionInfo.type"), "Required value")),
            "InClusterConfig" => {
                let why = "Invalid value: \"InClusterConfig\": it would mean this server itself: use KubeConfigFile";
                return Err(self.wrong(&field("connectionInfo.type"), why));
            }
            other => {
                let why = format!(
                    "Unsupported value: {other:?}: supported values: \"InClusterConfig\", \"KubeConfigFile\""
                );
                return Err(self.wrong(&field("connectionInfo.type"), why));
            }
        }
        let Some(kubeconfig) = webhook.connection.file.clone() else {
            return Err(self.wrong(&field("connectionInfo.kubeConfigFile"), "Required value"));
        };
        if !kubeconfig.is_absolute() {
            let why =
                format!("Invalid value: {:?}: must be an absolute path", kubeconfig.display().to_string());
            return Err(self.wrong(&field("connectionInfo.kubeConfigFile"), why));
        }
        let settings = Settings {
            name: name.to_owned(),
            authorized_ttl: ttl("authorizedTTL", webhook.cache_authorized, &webhook.authorized_ttl, 300)?,
            unauthorized_ttl: ttl(
                "unauthorizedTTL",
                webhook.cache_unauthorized,
                &webhook.unauthorized_ttl,
                30,
            )?,
            on_failure,
            version,
            conditions: Arc::new(conditions),
        };
        Ok(WebhookMode { kubeconfig, timeout, settings })
    }

    fn conditions(&self, field: &str, list: &[Condition]) -> Result<Conditions, Error> {
        if list.len() > conditions::MAX {
            let why = format!("Too many: {}: must have at most {} items", list.len(), conditions::MAX);
            return Err(self.wrong(field, why));
        }
        let mut compiled = Conditions::default();
        for (i, Condition { expression }) in list.iter().enumerate() {
            let field = format!("{field}[{i}].expression");
            if expression.trim().is_empty() {
                return Err(self.wrong(&field, "Required value"));
            }
            if list[..i].iter().any(|earlier| earlier.expression == *expression) {
                return Err(self.wrong(&field, format!("Duplicate value: {expression:?}")));
            }
            compiled
                .add(expression)
                .map_err(|e| self.wrong(&field, format!("Invalid value: {expression:?}: {e}")))?;
        }
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n";
    const WEBHOOK: &str = "timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny, connectionInfo: {type: KubeConfigFile, kubeConfigFile: /f}";

    fn read(authorizers: &str) -> Result<Vec<Named>, Error> {
        parse(Path::new("f"), &format!("{HEAD}authorizers: [{authorizers}]\n"))
    }

    #[test]
    fn a_file_gives_the_order_and_the_webhooks_settings() {
        let order = read(&format!(
            "{{type: Node, name: node}}, {{type: Webhook, name: w, webhook: {{{WEBHOOK}, authorizedTTL: 1m30s, cacheUnauthorizedRequests: false, matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{{expression: 'request.user == \"a\"'}}]}}}}, {{type: RBAC, name: rbac}}"
        ))
        .unwrap();
        let names: Vec<&str> = order.iter().map(|named| named.name.as_str()).collect();
        assert_eq!(names, ["node", "w", "rbac"]);
        let modes: Vec<Mode> = order.into_iter().map(|named| named.mode).collect();
        let [Mode::Node, Mode::Webhook(webhook), Mode::Rbac] = modes.as_slice() else { panic!("{modes:?}") };
        assert!(!webhook.settings.conditions.is_empty());
        assert_eq!(webhook.timeout, Duration::from_secs(3));
        assert_eq!(webhook.settings.authorized_ttl, Duration::from_secs(90));
        assert_eq!(webhook.settings.unauthorized_ttl, Duration::ZERO);
        assert_eq!(webhook.settings.on_failure, FailurePolicy::Deny);
    }

    #[test]
    fn what_cannot_be_is_told_with_its_field() {
        let webhook = |fields: &str| format!("{{type: Webhook, name: w, webhook: {{{fields}}}}}");
        let with = |extra: &str| webhook(&format!("{WEBHOOK}, {extra}"));
        let conditions = |list: &str| {
            with(&format!(
                "matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{{expression: {list}}}]"
            ))
        };
        let without = |field: &str| {
            let fields: Vec<&str> = WEBHOOK.split(", ").filter(|f| !f.starts_with(field)).collect();
            webhook(&fields.join(", "))
        };
        let rows = [
            (String::new(), "f: authorizers: at least one"),
            ("{type: RBAC}".into(), "f: authorizers[0].name: Required value"),
            ("{type: Abac, name: a}".into(), "f: authorizers[0].type: Unsupported value: \"Abac\""),
            (
                "{type: Node, name: A b}".into(),
                "f: authorizers[0].name: Invalid value: \"A b\": authorizer name is invalid",
            ),
            (
                "{type: Node, name: a}, {type: Node, name: b}".into(),
                "f: authorizers[1].type: Duplicate value",
            ),
            ("{type: Webhook, name: a}".into(), "f: authorizers[0].webhook: required when type=Webhook"),
            ("{type: Node, name: a, other: 1}".into(), "f is no AuthorizationConfiguration: "),
            (
                with("matchConditions: [{expression: 'true'}]"),
                "f: authorizers[0].webhook.matchConditionSubjectAccessReviewVersion: Required value",
            ),
            (
                conditions("'request.nobody'"),
                "f: authorizers[0].webhook.matchConditions[0].expression: Invalid value: \"request.nobody\": compilation failed: ERROR: <input>:1:8: undefined field 'nobody'",
            ),
            (
                conditions("'1'"),
                "f: authorizers[0].webhook.matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool but got int",
            ),
            (conditions("' '"), "f: authorizers[0].webhook.matchConditions[0].expression: Required value"),
            (
                conditions("'true'}, {expression: 'true'"),
                "f: authorizers[0].webhook.matchConditions[1].expression: Duplicate value",
            ),
            (
                conditions(&vec!["'true'"; 65].join("}, {expression: ")),
                "f: authorizers[0].webhook.matchConditions: Too many: 65",
            ),
            (
                webhook(
                    &WEBHOOK.replace("{type: KubeConfigFile, kubeConfigFile: /f}", "{type: InClusterConfig}"),
                ),
                "f: authorizers[0].webhook.connectionInfo.type: Invalid value: \"InClusterConfig\"",
            ),
            (with("authorizedTTL: -1s"), "f: authorizers[0].webhook.authorizedTTL: Invalid value"),
            (without("timeout"), "f: authorizers[0].webhook.timeout: Required value"),
            (without("failurePolicy"), "f: authorizers[0].webhook.failurePolicy: Unsupported value"),
        ];
        for (authorizers, want) in rows {
            let error = read(&authorizers).unwrap_err().to_string();
            assert!(error.starts_with(want), "{authorizers}: {error}");
        }
    }
}
