//! An issuer on this machine, its tokens, and those of others.

use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::authentication::jwt::{JwkSet, SigningKey};

/// An issuer with keys that can be changed.
struct TestIssuer {
    url: String,
    keys: Arc<Mutex<Vec<SigningKey>>>,
}

fn key() -> SigningKey {
    SigningKey::from_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap()
}

impl TestIssuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(vec![key()]));
        let issuer = Self { url: url.clone(), keys: Arc::clone(&keys) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (url, keys) = (url.clone(), Arc::clone(&keys));
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let document = if request.uri().path() == "/.well-known/openid-configuration" {
                        json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string()
                    } else {
                        let keys = keys.lock().unwrap();
                        let keys = keys.iter().map(|k| k.public().jwk()).collect();
                        serde_json::to_string(&JwkSet { keys }).unwrap()
                    };
                    async move { Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(document)))) }
                });
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                });
            }
        });
        issuer
    }

    /// A token with these claims beside the usual ones.
    fn token(&self, further: &Value) -> String {
        let mut claims =
            json!({"iss": self.url, "aud": "client", "sub": "jane", "exp": now().as_second() + 60});
        for (name, value) in further.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.keys.lock().unwrap().last().unwrap().sign(&claims).unwrap()
    }

    fn configured(&self, yaml: &str) -> OidcIssuer {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {{url: https://issuer, audiences: [client]}}\n{yaml}"
        );
        let mut config = AuthenticationConfiguration::parse(&text, &[]).unwrap().jwt.remove(0);
        // The issuer under test has no certificate.
        config.issuer.url.clone_from(&self.url);
        OidcIssuer::new(&config, vec![Algorithm::Rs256, Algorithm::Es256], now).unwrap()
    }
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

const PLAIN: &str = "  claimMappings: {username: {claim: sub, prefix: ''}}\n";

#[tokio::test]
async fn claims_become_a_user_by_names_and_by_expressions() {
    let issuer = TestIssuer::start().await;
    let named = issuer.configured(
        "  claimMappings:
    username: {claim: sub, prefix: 'oidc:'}
    groups: {claim: roles, prefix: 'r-'}
    uid: {claim: oid}
",
    );
    let token = issuer.token(&json!({"roles": ["a", "b"], "oid": "7", "jti": "t-1"}));
    let user = named.user(&token).await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("oidc:jane", "7"));
    assert_eq!(user.groups, ["r-a", "r-b"]);
    assert_eq!(user.extra[CREDENTIAL_ID_KEY], ["JTI=t-1"]);

    let computed = issuer.configured(
        "  claimMappings:
    username: {expression: 'claims.sub + \"@\" + claims.tenant.name'}
    groups: {expression: 'claims.roles.filter(r, r.startsWith(\"k8s-\"))'}
    uid: {expression: 'string(claims.number)'}
    extra: [{key: example.com/tenant, valueExpression: claims.tenant.name}]
  claimValidationRules:
  - {expression: 'claims.exp - claims.iat <= 86400', message: too long}
  userValidationRules:
  - {expression: \"!user.username.startsWith('system:')\", message: reserved}
",
    );
    let claims = |sub: &str, iat: i64| json!({"sub": sub, "iat": now().as_second() + iat, "tenant": {"name": "t"}, "roles": ["k8s-a", "b"], "number": 12});
    let user = computed.user(&issuer.token(&claims("jane", 0))).await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane@t", "12"));
    assert_eq!(user.groups, ["k8s-a"]);
    assert_eq!(user.extra["example.com/tenant"], ["t"]);
    let refusals = [
        (
            claims("jane", -100_000),
            "validation expression 'claims.exp - claims.iat <= 86400' failed: too long",
        ),
        (claims("system:x", 0), "failed: reserved"),
        (json!({"sub": "jane"}), "oidc: error evaluating username claim expression"),
    ];
    for (claims, want) in refusals {
        let error = computed.user(&issuer.token(&claims)).await.unwrap_err();
        assert!(error.0.contains(want), "{error}");
    }
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused_with_upstreams_reasons() {
    let issuer = TestIssuer::start().await;
    let oidc = issuer.configured(PLAIN);
    let email = issuer.configured("  claimMappings: {username: {claim: email, prefix: ''}}\n");
    let stranger = key();
    let at = now().as_second();
    let good = issuer.token(&json!({}));
    assert_eq!(oidc.user(&good).await.unwrap().unwrap().name, "jane");
    let forged =
        stranger.sign(&json!({"iss": issuer.url, "aud": "client", "sub": "x", "exp": at + 60})).unwrap();
    let rows = [
        (
            "another audience",
            &oidc,
            issuer.token(&json!({"aud": ["a", "b"]})),
            "oidc: verify token: oidc: expected audience \"client\" got [\"a\" \"b\"]",
        ),
        (
            "expired",
            &oidc,
            issuer.token(&json!({"exp": at - 1})),
            "oidc: verify token: oidc: token is expired",
        ),
        (
            "endless",
            &oidc,
            issuer.token(&json!({"exp": null})),
            "oidc: verify token: oidc: token has no expiry",
        ),
        ("not yet", &oidc, issuer.token(&json!({"nbf": at + 301})), "before the nbf"),
        ("another key", &oidc, forged, "failed to verify id token signature"),
        ("no name", &oidc, issuer.token(&json!({"sub": 7})), "oidc: parse username claims \"sub\""),
        (
            "an address nobody verified",
            &email,
            issuer.token(&json!({"email": "a@b", "email_verified": false})),
            "oidc: email not verified",
        ),
        (
            "a strange verification",
            &email,
            issuer.token(&json!({"email": "a@b", "email_verified": "yes"})),
            "oidc: parse 'email_verified' claim",
        ),
    ];
    for (name, oidc, token, want) in rows {
        let error = oidc.user(&token).await.unwrap_err();
        assert!(error.0.contains(want), "{name}: {error}");
    }
    let others =
        stranger.sign(&json!({"iss": "https://elsewhere", "aud": "client", "sub": "x", "exp": at + 60}));
    for (name, token) in [("another issuer", others.unwrap()), ("no token", "x".into())] {
        assert_eq!(oidc.user(&token).await, Ok(None), "{name}");
    }
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_fetched_when_a_token_names_it_but_not_for_every_token() {
    let issuer = TestIssuer::start().await;
    let oidc = issuer.configured(PLAIN);
    assert!(oidc.user(&issuer.token(&json!({}))).await.is_ok());
    issuer.keys.lock().unwrap().push(key());
    let token = issuer.token(&json!({}));
    // Keys were fetched a moment ago.
    assert!(oidc.user(&token).await.is_err());
    oidc.keys.forget_when_fetched().await;
    assert_eq!(oidc.user(&token).await.unwrap().unwrap().name, "jane");
}

#[tokio::test]
async fn an_issuer_that_is_not_there_lets_nobody_in() {
    let issuer = TestIssuer { url: "http://127.0.0.1:1".into(), keys: Arc::new(Mutex::new(vec![key()])) };
    let error = issuer.configured(PLAIN).user(&issuer.token(&json!({}))).await.unwrap_err();
    assert_eq!(error.0, "oidc: verify token: authenticator not initialized");
}

#[test]
fn a_configuration_that_is_wrong_is_told_by_field() {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
    let jwt = |issuer: &str, rest: &str| format!("{head}jwt:\n- issuer: {{{issuer}}}\n{rest}");
    let good = "url: https://i, audiences: [a]";
    let rows = [
        ("another kind", "kind: Pod\n".to_owned(), "it is , Kind=Pod"),
        ("an unknown field", format!("{head}jwts: []\n"), "unknown field"),
        (
            "no TLS",
            jwt("url: http://i, audiences: [a]", PLAIN),
            "jwt[0].issuer.url: Invalid value: \"http://i\": URL scheme must be https",
        ),
        (
            "no audience",
            jwt("url: https://i", PLAIN),
            "jwt[0].issuer.audiences: Required value: at least one issuer.audiences is required",
        ),
        (
            "many without a policy",
            jwt("url: https://i, audiences: [a, b]", PLAIN),
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (
            "a way out that is not there",
            jwt("url: https://i, audiences: [a], egressSelectorType: cluster", PLAIN),
            "jwt[0].issuer.egressSelectorType: Invalid value: \"cluster\": egress selectors are not supported",
        ),
        (
            "a way out that cannot be",
            jwt("url: https://i, audiences: [a], egressSelectorType: etcd", PLAIN),
            "egress selector must be either controlplane or cluster",
        ),
        (
            "a rule that is neither true nor false",
            jwt(good, &format!("{PLAIN}  claimValidationRules: [{{expression: claims.x}}]\n")),
            "jwt[0].claimValidationRules[0].expression: Invalid value: \"claims.x\": must evaluate to bool",
        ),
        (
            "a rule about a field that users have not",
            jwt(good, &format!("{PLAIN}  userValidationRules: [{{expression: \"user.name == 'x'\"}}]\n")),
            "undefined field 'name'",
        ),
        (
            "no username",
            jwt(good, ""),
            "jwt[0].claimMappings.username: Required value: claim or expression is required",
        ),
        (
            "no prefix",
            jwt(good, "  claimMappings: {username: {claim: sub}}\n"),
            "prefix is required when claim is set",
        ),
        (
            "a broken expression",
            jwt(good, "  claimMappings: {username: {expression: 'claims.'}}\n"),
            "compilation failed",
        ),
        (
            "an unverified address",
            jwt(good, "  claimMappings: {username: {expression: claims.email}}\n"),
            "claims.email_verified must be used",
        ),
        (
            "a reserved key",
            jwt(
                good,
                "  claimMappings: {username: {claim: sub, prefix: ''}, extra: [{key: kubernetes.io/x, valueExpression: claims.x}]}\n",
            ),
            "are reserved for Kubernetes use",
        ),
        (
            "an issuer twice",
            format!("{}- issuer: {{{good}}}\n{PLAIN}", jwt(good, PLAIN)),
            "jwt[1].issuer.url: Duplicate value",
        ),
        (
            "conditions of nothing",
            format!("{head}anonymous: {{enabled: false, conditions: [{{path: /livez}}]}}\n"),
            "enabled should be set to true",
        ),
    ];
    for (name, text, want) in rows {
        let error = AuthenticationConfiguration::parse(&text, &[]).unwrap_err();
        assert!(error.contains(want), "{name}: {error}");
    }
    let own = jwt("url: https://own, audiences: [a]", PLAIN);
    let error = AuthenticationConfiguration::parse(&own, &["https://own".into()]).unwrap_err();
    assert!(error.contains("must not overlap with disallowed issuers"), "{error}");
    let verified = "  claimMappings: {username: {expression: 'claims.?email_verified.orValue(true) ? claims.email : claims.sub'}}\n";
    assert!(AuthenticationConfiguration::parse(&jwt(good, verified), &[]).is_ok());
}
