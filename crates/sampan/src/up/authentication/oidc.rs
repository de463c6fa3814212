//! OIDC issuers: from a configuration file, which is followed, or one from flags.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use sampan_apiserver::chain::authentication::Anonymous;
use sampan_auth::authentication::jwt::Algorithm;
use sampan_auth::authentication::oidc::config::{
    AnonymousConfig, ClaimMappings, ClaimValidationRule, Issuer, JwtAuthenticator, PrefixedClaimOrExpression,
};
use sampan_auth::authentication::oidc::{AuthenticationConfiguration, Issuers, OidcIssuer};
use sampan_auth::metrics::Metrics;
use sampan_auth::reload::{Follower, Refusal};

use super::files::read;
use crate::cli;

/// The algorithms of issuers in a file; all that there are.
const ALL: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"];

/// What the configuration file says, or the flags.
pub(super) struct Configured {
    /// The issuers, if there can be any.
    pub(super) issuers: Option<Arc<Issuers>>,
    /// Who requests without credentials are.
    pub(super) anonymous: Option<Anonymous>,
}

/// Reads it. Whoever keeps the issuers' keys fresh, and follows the file, is started.
pub(super) fn open(
    options: &cli::Authentication,
    audiences: &[String],
    metrics: &Metrics,
) -> Result<Configured> {
    let taken = &options.service_account.issuer;
    let all = |issuers| Arc::new(Issuers::new(issuers, audiences.to_vec(), metrics.clone()));
    let Some(path) = &options.config else {
        let issuer = from_flags(&options.oidc)?;
        if let Some(issuer) = &issuer {
            AuthenticationConfiguration::check_issuer(issuer, taken)
                .map_err(|why| anyhow!("the OIDC issuer (--oidc-issuer-url) cannot be used: {why}"))?;
        }
        let made = made(issuer.as_slice(), &options.oidc.signing_algs)?;
        let issuers = (!made.is_empty()).then(|| all(made));
        return Ok(Configured { issuers, anonymous: options.anonymous_auth.then(Anonymous::everywhere) });
    };
    let text = read(path)?;
    let config = AuthenticationConfiguration::parse(&text, taken)
        .map_err(|why| anyhow!("{} (--authentication-config) cannot be used: {why}", path.display()))?;
    let anonymous = match &config.anonymous {
        None => options.anonymous_auth.then(Anonymous::everywhere),
        Some(says) => {
            let paths: Vec<String> = says.conditions.iter().map(|c| c.path.clone()).collect();
            says.enabled
                .then(|| if paths.is_empty() { Anonymous::everywhere() } else { Anonymous::at(paths) })
        }
    };
    let issuers = all(made(&config.jwt, &ALL.map(str::to_owned))?);
    tokio::spawn(follow(
        path.clone(),
        text,
        Reload { issuers: Arc::clone(&issuers), taken: taken.clone(), anonymous: config.anonymous },
        metrics.clone(),
    ));
    Ok(Configured { issuers: Some(issuers), anonymous })
}

/// What a change of the file is measured by.
struct Reload {
    issuers: Arc<Issuers>,
    taken: Vec<String>,
    /// Who requests without credentials are, which may not change.
    anonymous: Option<AnonymousConfig>,
}

async fn follow(path: PathBuf, text: String, reload: Reload, metrics: Metrics) {
    let follower = Follower::new(path, text.into_bytes(), metrics.authentication_config);
    follower.follow(|text| reload.apply(text)).await;
}

impl Reload {
    async fn apply(&self, text: String) -> Result<(), Refusal> {
        let config = AuthenticationConfiguration::parse(&text, &self.taken).map_err(Refusal::Wrong)?;
        if config.anonymous != self.anonymous {
            return Err(Refusal::Wrong(
                "anonymous: Forbidden: changed from initial configuration file".into(),
            ));
        }
        let made =
            made(&config.jwt, &ALL.map(str::to_owned)).map_err(|e| Refusal::Wrong(format!("{e:#}")))?;
        self.issuers.replace(made).await.map_err(Refusal::NotYet)
    }
}

