//! Asks registries for manifests and blobs (the OCI distribution specification), host by host as `hosts` says.
//!
//! Nothing that a registry sends is taken into memory without a bound, since whoever may create a pod chooses the registry. That, the
//! identity tokens of pull secrets and the whole of `hosts.toml` (headers, client certificates, paths) are why this is no use of the
//! `oci-client` crate, which has none of them.

mod authorization;
mod client;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Response, Url};
use tokio::sync::Mutex;

use self::authorization::{Authorization, Challenge, Scope};
use super::digest::Digest;
use super::hosts::Host;
use super::manifest::{ACCEPT, MAX_DOCUMENT};
use super::reference::Reference;
use super::{Credentials, Error};

/// A repository of a registry, asked with certain credentials.
pub(crate) struct Registry {
    reference: Reference,
    servers: Vec<Server>,
    credentials: Option<Credentials>,
}

/// One host that may have its content.
struct Server {
    host: Host,
    client: reqwest::Client,
    /// What it wanted to see last time.
    authorization: Mutex<Option<Authorization>>,
}

/// A document as it came, verified.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
}

/// A blob on its way.
pub(crate) struct Transfer {
    pub(crate) response: Response,
    /// Where it begins: what was asked for, or 0 if the registry cannot begin in the middle.
    pub(crate) offset: u64,
}

/// Why a blob did not come from a host.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    /// Whether it may go better another time.
    pub(crate) transient: bool,
}

impl Registry {
    pub(crate) fn new(
        reference: &Reference,
        hosts: Vec<Host>,
        credentials: Option<Credentials>,
    ) -> Result<Self, Error> {
        let server =
            |host: Host| Ok(Server { client: client::build(&host)?, host, authorization: Mutex::new(None) });
        let servers = hosts.into_iter().map(server).collect::<Result<_, Error>>()?;
        Ok(Self { reference: reference.clone(), servers, credentials })
    }

    /// The document that a tag or digest leads to. Hosts that do not have it are passed over.
    pub(crate) async fn manifest(&self, which: &Reference) -> Result<Fetched, Error> {
        let mut first = None;
        for server in &self.servers {
            let (able, last) = match which.digest() {
                Some(digest) => (server.host.pulls, digest.to_string()),
                None => (server.host.resolves, which.tag().unwrap_or_default().to_owned()),
            };
            if !able {
                continue;
            }
            match self.manifest_from(server, &last, which.digest()).await {
                Ok(fetched) => return Ok(fetched),
                Err(Error::NotFound(_)) => {}
                // The first host that failed says why, as containerd does.
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::NotFound(format!("{which}: not found"))))
    }

