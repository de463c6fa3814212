//! From claims to a user, and the rules for both.

use sampan_apiserver::User;
use sampan_schema::cel::Bindings;
use serde_json::Value as Json;

use super::claims::Claims;
use super::config::{JwtAuthenticator, PrefixedClaimOrExpression};
use super::expressions::{About, Expression, user as user_value};

/// What becomes of claims.
#[derive(Debug)]
pub(super) struct Mapping {
    username: Source,
    groups: Option<Source>,
    uid: Option<Source>,
    extra: Vec<(String, Expression)>,
    required: Vec<(String, String)>,
    claim_rules: Vec<(Expression, String)>,
    user_rules: Vec<(Expression, String)>,
}

/// Where something of a user comes from.
#[derive(Debug)]
enum Source {
    Claim { name: String, prefix: String },
    Expression(Expression),
}

impl Source {
    fn compile(claim: &str, prefix: Option<&str>, expression: &str) -> Result<Option<Self>, String> {
        Ok(if !expression.is_empty() {
            Some(Self::Expression(Expression::mapping(expression)?))
        } else if claim.is_empty() {
            None
        } else {
            Some(Self::Claim { name: claim.to_owned(), prefix: prefix.unwrap_or_default().to_owned() })
        })
    }

    fn of(mapping: &PrefixedClaimOrExpression) -> Result<Option<Self>, String> {
        Self::compile(&mapping.claim, mapping.prefix.as_deref(), &mapping.expression)
    }
}

impl Mapping {
    /// Compiles the rules and mappings of a configuration.
    pub(super) fn compile(config: &JwtAuthenticator) -> Result<Self, String> {
        let mappings = &config.claim_mappings;
        let mut compiled = Self {
            username: Source::of(&mappings.username)?.ok_or("there is no username mapping")?,
            groups: Source::of(&mappings.groups)?,
            uid: Source::compile(&mappings.uid.claim, None, &mappings.uid.expression)?,
            extra: Vec::new(),
            required: Vec::new(),
            claim_rules: Vec::new(),
            user_rules: Vec::new(),
        };
        for extra in &mappings.extra {
            compiled.extra.push((extra.key.clone(), Expression::mapping(&extra.value_expression)?));
        }
        for rule in &config.claim_validation_rules {
            if rule.claim.is_empty() {
                let expression = Expression::rule(&rule.expression, About::Claims)?;
                compiled.claim_rules.push((expression, rule.message.clone()));
            } else {
                compiled.required.push((rule.claim.clone(), rule.required_value.clone()));
            }
        }
        for rule in &config.user_validation_rules {
            let expression = Expression::rule(&rule.expression, About::User)?;
            compiled.user_rules.push((expression, rule.message.clone()));
        }
        Ok(compiled)
    }

    /// The user whom the claims make; else why there is none, in upstream's words.
    pub(super) fn user(&self, claims: &Claims) -> Result<User, String> {
        let bound = About::Claims.bound(&Json::Object(claims.0.clone()));
        let mut user = User {
            name: self.username(claims, &bound)?,
            groups: self.groups(claims, &bound)?,
            uid: self.uid(claims, &bound)?,
            ..User::default()
        };
        for (key, expression) in &self.extra {
            let values = expression.eval_texts(&bound).map_err(|e| {
                format!("oidc: error evaluating extra claim expression: {}: {e}", expression.text())
            })?;
            if !values.is_empty() {
                user.extra.insert(key.clone(), values);
            }
        }
        for (claim, want) in &self.required {
            if !claims.has(claim) {
                return Err(format!("oidc: required claim {claim} not present in ID token"));
            }
            let got = claims.required_text(claim).map_err(|e| format!("oidc: parse claim {claim}: {e}"))?;
            if got != want {
                return Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {got}, want = {want}"
                ));
            }
        }
        check(&self.claim_rules, &bound)
            .map_err(|e| format!("oidc: error evaluating claim validation expression: {e}"))?;
        if !self.user_rules.is_empty() {
            check(&self.user_rules, &About::User.bound(&user_value(&user)))
                .map_err(|e| format!("oidc: error evaluating user info validation rule: {e}"))?;
        }
        Ok(user)
    }

    fn username(&self, claims: &Claims, bound: &Bindings) -> Result<String, String> {
        let (name, prefix) = match &self.username {
            Source::Expression(expression) => {
                let error = |e: String| format!("oidc: error evaluating username claim expression: {e}");
                let text = expression.eval_text(bound).map_err(error)?;
                return text.ok_or_else(|| error("username claim expression must return a string".into()));
            }
            Source::Claim { name, prefix } => (name, prefix),
        };
        let text = claims.required_text(name).map_err(|e| {
            format!("oidc: parse username claims {}: {e}", sampan_model::field_error::go_quote(name))
        })?;
        // An address that nobody has verified is nobody's.
        if name == "email" {
            match claims.0.get("email_verified") {
                None | Some(Json::Bool(true)) => {}
                Some(Json::Bool(false)) => return Err("oidc: email not verified".into()),
                Some(_) => return Err("oidc: parse 'email_verified' claim: it is no boolean".into()),
            }
        }
        Ok(format!("{prefix}{text}"))
    }

    fn groups(&self, claims: &Claims, bound: &Bindings) -> Result<Vec<String>, String> {
        match &self.groups {
            None => Ok(Vec::new()),
            Some(Source::Expression(expression)) => expression
                .eval_texts(bound)
                .map_err(|e| format!("oidc: error evaluating group claim expression: {e}")),
            Some(Source::Claim { name, prefix }) => {
                let groups = claims.texts(name).map_err(|e| {
                    format!("oidc: parse groups claim {}: {e}", sampan_model::field_error::go_quote(name))
                })?;
                Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect())
            }
        }
    }

    fn uid(&self, claims: &Claims, bound: &Bindings) -> Result<String, String> {
        match &self.uid {
            None => Ok(String::new()),
            Some(Source::Expression(expression)) => {
                let error = |e: String| format!("oidc: error evaluating uid claim expression: {e}");
                let text = expression.eval_text(bound).map_err(error)?;
                text.ok_or_else(|| error("uid claim expression must return a string".into()))
            }
            Some(Source::Claim { name, .. }) => claims.required_text(name).map(str::to_owned).map_err(|e| {
                format!("oidc: parse uid claim {}: {e}", sampan_model::field_error::go_quote(name))
            }),
        }
    }
}

fn check(rules: &[(Expression, String)], bound: &Bindings) -> Result<(), String> {
    for (expression, message) in rules {
        if !expression.holds(bound)? {
            let text = expression.text();
            return Err(if message.is_empty() {
                format!("validation expression '{text}' failed")
            } else {
                format!("validation expression '{text}' failed: {message}")
            });
        }
    }
    Ok(())
}
