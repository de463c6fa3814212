//! `AuthenticationConfiguration` of `apiserver.config.k8s.io`, and what is wrong with one.

mod validate;

use serde::Deserialize;

/// The versions of the file that can be read; they have the same fields.
const API_VERSIONS: [&str; 2] = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1"];

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AuthenticationConfiguration {
    api_version: String,
    kind: String,
    /// OIDC issuers.
    pub jwt: Vec<JwtAuthenticator>,
    /// Requests without credentials; when it is not there, a flag decides.
    pub anonymous: Option<AnonymousConfig>,
}

/// Requests without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AnonymousConfig {
    /// Whether there are such.
    pub enabled: bool,
    /// Where; empty: everywhere.
    pub conditions: Vec<AnonymousCondition>,
}

/// A path on which requests without credentials are let in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AnonymousCondition {
    /// The whole path.
    pub path: String,
}

/// One issuer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct JwtAuthenticator {
    pub issuer: Issuer,
    pub claim_validation_rules: Vec<ClaimValidationRule>,
    pub claim_mappings: ClaimMappings,
    pub user_validation_rules: Vec<UserValidationRule>,
}

/// Where an issuer is, and for whom its tokens must be.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Issuer {
    pub url: String,
    #[serde(rename = "discoveryURL")]
    pub discovery_url: String,
    pub certificate_authority: String,
    pub audiences: Vec<String>,
    pub audience_match_policy: String,
    pub egress_selector_type: String,
}

/// A demand on claims: a value, or an expression.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ClaimValidationRule {
    pub claim: String,
    pub required_value: String,
    pub expression: String,
    pub message: String,
}

/// A demand on the user.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct UserValidationRule {
    pub expression: String,
    pub message: String,
}

/// From claims to a user.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ClaimMappings {
    pub username: PrefixedClaimOrExpression,
    pub groups: PrefixedClaimOrExpression,
    pub uid: ClaimOrExpression,
    pub extra: Vec<ExtraMapping>,
}

/// A claim with a prefix, or an expression.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PrefixedClaimOrExpression {
    pub claim: String,
    pub prefix: Option<String>,
    pub expression: String,
}

/// A claim, or an expression.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ClaimOrExpression {
    pub claim: String,
    pub expression: String,
}

/// An extra field.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ExtraMapping {
    pub key: String,
    pub value_expression: String,
}

impl AuthenticationConfiguration {
    /// Reads the text of a file (YAML or JSON), and checks it. `taken` are the issuers of service account tokens.
    pub fn parse(text: &str, taken: &[String]) -> Result<Self, String> {
        let config: Self = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        if config.kind != "AuthenticationConfiguration"
            || !API_VERSIONS.contains(&config.api_version.as_str())
        {
            return Err(format!(
                "it is {}, Kind={}, and must be {}, Kind=AuthenticationConfiguration",
                config.api_version, config.kind, API_VERSIONS[0]
            ));
        }
        let errors = validate::config(&config, taken);
        if errors.is_empty() { Ok(config) } else { Err(errors.join(", ")) }
    }

    /// What is wrong with one issuer that flags describe.
    pub fn check_issuer(issuer: &JwtAuthenticator, taken: &[String]) -> Result<(), String> {
        let errors = validate::authenticator("jwt[0]", issuer, taken);
        if errors.is_empty() { Ok(()) } else { Err(errors.join(", ")) }
    }
}
