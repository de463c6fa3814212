//! What is wrong with a configuration, in upstream's words (`apiserver/validation`).

use std::collections::BTreeSet;

use sampan_model::name::is_domain_prefixed_path;
use sampan_model::{FieldError, FieldPath};

use super::super::expressions::{About, Expression};
use super::{AuthenticationConfiguration, JwtAuthenticator, PrefixedClaimOrExpression};

/// How many issuers there may be.
const MAX_ISSUERS: usize = 64;

/// Complaints, each with its field.
struct Complaints(Vec<String>);

impl Complaints {
    fn required(&mut self, field: &str, why: &str) {
        self.0.push(FieldError::required(field, why).to_string());
    }

    fn invalid(&mut self, field: &str, value: &str, why: impl Into<String>) {
        self.0.push(FieldError::invalid(field, value, why.into()).to_string());
    }

    fn duplicate(&mut self, field: &str, value: &str) {
        self.0.push(FieldError::duplicate(field, value).to_string());
    }

    fn mapping(&mut self, field: &str, text: &str) {
        if let Err(why) = Expression::mapping(text) {
            self.invalid(field, text, why);
        }
    }

    fn rule(&mut self, field: &str, text: &str, about: About) {
        if let Err(why) = Expression::rule(text, about) {
            self.invalid(field, text, why);
        }
    }
}

/// What is wrong with a whole file.
pub(super) fn config(config: &AuthenticationConfiguration, taken: &[String]) -> Vec<String> {
    let mut complaints = Complaints(Vec::new());
    if config.jwt.len() > MAX_ISSUERS {
        complaints
            .0
            .push(format!("jwt: Too many: {}: must have at most {MAX_ISSUERS} items", config.jwt.len()));
    }
    let (mut urls, mut discovery_urls) = (BTreeSet::new(), BTreeSet::new());
    for (i, jwt) in config.jwt.iter().enumerate() {
        complaints.0.extend(authenticator(&format!("jwt[{i}]"), jwt, taken));
        if !urls.insert(&jwt.issuer.url) {
            complaints.duplicate(&format!("jwt[{i}].issuer.url"), &jwt.issuer.url);
        }
        let discovery = &jwt.issuer.discovery_url;
        if !discovery.is_empty() && !discovery_urls.insert(discovery) {
            complaints.duplicate(&format!("jwt[{i}].issuer.discoveryURL"), discovery);
        }
    }
    if let Some(anonymous) = &config.anonymous
        && !anonymous.enabled
        && !anonymous.conditions.is_empty()
    {
        complaints.invalid(
            "anonymous.conditions",
            "",
            "enabled should be set to true when conditions are defined",
        );
    }
    complaints.0
}

/// What is wrong with one issuer.
pub(super) fn authenticator(path: &str, jwt: &JwtAuthenticator, taken: &[String]) -> Vec<String> {
    let mut c = Complaints(Vec::new());
    let at = |field: &str| format!("{path}.{field}");
    issuer(&mut c, path, jwt, taken);
    let mut seen = BTreeSet::new();
    for (i, rule) in jwt.claim_validation_rules.iter().enumerate() {
        let field = |name: &str| at(&format!("claimValidationRules[{i}]{name}"));
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (false, false) => c.invalid(&field(""), &rule.claim, "claim and expression can't both be set"),
            (true, true) => c.required(&field(""), "claim or expression is required"),
            (false, true) => {
                if !rule.message.is_empty() {
                    c.invalid(&field(".message"), &rule.message, "message can't be set when claim is set");
                }
                if !seen.insert(&rule.claim) {
                    c.duplicate(&field(".claim"), &rule.claim);
                }
            }
            (true, false) => {
                if !rule.required_value.is_empty() {
                    let why = "requiredValue can't be set when expression is set";
                    c.invalid(&field(".requiredValue"), &rule.required_value, why);
                }
                if !seen.insert(&rule.expression) {
                    c.duplicate(&field(".expression"), &rule.expression);
                }
                c.rule(&field(".expression"), &rule.expression, About::Claims);
            }
        }
    }
    mappings(&mut c, path, jwt);
    let mut seen = BTreeSet::new();
    for (i, rule) in jwt.user_validation_rules.iter().enumerate() {
        let field = at(&format!("userValidationRules[{i}].expression"));
        if rule.expression.is_empty() {
            c.required(&field, "expression is required");
        } else if !seen.insert(&rule.expression) {
            c.duplicate(&field, &rule.expression);
        } else {
            c.rule(&field, &rule.expression, About::User);
        }
    }
    c.0
}

