//! Asks a webhook: posts JSON to the server that a kubeconfig names, and reads the JSON that comes back.
//!
//! A question that failed for a reason that may pass is asked again, a few times and after growing pauses, as upstream's
//! `webhook.WithExponentialBackoff` does. What is asked, and what an answer means, is the business of whoever asks.

pub mod kubeconfig;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::https::{self, Https};
pub use kubeconfig::{Credentials, Kubeconfig};

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The exchange failed.
    #[error(transparent)]
    Https(#[from] https::Error),
    /// The file with the token cannot be read.
    #[error("the file with the token cannot be read")]
    Token(#[source] std::io::Error),
    /// The token has characters that no header has.
    #[error("the credentials cannot be put into a header")]
    Credentials,
    /// The server answered with another code than 200 or 201.
    #[error("the webhook answered {code}: {text}")]
    Refused {
        /// The code.
        code: StatusCode,
        /// The first part of the answer.
        text: String,
        /// The server said when to come again.
        retry_after: Option<Duration>,
    },
    /// The answer is no JSON.
    #[error("the webhook's answer is no JSON")]
    Answer(#[source] serde_json::Error),
}

impl Error {
    /// How long to wait before asking again: `own` unless the server said otherwise; `None` when it is of no use.
    fn pause(&self, own: Duration) -> Option<Duration> {
        match self {
            Self::Https(https::Error::Connection(_)) => Some(own),
            Self::Refused { retry_after: Some(delay), .. } => Some((*delay).min(LONGEST_PAUSE)),
            Self::Refused { code, .. } => {
                let passes = matches!(
                    *code,
                    StatusCode::INTERNAL_SERVER_ERROR
                        | StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                );
                passes.then_some(own)
            }
            _ => None,
        }
    }
}

/// How often and after which pauses a question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// How often it is asked altogether.
    pub attempts: u32,
    /// The first pause; each further one is half as long again.
    pub first: Duration,
}

impl Default for Backoff {
    /// Upstream's `DefaultRetryBackoff`.
    fn default() -> Self {
        Self { attempts: 5, first: Duration::from_millis(500) }
    }
}

/// The longest pause that a server's `Retry-After` can demand.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A client of one webhook.
#[derive(Debug, Clone)]
pub struct WebhookClient {
    https: Https,
    url: http::Uri,
    credentials: Credentials,
    backoff: Backoff,
}

impl WebhookClient {
    /// A client of the server that `config` names; each attempt takes at most `timeout`.
    pub fn new(config: Kubeconfig, timeout: Duration, backoff: Backoff) -> Result<Self, https::Error> {
        let https = Https::new(&config.trust, timeout, MAX_ANSWER_BYTES)?;
        Ok(Self { https, url: config.server, credentials: config.credentials, backoff })
    }

    /// Asks, and asks again while that may help.
    pub async fn ask(&self, question: &Value) -> Result<Value, Error> {
        self.ask_observed(question, |_, _| {}).await
    }

    /// The same; `observe` is told of each attempt how long it took and how it failed.
    pub async fn ask_observed(
        &self,
        question: &Value,
        observe: impl Fn(Duration, Option<&Error>),
    ) -> Result<Value, Error> {
        let body = Bytes::from(question.to_string());
        let mut own = self.backoff.first;
        for attempt in 1.. {
            let started = tokio::time::Instant::now();
            let outcome = self.ask_once(body.clone()).await;
            observe(started.elapsed(), outcome.as_ref().err());
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.pause(own) {
                Some(pause) if attempt < self.backoff.attempts => {
                    tracing::debug!(url = %self.url, attempt, %error, "a webhook failed; it is asked again");
                    tokio::time::sleep(pause).await;
                    own = own * 3 / 2;
                }
                _ => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn ask_once(&self, body: Bytes) -> Result<Value, Error> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("sampan/", env!("CARGO_PKG_VERSION"))));
        if let Some(value) = self.authorization().await? {
            headers.insert(AUTHORIZATION, value);
        }
        let answer = self.https.send(request).await?;
        if !matches!(answer.code, StatusCode::OK | StatusCode::CREATED) {
            let text = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
            let retry_after = answer.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
            let retry_after = retry_after.map(Duration::from_secs);
            return Err(Error::Refused { code: answer.code, text, retry_after });
        }
        serde_json::from_slice(&answer.body).map_err(Error::Answer)
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        let text = match &self.credentials {
            Credentials::None => return Ok(None),
            Credentials::Token(token) => format!("Bearer {token}"),
            Credentials::TokenFile(path) => {
                let token = tokio::fs::read_to_string(path).await.map_err(Error::Token)?;
                format!("Bearer {}", token.trim())
            }
            Credentials::Basic(name, password) => {
                format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| Error::Credentials)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

#[cfg(test)]
pub(crate) mod tests;
