//! How a registry is told who asks: its challenge is answered with basic authentication, or with a token that its token
//! server gives for the credentials (the distribution project's token and OAuth 2 protocols).

use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;

use super::client::is_loopback;
use super::{DENIED, bounded, failed_request};
use crate::image::hosts::Host;
use crate::image::{Credentials, Error};

/// Tokens are short; an answer that is longer is none.
const MAX_ANSWER: u64 = 1 << 20;
const CLIENT_ID: &str = "sampan";

/// What a request shows.
#[derive(Clone)]
pub(super) enum Authorization {
    Basic(Credentials),
    Bearer(HeaderValue),
}

impl Authorization {
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic(who) => request.basic_auth(&who.user, Some(&who.password)),
            Self::Bearer(token) => request.header(header::AUTHORIZATION, token.clone()),
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// One `WWW-Authenticate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) bearer: bool,
    pub(super) realm: Option<String>,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) error: Option<String>,
}

impl Challenge {
    /// All that are understood, those for tokens first.
    pub(super) fn all(headers: &HeaderMap) -> Vec<Self> {
        let texts = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut all: Vec<Self> = texts
            .filter_map(|text| http_auth::parse_challenges(text).ok())
            .flatten()
            .filter_map(|c| {
                let bearer = c.scheme.eq_ignore_ascii_case("bearer");
                let parameter = |name: &str| {
                    let found = c.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                (bearer || c.scheme.eq_ignore_ascii_case("basic")).then(|| Self {
                    bearer,
                    realm: parameter("realm"),
                    service: parameter("service"),
                    scope: parameter("scope"),
                    error: parameter("error"),
                })
            })
            .collect();
        all.sort_by_key(|challenge| !challenge.bearer);
        all
    }
}

/// For what a token is wanted.
pub(super) struct Scope<'a> {
    pub(super) repository: &'a str,
    pub(super) server: &'a Host,
}

/// Answers a challenge. `tried` says that an answer was given already, which may have become too old.
pub(super) async fn answer(
    client: &Client,
    challenges: &[Challenge],
    credentials: Option<&Credentials>,
    scope: &Scope<'_>,
    tried: bool,
) -> Result<Authorization, Error> {
    let denied = |why: &str| Error::Unauthorized(format!("{DENIED}: {why}"));
    let Some(challenge) = challenges.first() else { return Err(denied("authorization failed")) };
    if let (true, Some(said)) = (tried, challenge.error.as_deref().filter(|e| *e == "insufficient_scope")) {
        return Err(denied(&format!("server message: {said}: authorization failed")));
    }
    if challenge.bearer {
        return token(client, challenge, credentials, scope).await;
    }
    match credentials {
        Some(who) if !who.user.is_empty() => Ok(Authorization::Basic(who.clone())),
        _ => Err(denied("authorization failed: no basic auth credentials")),
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

async fn token(
    client: &Client,
    challenge: &Challenge,
    credentials: Option<&Credentials>,
    scope: &Scope<'_>,
) -> Result<Authorization, Error> {
    let realm = challenge.realm.as_deref().unwrap_or_default();
    let mut url = Url::parse(realm).map_err(|error| {
        Error::failed(format!("failed to authorize: the registry names no token server but {realm:?}"), error)
    })?;
    // Whoever is asked over TLS has no reason to want a password without.
    let plain = url.scheme() == "http" && !url.host_str().is_some_and(is_loopback);
    if credentials.is_some() && plain && !scope.server.is_plain() {
        return Err(Error::Unauthorized(format!(
            "failed to authorize: the registry wants credentials to be sent without TLS to {realm}"
        )));
    }
    let wanted = challenge.scope.clone().unwrap_or_else(|| format!("repository:{}:pull", scope.repository));
    let identity =
        credentials.and_then(|who| who.identity_token.as_deref()).filter(|token| !token.is_empty());
    let request = if let Some(identity) = identity {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", identity)
            .append_pair("service", challenge.service.as_deref().unwrap_or_default())
            .append_pair("client_id", CLIENT_ID)
            .append_pair("scope", &wanted)
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        client.post(url.clone()).header(header::CONTENT_TYPE, kind).body(form)
    } else {
        if let Some(service) = &challenge.service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &wanted);
        let request = client.get(url.clone());
        match credentials {
            Some(who) => request.basic_auth(&who.user, Some(&who.password)),
            None => request,
        }
    };
    let what =
        if credentials.is_some() { "failed to fetch oauth token" } else { "failed to fetch anonymous token" };
    let what = format!("failed to authorize: {what}");
    let response = request.send().await.map_err(|error| failed_request(&url, error).during(&what))?;
    let status = response.status();
    if status != StatusCode::OK {
        let method = if identity.is_some() { "POST" } else { "GET" };
        let text = format!("{what}: unexpected status from {method} request to {url}: {status}");
        return Err(if status.is_client_error() {
            Error::Unauthorized(text)
        } else {
            Error::failed(text, "it refused")
        });
    }
    let bytes = bounded(response, MAX_ANSWER).await.map_err(|error| error.during(&what))?;
    let answer: Option<Answer> = serde_json::from_slice(&bytes).ok();
    let token =
        answer.and_then(|answer| answer.token.or(answer.access_token)).filter(|token| !token.is_empty());
    let header = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut header =
        header.ok_or_else(|| Error::Invalid(format!("{what}: the token server gave no token")))?;
    header.set_sensitive(true);
    Ok(Authorization::Bearer(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_and_those_for_tokens_come_first() {
        let mut headers = HeaderMap::new();
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"basic-realm\""));
        headers.append(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(
                "Bearer realm=\"https://auth.example/token\",service=\"registry\",scope=\"repository:a/b:pull\",error=\"invalid_token\"",
            ),
        );
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
        let all = Challenge::all(&headers);
        let text = |t: &str| Some(t.to_owned());
        let bearer = Challenge {
            bearer: true,
            realm: text("https://auth.example/token"),
            service: text("registry"),
            scope: text("repository:a/b:pull"),
            error: text("invalid_token"),
        };
        let basic = Challenge { realm: text("basic-realm"), ..Challenge::default() };
        assert_eq!(all, [bearer, basic]);
    }
}
