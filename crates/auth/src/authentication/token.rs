//! Bearer tokens: where a request shows one, and who is asked about it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use prometheus_client::registry::Registry;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::{Authenticated, Authenticator, Notes, Rejected};

/// The longest token that is looked at. Longer ones cannot come in a header anyway, but in a TokenReview.
pub const MAX_TOKEN_BYTES: usize = 64 << 10;

/// What upstream says of a token that nobody knows; clients see it in TokenReviews.
const INVALID: &str = "invalid bearer token";

/// Who a token speaks for, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: Arc<User>,
    /// Those of the wanted audiences that the token is for.
    pub audiences: Vec<String>,
    /// What is to be told of the token.
    pub notes: Notes,
}

impl From<Identity> for Authenticated {
    fn from(identity: Identity) -> Self {
        Self { user: identity.user, notes: identity.notes }
    }
}

/// Knows one sort of tokens.
#[async_trait]
pub trait TokenAuthenticator: Send + Sync + Debug {
    /// The identity when the token is for one of `audiences`; `None` when the token is of another sort or unknown; an error
    /// when it is wrong.
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Identity>, Rejected>;

    /// Makes its metrics known to the server's registry.
    fn register_metrics(&self, _registry: &mut Registry) {}
}

/// A sort of tokens that have no audiences: they are for the API server's own.
#[derive(Debug)]
pub struct ForApi<T> {
    /// Knows the tokens.
    pub inner: T,
    /// The API server's audiences.
    pub audiences: Vec<String>,
}

/// Tokens without audiences.
#[async_trait]
pub trait PlainToken: Send + Sync + Debug {
    /// The user of a token.
    async fn user(&self, token: &str) -> Result<Option<User>, Rejected>;
}

#[async_trait]
impl<T: PlainToken> TokenAuthenticator for ForApi<T> {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Identity>, Rejected> {
        let audiences = intersection(&self.audiences, audiences);
        if audiences.is_empty() {
            return Ok(None);
        }
        let user = self.inner.user(token).await?;
        Ok(user.map(|user| Identity { user: Arc::new(user), audiences, notes: Notes::default() }))
    }
}

/// Those of `have` that are wanted, in order.
pub(crate) fn intersection(have: &[String], wanted: &[String]) -> Vec<String> {
    have.iter().filter(|a| wanted.contains(a)).cloned().collect()
}

/// All sorts of tokens: the first that knows one decides.
#[derive(Debug)]
pub struct Tokens {
    authenticators: Vec<Arc<dyn TokenAuthenticator>>,
    audiences: Vec<String>,
}

impl Tokens {
    /// These sorts, asked in this order, for the API server of these audiences.
    pub fn new(authenticators: Vec<Arc<dyn TokenAuthenticator>>, audiences: Vec<String>) -> Self {
        Self { authenticators, audiences }
    }

    /// The API server's audiences.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Who the token speaks for to one of `audiences`; else why not, in upstream's words.
    pub async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Identity, Rejected> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejected::new(format!("the token is longer than {MAX_TOKEN_BYTES} bytes")));
        }
        let mut reasons = Vec::new();
        for authenticator in &self.authenticators {
            match authenticator.authenticate(token, audiences).await {
                Ok(Some(identity)) => return Ok(authenticated(identity)),
                Ok(None) => {}
                Err(reason) => reasons.push(reason.0),
            }
        }
        // Upstream asks for its own tokens first, which answers with the general sentence.
        let mut said = BTreeSet::from([INVALID.to_owned()]);
        let all: Vec<String> = std::iter::once(INVALID.to_owned())
            .chain(reasons.into_iter().filter(|r| said.insert(r.clone())))
            .collect();
        Err(Rejected(if let [one] = all.as_slice() { one.clone() } else { format!("[{}]", all.join(", ")) }))
    }
}

/// Whoever was authenticated is in the group of those.
fn authenticated(mut identity: Identity) -> Identity {
    Arc::make_mut(&mut identity.user).count_as_authenticated();
    identity
}

/// The token in the `Authorization` header.
#[derive(Debug)]
pub struct Bearer(pub Arc<Tokens>);

#[async_trait]
impl Authenticator for Bearer {
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Authenticated>, Rejected> {
        let header = parts.headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let Ok(header) = std::str::from_utf8(header) else { return Err(Rejected::new(INVALID)) };
        let Some(token) = bearer(header) else { return Ok(None) };
        let identity = self.0.authenticate(token, self.0.audiences()).await?;
        Ok(Some(identity.into()))
    }

    fn register_metrics(&self, registry: &mut Registry) {
        for authenticator in &self.0.authenticators {
            authenticator.register_metrics(registry);
        }
    }

    fn forget(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
    }
}