    async fn manifest_from(
        &self,
        server: &Server,
        last: &str,
        wanted: Option<&Digest>,
    ) -> Result<Fetched, Error> {
        let url = self.url(server, "manifests", last)?;
        let accept = [(header::ACCEPT, HeaderValue::from_static(ACCEPT))].into_iter().collect();
        let response = self.get(server, &url, accept).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(refusal(status, &url).error);
        }
        let media_type = text(&response, header::CONTENT_TYPE.as_str());
        let claimed = Digest::parse(&text(&response, "docker-content-digest")).ok();
        let bytes = bounded(response, MAX_DOCUMENT).await?;
        let digest = Digest::of(&bytes);
        let expected = wanted.or(claimed.as_ref());
        if expected.is_some_and(|expected| *expected != digest) {
            let expected = expected.expect("it was just compared");
            return Err(Error::Invalid(format!(
                "unexpected commit digest {digest}, expected {expected}: failed precondition"
            )));
        }
        Ok(Fetched { bytes, media_type, digest })
    }

    /// How many hosts a blob can be asked of.
    pub(crate) fn hosts(&self) -> usize {
        self.servers.len()
    }

    /// Asks the host of that number for a blob, from `offset` on. `None` if it is not asked for content, or does not have it.
    pub(crate) async fn blob(
        &self,
        host: usize,
        digest: &Digest,
        offset: u64,
    ) -> Result<Option<Transfer>, Refusal> {
        let Some(server) = self.servers.get(host).filter(|server| server.host.pulls) else { return Ok(None) };
        let lasting = |error| Refusal { error, transient: false };
        let url = self.url(server, "blobs", &digest.to_string()).map_err(lasting)?;
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-")).expect("a number is a header");
            headers.insert(header::RANGE, range);
        }
        let response = self.get(server, &url, headers).await.map_err(|error| Refusal {
            // Wrong credentials stay wrong; a connection may come about the next time.
            transient: matches!(error, Error::Failed { .. }),
            error,
        })?;
        match response.status() {
            StatusCode::OK => Ok(Some(Transfer { response, offset: 0 })),
            StatusCode::PARTIAL_CONTENT if begins_at(&response, offset) => {
                Ok(Some(Transfer { response, offset }))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(refusal(status, &url)),
        }
    }

    fn url(&self, server: &Server, kind: &str, last: &str) -> Result<Url, Error> {
        let text = format!("{}/{}/{kind}/{last}", server.host.base, self.reference.path());
        let mut url =
            Url::parse(&text).map_err(|error| Error::failed(format!("{text:?} is no URL"), error))?;
        if server.host.is_mirror {
            url.query_pairs_mut().append_pair("ns", self.reference.domain());
        }
        Ok(url)
    }

    /// Sends a request; if the host wants to know who asks, sends it again with what it wants to see.
    async fn get(&self, server: &Server, url: &Url, headers: HeaderMap) -> Result<Response, Error> {
        let known = server.authorization.lock().await.clone();
        let response = server.send(url, &headers, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenges = Challenge::all(response.headers());
        drop(response);
        let scope = Scope { repository: self.reference.path(), server: &server.host };
        let new = authorization::answer(
            &server.client,
            &challenges,
            self.credentials.as_ref(),
            &scope,
            known.is_some(),
        )
        .await?;
        let response = server.send(url, &headers, Some(&new)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let said = Challenge::all(response.headers()).into_iter().find_map(|challenge| challenge.error);
            return Err(Error::Unauthorized(match said {
                Some(said) => format!("{DENIED}: server message: {said}: authorization failed"),
                None => format!("unexpected status from GET request to {url}: 401 Unauthorized"),
            }));
        }
        *server.authorization.lock().await = Some(new);
        Ok(response)
    }
}

/// What a refusal begins with, in containerd's words.
const DENIED: &str = "pull access denied, repository does not exist or may require authorization";

impl Server {
    async fn send(
        &self,
        url: &Url,
        headers: &HeaderMap,
        who: Option<&Authorization>,
    ) -> Result<Response, Error> {
        let mut request = self.client.get(url.clone()).headers(headers.clone());
        for (name, value) in &self.host.headers {
            request = request.header(name, value);
        }
        if let Some(who) = who {
            request = who.apply(request);
        }
        request.send().await.map_err(|error| failed_request(url, error))
    }
}

/// The URL stands in the context; the cause need not name it again.
fn failed_request(url: &Url, error: reqwest::Error) -> Error {
    Error::failed(format!("failed to do request: Get {:?}", url.as_str()), error.without_url())
}

fn refusal(status: StatusCode, url: &Url) -> Refusal {
    let text = format!("unexpected status from GET request to {url}: {status}");
    let transient = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let error = match status {
        StatusCode::NOT_FOUND => Error::NotFound(text),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Unauthorized(text),
        _ => Error::failed(text, "the registry refused"),
    };
    Refusal { error, transient }
}

/// Whether a part begins where it was to begin: `bytes 100-199/200`.
fn begins_at(response: &Response, offset: u64) -> bool {
    let range = text(response, header::CONTENT_RANGE.as_str());
    let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next());
    start.and_then(|start| start.parse().ok()) == Some(offset)
}

fn text(response: &Response, name: &str) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// A whole answer, if it is small enough.
async fn bounded(mut response: Response, limit: u64) -> Result<Vec<u8>, Error> {
    let url = response.url().clone();
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| failed_request(&url, error))? {
        if bytes.len() as u64 + piece.len() as u64 > limit {
            return Err(Error::Invalid(format!("the answer from {url} has more than {limit} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
