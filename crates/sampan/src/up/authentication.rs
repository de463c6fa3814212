//! Puts together who knows whom: from the command line and the data directory to the server's authenticators.
//!
//! The order is kube-apiserver's: proxies in front, client certificates, then tokens, local ones before those that another
//! server knows.

mod account_key;
mod files;
mod oidc;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::HeaderName;
use jiff::Timestamp;
use sampan_apiserver::chain::authentication::{Anonymous, Authenticator, InProcess};
use sampan_apiserver::pages::Page;
use sampan_auth::authentication::bootstrap_token::BootstrapToken;
use sampan_auth::authentication::cache::Cached;
use sampan_auth::authentication::client_certificate::{Authorities, ClientCertificate};
use sampan_auth::authentication::oidc::Issuers;
use sampan_auth::authentication::published::Published;
use sampan_auth::authentication::request_header::{Headers, RequestHeader};
use sampan_auth::authentication::service_account::{
    AccountTokens, Configuration, Issuer, KEYS_PATH, KeySet, Keys, LegacyMetrics, LegacyTokens,
    last_used::{self, Told, Uses},
};
use sampan_auth::authentication::stored::Stored;
use sampan_auth::authentication::token::{Bearer, ForApi, TokenAuthenticator, Tokens, WebSocketProtocol};
use sampan_auth::authentication::token_file::TokenFile;
use sampan_auth::authentication::webhook::{Version, WebhookTokens};
use sampan_auth::metrics::Metrics;
use sampan_auth::webhook_client::{Backoff, Kubeconfig, WebhookClient};
use sampan_store::Store;

use self::files::{read, read_bytes};
use super::certificates::{ReadFile, Trusted};
use crate::cli::{self, WebhookVersion};
use crate::pki::Pki;

/// How long a webhook may take for one answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything about who makes a request.
pub(super) struct Setup {
    /// Asked in order.
    pub(super) authenticators: Vec<Arc<dyn Authenticator>>,
    /// Who requests without credentials are.
    pub(super) anonymous: Option<Anonymous>,
    /// All sorts of tokens, for the token reviews.
    pub(super) tokens: Arc<Tokens>,
    /// Makes tokens of service accounts.
    pub(super) issuer: Arc<Issuer>,
    /// The documents by which others check those.
    pub(super) pages: Vec<Arc<dyn Page>>,
    /// The authorities of clients and proxies, whose files are followed.
    pub(super) trusted: Trusted,
    /// Uses of tokens in secrets, to be written down.
    pub(super) told: Told,
    /// What others who are to believe this server's clients and proxies must know.
    pub(super) published: Published,
    /// The key of those tokens, if it is still to be made.
    pub(super) account_key: account_key::Pending,
}

impl Setup {
    /// Reads all files that the command line names. `url` is how clients reach the server.
    pub(super) fn new(
        options: &cli::Authentication,
        pki: &Pki,
        store: Arc<dyn Store>,
        url: &str,
        metrics: &Metrics,
    ) -> Result<Self> {
        let accounts = &options.service_account;
        let stored = Stored::new(store);
        let (keys, account_key) = account_key::open(accounts, pki.dir())?;
        let audiences = if options.api_audiences.is_empty() {
            accounts.issuer.clone()
        } else {
            options.api_audiences.clone()
        };
        let oidc = oidc::open(options, &audiences, metrics)?;
        let (uses, told) = last_used::channel();
        let tokens = tokens(options, &keys, &stored, &audiences, oidc.issuers, metrics, uses)?;
        let tokens = Arc::new(Tokens::new(tokens, audiences.clone()));
        let own = std::iter::once(pki.authority().as_bytes().to_vec());
        let further = options.client_ca_file.as_deref().map(read_bytes).transpose()?;
        let texts: Vec<Vec<u8>> = own.chain(further.clone()).collect();
        let clients = Authorities::from_pem(texts.iter().map(Vec::as_slice))
            .context("the authorities of client certificates (--client-ca-file) cannot be used")?;
        let mut trusted = Trusted::default();
        let client_file = options.client_ca_file.clone().zip(further);
        trusted.add(&clients, pki.authority().as_bytes(), client_file);
        let published = published(&texts.concat(), &options.request_header)?;
        // Nobody outside can say who they are in the way that the parts of this process do: it is no header.
        let mut authenticators: Vec<Arc<dyn Authenticator>> = vec![Arc::new(InProcess)];
        if let Some((proxy, file)) = request_header(&options.request_header)? {
            trusted.add(&proxy.authorities, &[], Some(file));
            authenticators.push(Arc::new(proxy));
        }
        authenticators.push(Arc::new(ClientCertificate(clients)));
        authenticators.push(Arc::new(Bearer(Arc::clone(&tokens))));
        authenticators.push(Arc::new(WebSocketProtocol(Arc::clone(&tokens))));
        let issuer = issuer(accounts, keys.clone(), audiences)?;
        Ok(Self {
            authenticators,
            anonymous: oidc.anonymous,
            tokens,
            pages: pages(&issuer, keys, accounts.jwks_uri.as_deref(), url),
            issuer: Arc::new(issuer),
            trusted,
            told,
            published,
            account_key,
        })
    }
}