fn issuer(c: &mut Complaints, path: &str, jwt: &JwtAuthenticator, taken: &[String]) {
    let issuer = &jwt.issuer;
    let at = |field: &str| format!("{path}.issuer.{field}");
    url(c, &at("url"), &issuer.url, true);
    if taken.contains(&issuer.url) {
        c.invalid(
            &at("url"),
            &issuer.url,
            format!("URL must not overlap with disallowed issuers: [{}]", taken.join(" ")),
        );
    }
    if !issuer.discovery_url.is_empty() {
        url(c, &at("discoveryURL"), &issuer.discovery_url, false);
        if issuer.discovery_url.trim_end_matches('/') == issuer.url.trim_end_matches('/') {
            c.invalid(&at("discoveryURL"), &issuer.discovery_url, "discoveryURL must be different from URL");
        }
    }
    let egress = &issuer.egress_selector_type;
    match egress.as_str() {
        "" => {}
        "controlplane" | "cluster" => c.invalid(
            &at("egressSelectorType"),
            egress,
            "egress selectors are not supported: leave it out, and issuers are reached directly",
        ),
        _ => c.invalid(
            &at("egressSelectorType"),
            egress,
            "egress selector must be either controlplane or cluster",
        ),
    }
    if issuer.audiences.is_empty() {
        c.required(&at("audiences"), "at least one issuer.audiences is required");
    }
    let mut seen = BTreeSet::new();
    for (i, audience) in issuer.audiences.iter().enumerate() {
        let field = at(&format!("audiences[{i}]"));
        if audience.is_empty() {
            c.required(&field, "audience can't be empty");
        } else if !seen.insert(audience) {
            c.duplicate(&field, audience);
        }
    }
    match (issuer.audiences.len() > 1, issuer.audience_match_policy.as_str()) {
        (_, "MatchAny") | (false, "") => {}
        (true, policy) => c.invalid(
            &at("audienceMatchPolicy"),
            policy,
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (false, policy) => c.invalid(
            &at("audienceMatchPolicy"),
            policy,
            "audienceMatchPolicy must be empty or MatchAny for single audience",
        ),
    }
}

fn url(c: &mut Complaints, field: &str, text: &str, is_issuer: bool) {
    if text.is_empty() {
        return c.required(field, "URL is required");
    }
    let Ok(uri) = text.parse::<http::Uri>() else { return c.invalid(field, text, "it is no URL") };
    if uri.scheme_str() != Some("https") {
        c.invalid(field, text, "URL scheme must be https");
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        c.invalid(field, text, "URL must not contain a username or password");
    }
    if is_issuer && uri.query().is_some() {
        c.invalid(field, text, "URL must not contain a query");
    }
    if text.contains('#') {
        c.invalid(field, text, "URL must not contain a fragment");
    }
}

fn mappings(c: &mut Complaints, path: &str, jwt: &JwtAuthenticator) {
    let mappings = &jwt.claim_mappings;
    let at = |field: &str| format!("{path}.claimMappings.{field}");
    let username = &mappings.username;
    if username.claim.is_empty() && username.expression.is_empty() {
        c.required(&at("username"), "claim or expression is required");
    }
    prefixed(c, &at("username"), username);
    prefixed(c, &at("groups"), &mappings.groups);
    let uid = &mappings.uid;
    if !uid.claim.is_empty() && !uid.expression.is_empty() {
        c.invalid(&at("uid"), "", "claim and expression can't both be set");
    } else if !uid.expression.is_empty() {
        c.mapping(&at("uid.expression"), &uid.expression);
    }
    let mut seen = BTreeSet::new();
    for (i, extra) in mappings.extra.iter().enumerate() {
        let key = at(&format!("extra[{i}].key"));
        for complaint in is_domain_prefixed_path(&FieldPath::field("key"), &extra.key) {
            c.0.push(format!("{}: {}", key, complaint.to_string().trim_start_matches("key: ")));
        }
        if extra.key != extra.key.to_lowercase() {
            c.invalid(&key, &extra.key, "key must be lowercase");
        }
        let domain = extra.key.split('/').next().unwrap_or_default();
        if ["k8s.io", "kubernetes.io"].iter().any(|d| domain == *d || domain.ends_with(&format!(".{d}"))) {
            c.invalid(
                &key,
                &extra.key,
                "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
            );
        }
        if !seen.insert(&extra.key) {
            c.duplicate(&key, &extra.key);
        }
        let value = at(&format!("extra[{i}].valueExpression"));
        if extra.value_expression.is_empty() {
            c.required(&value, "valueExpression is required");
        } else {
            c.mapping(&value, &extra.value_expression);
        }
    }
    email(c, path, jwt);
}

fn prefixed(c: &mut Complaints, field: &str, mapping: &PrefixedClaimOrExpression) {
    if !mapping.expression.is_empty() {
        if mapping.prefix.is_some() {
            let prefix = mapping.prefix.as_deref().unwrap_or_default();
            c.invalid(&format!("{field}.prefix"), prefix, "prefix can't be set when expression is set");
        }
        if !mapping.claim.is_empty() {
            c.invalid(field, "", "claim and expression can't both be set");
        }
        c.mapping(&format!("{field}.expression"), &mapping.expression);
        return;
    }
    if mapping.claim.is_empty() {
        if mapping.prefix.is_some() {
            c.required(&format!("{field}.claim"), "claim is required when prefix is set");
        }
    } else if mapping.prefix.is_none() {
        c.required(
            &format!("{field}.prefix"),
            "prefix is required when claim is set. It can be set to an empty string to disable prefixing",
        );
    }
}

/// Whoever makes a name of an address must look whether it was verified.
fn email(c: &mut Complaints, path: &str, jwt: &JwtAuthenticator) {
    let uses = |text: &String, claim| Expression::mapping(text).is_ok_and(|e| e.uses(claim));
    let username = &jwt.claim_mappings.username.expression;
    if !uses(username, "email") {
        return;
    }
    let extra = jwt.claim_mappings.extra.iter().map(|e| &e.value_expression);
    let rules = jwt.claim_validation_rules.iter().map(|r| &r.expression);
    if !std::iter::once(username).chain(extra).chain(rules).any(|e| uses(e, "email_verified")) {
        c.invalid(
            &format!("{path}.claimMappings.username.expression"),
            username,
            "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression",
        );
    }
}