/// The issuers of a configuration that is valid.
fn made(issuers: &[JwtAuthenticator], algorithms: &[String]) -> Result<Vec<OidcIssuer>> {
    let algorithms = algorithms
        .iter()
        .map(|name| {
            Algorithm::parse(name).with_context(|| format!("oidc: unsupported signing alg: {name:?}"))
        })
        .collect::<Result<Vec<_>>>()?;
    let make = |config: &JwtAuthenticator| {
        OidcIssuer::new(config, algorithms.clone(), Timestamp::now)
            .with_context(|| format!("the OIDC issuer {} cannot be used", config.issuer.url))
    };
    issuers.iter().map(make).collect()
}

fn from_flags(options: &cli::Oidc) -> Result<Option<JwtAuthenticator>> {
    let (Some(url), Some(client)) = (&options.issuer_url, &options.client_id) else { return Ok(None) };
    let claim = &options.username_claim;
    let prefix = match options.username_prefix.as_deref() {
        Some("-") => String::new(),
        Some(prefix) => prefix.to_owned(),
        None if claim == "email" => String::new(),
        None => format!("{url}#"),
    };
    let groups = options.groups_claim.as_ref().map(|claim| PrefixedClaimOrExpression {
        claim: claim.clone(),
        prefix: Some(options.groups_prefix.clone().unwrap_or_default()),
        ..PrefixedClaimOrExpression::default()
    });
    let required = options.required_claim.iter().map(|pair| {
        let (claim, value) = pair
            .split_once('=')
            .with_context(|| format!("{pair:?} (--oidc-required-claim) must be claim=value"))?;
        Ok(ClaimValidationRule {
            claim: claim.to_owned(),
            required_value: value.to_owned(),
            ..ClaimValidationRule::default()
        })
    });
    Ok(Some(JwtAuthenticator {
        issuer: Issuer {
            url: url.clone(),
            audiences: vec![client.clone()],
            certificate_authority: options.ca_file.as_deref().map(read).transpose()?.unwrap_or_default(),
            ..Issuer::default()
        },
        claim_validation_rules: required.collect::<Result<_>>()?,
        claim_mappings: ClaimMappings {
            username: PrefixedClaimOrExpression {
                claim: claim.clone(),
                prefix: Some(prefix),
                ..PrefixedClaimOrExpression::default()
            },
            groups: groups.unwrap_or_default(),
            ..ClaimMappings::default()
        },
        ..JwtAuthenticator::default()
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn flags(arguments: &[&str]) -> Result<Option<JwtAuthenticator>> {
        let command = ["sampan", "up", "--oidc-issuer-url", "https://i", "--oidc-client-id", "c"];
        let cli = cli::Cli::try_parse_from(command.iter().chain(arguments)).unwrap();
        let cli::Command::Up(up) = cli.command else { panic!("it is another command") };
        from_flags(&up.authentication.oidc)
    }

    #[test]
    fn names_of_an_issuer_in_flags_begin_with_its_url_unless_said_otherwise() {
        let rows: [(&str, &[&str], &str); 4] = [
            ("nothing said", &[], "https://i#"),
            ("an address", &["--oidc-username-claim", "email"], ""),
            ("a prefix", &["--oidc-username-prefix", "p:"], "p:"),
            ("no prefix", &["--oidc-username-prefix", "-"], ""),
        ];
        for (name, arguments, want) in rows {
            let config = flags(arguments).unwrap().unwrap();
            assert_eq!(config.claim_mappings.username.prefix.as_deref(), Some(want), "{name}");
            assert!(AuthenticationConfiguration::check_issuer(&config, &[]).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_required_claim_needs_a_value() {
        assert!(flags(&["--oidc-required-claim", "hd=example.com"]).is_ok());
        assert!(flags(&["--oidc-required-claim", "hd"]).is_err());
    }
}
