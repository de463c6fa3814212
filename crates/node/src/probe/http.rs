//! One GET over HTTP/1.1, with redirects within its host.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{Answer, MAX_OUTPUT_BYTES, tcp, tls};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 10;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With its query.
    pub(crate) path: String,
}

impl Url {
    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        tcp::join(&self.host, self.port)
    }

    /// Where a `Location` leads from here; `None` if it is no URL of the web.
    fn join(&self, location: &str) -> Option<Self> {
        let scheme = if self.https { "https" } else { "http" };
        let absolute = if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.contains("://") {
            location.to_owned()
        } else {
            let here = self.path.split('?').next().unwrap_or_default();
            let folder = here.rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = if location.starts_with('/') {
                location.to_owned()
            } else if location.starts_with('?') {
                format!("{here}{location}")
            } else {
                format!("{folder}/{location}")
            };
            return Some(Self { path: without_fragment(&path).to_owned(), ..self.clone() });
        };
        let uri: http::Uri = without_fragment(&absolute).parse().ok()?;
        let https = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Some(Self { https, host, port, path })
    }
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority(), self.path)
    }
}

/// A GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
}

/// What came of a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The beginning of it.
    pub(crate) body: String,
    location: Option<String>,
}

/// Why nothing came of a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It was TLS that was spoken, and plain HTTP that was answered.
    NotTls,
    /// In Go's words.
    Other(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "http: server gave HTTP response to HTTPS client",
            Self::Other(words) => words,
        })
    }
}

/// Asks, and follows redirects that stay on the host. Errors come with the URL that was asked last.
pub(crate) async fn get(request: &Request) -> Result<Response, (Url, Failed)> {
    let mut request = request.clone();
    let first = request.url.host.clone();
    for _ in 0..MAX_REDIRECTS {
        let url = request.url.clone();
        let response = once(&request).await.map_err(|failed| (url.clone(), failed))?;
        let redirects = matches!(response.status, 301 | 302 | 303 | 307 | 308);
        let Some(location) = response.location.as_deref().filter(|_| redirects) else {
            return Ok(response);
        };
        let Some(next) = url.join(location) else {
            return Err((url, Failed::Other(format!("failed to parse Location header {location:?}"))));
        };
        if next.host != first {
            return Ok(response);
        }
        request.url = next;
    }
    Err((request.url, Failed::Other(format!("stopped after {MAX_REDIRECTS} redirects"))))
}

async fn once(request: &Request) -> Result<Response, Failed> {
    let url = &request.url;
    let stream = tcp::connect(&url.host, url.port).await.map_err(Failed::Other)?;
    if !url.https {
        return exchange(request, stream).await;
    }
    let name = ServerName::try_from(url.host.clone())
        .map_err(|_| Failed::Other(format!("invalid server name {:?}", url.host)))?;
    let secure = TlsConnector::from(tls::config()).connect(name, stream).await;
    match secure {
        Ok(stream) => exchange(request, stream).await,
        // What is no TLS record is plain HTTP in all likelihood: Go looks for `HTTP/` in it, rustls does not show it.
        Err(error) if is_no_tls(&error) => Err(Failed::NotTls),
        Err(error) => Err(Failed::Other(format!("tls: {error}"))),
    }
}

fn is_no_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

async fn exchange<S>(request: &Request, stream: S) -> Result<Response, Failed>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let other = |error: hyper::Error| {
        Failed::Other(if error.is_incomplete_message() {
            "EOF".into()
        } else {
            crate::words::in_words(&error)
        })
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
    let exchange = async {
        let response = sender.send_request(message(request)?).await.map_err(other)?;
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        let mut body = response.into_body();
        let mut kept = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(other)?.into_data() else { continue };
            let room = MAX_OUTPUT_BYTES - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
            if kept.len() == MAX_OUTPUT_BYTES {
                break;
            }
        }
        Ok(Response { status, body: String::from_utf8_lossy(&kept).into_owned(), location })
    };
    tokio::pin!(exchange);
    // The connection is driven here, so that it ends with the request.
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            Err(error) => Err(other(error)),
            // It has ended in order: the answer is in the channel.
            Ok(()) => exchange.await,
        },
    }
}

fn message(request: &Request) -> Result<http::Request<Empty<Bytes>>, Failed> {
    let invalid = |error: http::Error| Failed::Other(error.to_string());
    let mut builder = http::Request::get(&request.url.path);
    let has_host = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    if !has_host {
        builder = builder.header(HOST, request.url.authority());
    }
    for (name, value) in &request.headers {
        builder = builder.header(name.as_str(), value.as_str());
    }
    builder.body(Empty::new()).map_err(invalid)
}

pub(super) async fn probe(request: &Request, timeout: Duration) -> Answer {
    let response = match tokio::time::timeout(timeout, get(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err((url, failed))) => return Answer::Failure(format!("Get \"{url}\": {failed}")),
        Err(_) => {
            return Answer::Failure(format!(
                "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                request.url
            ));
        }
    };
    match response.status {
        200..=299 => Answer::Success,
        300..=399 => Answer::Warning(format!("Probe terminated redirects, Response body: {}", response.body)),
        // Never the body: it may hold what events are not to show.
        status => Answer::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_where_its_location_says() {
        let here = Url { https: false, host: "10.0.0.1".into(), port: 8080, path: "/a/b?c".into() };
        for (location, expected) in [
            ("/x", Some("http://10.0.0.1:8080/x")),
            ("x?y#z", Some("http://10.0.0.1:8080/a/x?y")),
            ("?d", Some("http://10.0.0.1:8080/a/b?d")),
            ("https://x.org/y", Some("https://x.org:443/y")),
            ("//x.org", Some("http://x.org:80/")),
            ("http://[::1]:1/y", Some("http://[::1]:1/y")),
            ("ftp://x.org/", None),
        ] {
            assert_eq!(here.join(location).map(|url| url.to_string()).as_deref(), expected, "{location}");
        }
    }
}