/// The token of an `Authorization` header; `None` for other schemes and for a header without a token.
fn bearer(header: &str) -> Option<&str> {
    let mut words = header.trim().splitn(3, ' ');
    let scheme = words.next()?;
    words.next().filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// The token among the subprotocols of a WebSocket, for browsers, which cannot set headers there.
#[derive(Debug)]
pub struct WebSocketProtocol(pub Arc<Tokens>);

const WEBSOCKET_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

#[async_trait]
impl Authenticator for WebSocketProtocol {
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Authenticated>, Rejected> {
        let asks = |name: HeaderName, word: &str| {
            let value = parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
            value.to_ascii_lowercase().contains(word)
        };
        if !asks(CONNECTION, "upgrade") || !asks(UPGRADE, "websocket") {
            return Ok(None);
        }
        let protocols = protocols(&parts.headers);
        let mut tokens = protocols.iter().filter_map(|p| p.strip_prefix(WEBSOCKET_PREFIX));
        let Some(encoded) = tokens.next() else { return Ok(None) };
        if tokens.next().is_some() {
            return Err(Rejected::new("multiple base64.bearer.authorization tokens specified"));
        }
        if protocols.len() == 1 {
            return Err(Rejected::new("missing additional subprotocol"));
        }
        let token = URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let token =
            token.ok_or_else(|| Rejected::new("invalid base64.bearer.authorization token encoding"))?;
        let identity = self.0.authenticate(&token, self.0.audiences()).await?;
        Ok(Some(identity.into()))
    }

    fn forget(&self, headers: &mut HeaderMap) {
        let all = protocols(headers);
        if !all.iter().any(|p| p.starts_with(WEBSOCKET_PREFIX)) {
            return;
        }
        let rest: Vec<&str> =
            all.iter().filter(|p| !p.starts_with(WEBSOCKET_PREFIX)).map(String::as_str).collect();
        match HeaderValue::from_str(&rest.join(",")) {
            Ok(value) => headers.insert(SEC_WEBSOCKET_PROTOCOL, value),
            Err(_) => headers.remove(SEC_WEBSOCKET_PROTOCOL),
        };
    }
}

fn protocols(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|p| p.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows `good`, and knows that `bad` is wrong.
    #[derive(Debug)]
    struct Two;

    #[async_trait]
    impl PlainToken for Two {
        async fn user(&self, token: &str) -> Result<Option<User>, Rejected> {
            match token {
                "good" => Ok(Some(User { name: "jane".into(), ..User::default() })),
                "bad" => Err(Rejected::new("it is wrong")),
                _ => Ok(None),
            }
        }
    }

    fn tokens() -> Arc<Tokens> {
        let api = vec!["api".to_owned()];
        Arc::new(Tokens::new(vec![Arc::new(ForApi { inner: Two, audiences: api.clone() })], api))
    }

    async fn ask(
        authenticator: &dyn Authenticator,
        headers: &[(&str, &str)],
    ) -> Result<Option<String>, String> {
        let mut request = http::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let found = authenticator.authenticate(&parts).await.map_err(|r| r.0)?;
        authenticator.forget(&mut parts.headers);
        assert!(!format!("{:?}", parts.headers).contains("good"), "the token is forgotten");
        Ok(found.map(|found| format!("{} {}", found.user.name, found.user.groups.join(" "))))
    }

    #[tokio::test]
    async fn a_header_shows_a_token_or_something_else() {
        let known = Ok(Some("jane system:authenticated".to_owned()));
        let rows = [
            ("a token", "Bearer good", known.clone()),
            ("in any case", "bEaReR good", known),
            ("unknown", "Bearer x", Err("invalid bearer token".to_owned())),
            ("wrong", "Bearer bad", Err("[invalid bearer token, it is wrong]".to_owned())),
            ("another scheme", "Basic eDp5", Ok(None)),
            ("no token", "Bearer", Ok(None)),
            ("an extra space", "Bearer  x", Ok(None)),
        ];
        for (name, header, want) in rows {
            assert_eq!(ask(&Bearer(tokens()), &[("authorization", header)]).await, want, "{name}");
        }
        assert_eq!(ask(&Bearer(tokens()), &[]).await, Ok(None));
    }

    #[tokio::test]
    async fn a_web_socket_shows_its_token_as_a_protocol() {
        let good = format!("{WEBSOCKET_PREFIX}{}", URL_SAFE_NO_PAD.encode("good"));
        let known = Ok(Some("jane system:authenticated".to_owned()));
        let rows = [
            ("beside another", format!("v5.channel.k8s.io, {good}"), known),
            ("alone", good.clone(), Err("missing additional subprotocol".to_owned())),
            ("none", "v5.channel.k8s.io".to_owned(), Ok(None)),
            (
                "no base64",
                format!("a, {WEBSOCKET_PREFIX}*"),
                Err("invalid base64.bearer.authorization token encoding".to_owned()),
            ),
        ];
        for (name, protocols, want) in rows {
            let headers = [
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-protocol", &*protocols),
            ];
            assert_eq!(ask(&WebSocketProtocol(tokens()), &headers).await, want, "{name}");
        }
        let plain = [("sec-websocket-protocol", &*format!("a, {good}"))];
        assert_eq!(WebSocketProtocol(tokens()).authenticate(&parts(&plain)).await, Ok(None));
    }

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn a_token_of_megabytes_is_refused_before_it_is_looked_at() {
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        let error = tokens().authenticate(&long, &["api".into()]).await.unwrap_err();
        assert_eq!(error.0, "the token is longer than 65536 bytes");
    }

    #[tokio::test]
    async fn a_plain_token_is_for_the_api_server_alone() {
        let rows = [(vec!["api", "vault"], Some(vec!["api"])), (vec!["vault"], None)];
        for (wanted, got) in rows {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            let audiences = tokens().authenticate("good", &wanted).await.ok().map(|i| i.audiences);
            assert_eq!(audiences, got.map(|list| list.into_iter().map(str::to_owned).collect()));
        }
    }
}