fn tokens(
    options: &cli::Authentication,
    keys: &Keys,
    stored: &Stored,
    audiences: &[String],
    issuers: Option<Arc<Issuers>>,
    metrics: &Metrics,
    uses: Uses,
) -> Result<Vec<Arc<dyn TokenAuthenticator>>> {
    let audiences = audiences.to_vec();
    let mut all: Vec<Arc<dyn TokenAuthenticator>> = Vec::new();
    if let Some(path) = &options.token_auth_file {
        let inner = TokenFile::parse(&read(path)?)
            .with_context(|| format!("{} (--token-auth-file) cannot be used", path.display()))?;
        all.push(Arc::new(ForApi { inner, audiences: audiences.clone() }));
    }
    all.push(Arc::new(LegacyTokens {
        keys: keys.clone(),
        audiences: audiences.clone(),
        stored: stored.clone(),
        uses,
        clock: Timestamp::now,
        metrics: LegacyMetrics::default(),
    }));
    all.push(Arc::new(AccountTokens::new(
        keys.clone(),
        options.service_account.issuer.clone(),
        audiences.clone(),
        stored.clone(),
        Timestamp::now,
    )));
    if options.enable_bootstrap_token_auth {
        let inner = BootstrapToken { stored: stored.clone(), clock: Timestamp::now };
        all.push(Arc::new(ForApi { inner, audiences: audiences.clone() }));
    }
    if let Some(issuers) = issuers {
        all.push(issuers);
    }
    if let Some(path) = &options.webhook.token_webhook_file {
        let config = Kubeconfig::load(path)
            .context("the token webhook (--authentication-token-webhook-config-file) cannot be used")?;
        let client = WebhookClient::new(config, WEBHOOK_TIMEOUT, Backoff::default())
            .with_context(|| format!("{} cannot be used", path.display()))?;
        let version = match options.webhook.token_webhook_version {
            WebhookVersion::V1 => Version::V1,
            WebhookVersion::V1Beta1 => Version::V1Beta1,
        };
        let webhook = Arc::new(WebhookTokens::new(client, version, audiences));
        let time = options.webhook.cache_ttl;
        all.push(Arc::new(Cached::new(webhook, time, time).counted(metrics.clone())));
    }
    Ok(all)
}

fn issuer(accounts: &cli::ServiceAccount, keys: Keys, audiences: Vec<String>) -> Result<Issuer> {
    let name = accounts.issuer.first().cloned().unwrap_or_default();
    ensure!(!name.is_empty(), "--service-account-issuer may not be empty");
    let max_seconds = match accounts
        .max_token_expiration
        .map(|d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
    {
        None | Some(0) => None,
        Some(seconds) => {
            ensure!(
                (3600..=1 << 32).contains(&seconds),
                "--service-account-max-token-expiration must be at least 1 hour and no more than 2^32 seconds"
            );
            Some(seconds)
        }
    };
    Ok(Issuer {
        keys,
        name,
        audiences,
        max_seconds,
        extend: accounts.extend_token_expiration,
        clock: Timestamp::now,
    })
}

/// The discovery documents; none when the issuer's name is no URL under which anybody could look for them.
fn pages(issuer: &Issuer, keys: Keys, jwks_uri: Option<&str>, url: &str) -> Vec<Arc<dyn Page>> {
    if !issuer.name.starts_with("https://") {
        return Vec::new();
    }
    let jwks_uri = jwks_uri.map_or_else(|| format!("{url}{KEYS_PATH}"), str::to_owned);
    let configuration = Configuration { keys: keys.clone(), issuer: issuer.name.clone(), jwks_uri };
    vec![Arc::new(configuration), Arc::new(KeySet(keys))]
}

fn published(client_authorities: &[u8], options: &cli::RequestHeader) -> Result<Published> {
    let client_authorities = String::from_utf8_lossy(client_authorities).into_owned();
    let Some(path) = &options.proxy_ca_file else {
        return Ok(Published { client_authorities, ..Published::default() });
    };
    Ok(Published {
        client_authorities,
        proxy_authorities: read(path)?,
        allowed_names: options.allowed_names.clone(),
        username_headers: options.username_headers.clone(),
        uid_headers: options.uid_headers.clone(),
        group_headers: options.group_headers.clone(),
        extra_headers_prefix: options.extra_headers_prefix.clone(),
    })
}

/// The proxy that is believed, with the file of its authorities.
fn request_header(options: &cli::RequestHeader) -> Result<Option<(RequestHeader, ReadFile)>> {
    let Some(path) = &options.proxy_ca_file else { return Ok(None) };
    let text = read_bytes(path)?;
    let authorities = Authorities::from_pem([text.as_slice()])
        .with_context(|| format!("{} (--requestheader-client-ca-file) cannot be used", path.display()))?;
    let headers = |flag: &str, list: &[String]| -> Result<Vec<HeaderName>> {
        let parse = |name: &String| {
            name.parse().with_context(|| format!("{name:?} ({flag}) cannot be the name of a header"))
        };
        list.iter().map(parse).collect()
    };
    let proxy = RequestHeader {
        authorities,
        allowed_names: options.allowed_names.clone(),
        headers: Headers {
            username: headers("--requestheader-username-headers", &options.username_headers)?,
            uid: headers("--requestheader-uid-headers", &options.uid_headers)?,
            group: headers("--requestheader-group-headers", &options.group_headers)?,
            extra_prefix: options.extra_headers_prefix.iter().map(|p| p.to_ascii_lowercase()).collect(),
        },
    };
    Ok(Some((proxy, (path.clone(), text))))
}
