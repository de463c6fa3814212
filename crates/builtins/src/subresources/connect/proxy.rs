//! `nodes/proxy`, `pods/proxy`, `services/proxy`.

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sampan_apiserver::backend::{self, Location, Scheme};
use sampan_apiserver::http_io::respond::{self, Answer};
use sampan_apiserver::subresource::{Connect, Connection, Parent};
use sampan_model::field_error::go_quote;
use sampan_model::{GroupResource, Status, Value};

use super::{Reach, node, service, unreachable};
use crate::Nodes;
use crate::subresources::connect_options;

/// What Go leaves as it is in a path.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// `nodes/proxy`, `pods/proxy`, `services/proxy`.
#[derive(Debug)]
pub(in super::super) struct Proxy {
    resource: String,
    kind: &'static str,
    reach: Reach,
}

impl Proxy {
    /// That of a resource.
    pub(in super::super) fn of(resource: &str, reach: Reach) -> Self {
        let kind = match resource {
            "nodes" => "NodeProxyOptions",
            "services" => "ServiceProxyOptions",
            _ => "PodProxyOptions",
        };
        Self { resource: resource.to_owned(), kind, reach }
    }

    /// Where a request leads, without its path.
    fn location(
        &self,
        parent: &dyn Parent,
        reach: &Nodes,
        object: &Value,
        (scheme, name, port): (&str, &str, &str),
    ) -> Result<Location, Status> {
        let (namespace, asked) = parent.place();
        let at =
            |scheme, host, port| Location { scheme, host, port, path: String::new(), query: String::new() };
        let plain = if scheme == "https" { Scheme::AnyHttps } else { Scheme::Http };
        let default_port = if scheme == "https" { 443 } else { 80 };
        let number = |port: &str| {
            port.parse::<u16>().map_err(|_| Status::bad_request(format!("invalid port {}", go_quote(port))))
        };
        match self.resource.as_str() {
            "nodes" => {
                let node = node::of(parent, name, &reach.address_types)?;
                if port.is_empty() || port.parse() == Ok(node.port) {
                    return Ok(at(Scheme::Node, node.host, node.port));
                }
                may_be_proxied_to(&node.host)?;
                Ok(at(plain, node.host, number(port)?))
            }
            "services" => {
                let (host, port) = service::endpoint(parent, namespace, name, port, asked)?;
                Ok(at(plain, host, port))
            }
            _ => {
                let address =
                    object.array_at(&["status", "podIPs"]).first().map_or("", |ip| ip.str_at(&["ip"]));
                let address = if address.is_empty() { object.str_at(&["status", "podIP"]) } else { address };
                if address.parse::<IpAddr>().is_err() {
                    return Err(Status::bad_request("address not allowed"));
                }
                may_be_proxied_to(address)?;
                let port =
                    if port.is_empty() { first_port(object).unwrap_or(default_port) } else { number(port)? };
                Ok(at(plain, address.to_owned(), port))
            }
        }
    }
}

/// Scheme, name and port in `scheme:name:port`, `name:port` or `name` (upstream's `SplitSchemeNamePort`).
fn split_name(text: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = text.split(':').collect();
    let split = match *parts.as_slice() {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme @ ("" | "http" | "https"), name, port] => (scheme, name, port),
        _ => return None,
    };
    (!split.1.is_empty()).then_some(split)
}

/// The machine itself and its links are not proxied to (upstream's `IsProxyableIP`).
fn may_be_proxied_to(host: &str) -> Result<(), Status> {
    let refused = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local() || (ip.octets()[..3] == [224, 0, 0]),
        Ok(IpAddr::V6(ip)) => {
            let first = ip.segments()[0];
            let links = first & 0xffc0 == 0xfe80 || matches!(first & 0xff0f, 0xff01 | 0xff02);
            ip.is_loopback()
                || links
                || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback() || ip.is_link_local())
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    if refused { Err(Status::bad_request("address not allowed")) } else { Ok(()) }
}

fn first_port(pod: &Value) -> Option<u16> {
    let mut ports =
        pod.array_at(&["spec", "containers"]).iter().filter_map(|c| c.array_at(&["ports"]).first());
    u16::try_from(ports.next()?.get("containerPort")?.as_i64()?).ok()
}

#[async_trait]
impl Connect for Proxy {
    fn options(&self, query: &str, path: &str) -> Result<Value, Status> {
        connect_options::read(self.kind, query, Some(path))
    }

    fn takes_path(&self) -> bool {
        true
    }

    async fn connect(&self, parent: &dyn Parent, connection: Connection<'_>) -> Result<Answer, Status> {
        let (namespace, asked) = parent.place();
        let Some(name) = split_name(asked) else {
            let kind = self.resource.trim_end_matches('s');
            return Err(Status::bad_request(format!("invalid {kind} request {}", go_quote(asked))));
        };
        let resource = GroupResource::new("", self.resource.as_str());
        let object = parent.find(&resource, namespace, name.1);
        let object = object.ok_or_else(|| Status::not_found(&resource, name.1))?;
        let Some(reach) = &self.reach else { return Err(unreachable("proxy")) };
        let parts = connection.parts;
        let mut location = self.location(parent, reach, &object, name)?;
        let path = connection.options.str_at(&["path"]);
        location.path = utf8_percent_encode(path, &PATH).to_string();
        parts.uri.query().unwrap_or_default().clone_into(&mut location.query);
        let reads = matches!(parts.method, http::Method::GET | http::Method::HEAD);
        if backend::is_upgrade(parts) {
            return reach.backend.upgrade(&location, parts).await;
        }
        if path.is_empty() && reads {
            return Ok(moved(&parts.uri));
        }
        let prefix =
            parts.uri.path().strip_suffix(location.path.as_str()).unwrap_or(parts.uri.path()).to_owned();
        let mut headers = parts.headers.clone();
        forwarded(&mut headers, parts, &format!("{prefix}{}", location.path));
        let request = backend::Request { method: &parts.method, headers: &headers, body: connection.body };
        let mut answer =
            reach.backend.request(&location, request).await.map_err(|why| {
                Status::service_unavailable(format!("error trying to reach service: {why}"))
            })?;
        if let Some(to) = answer.headers().get(http::header::LOCATION).and_then(|to| to.to_str().ok())
            && let Ok(to) = HeaderValue::try_from(rewritten(to, &location.authority(), &prefix))
        {
            answer.headers_mut().insert(http::header::LOCATION, to);
        }
        Ok(answer)
    }
}

/// The redirect of an empty path to one with a slash, so that relative links work.
fn moved(uri: &http::Uri) -> Answer {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut answer = respond::bytes(301, "text/plain", "");
    answer.headers_mut().remove(http::header::CONTENT_TYPE);
    if let Ok(to) = HeaderValue::try_from(format!("{}/{query}", uri.path())) {
        answer.headers_mut().insert(http::header::LOCATION, to);
    }
    answer
}

/// Says by which way the request came.
fn forwarded(headers: &mut http::HeaderMap, parts: &http::request::Parts, uri: &str) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    set("x-forwarded-uri", uri);
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    if let Some(host) = host.or_else(|| parts.uri.host()) {
        set("x-forwarded-host", host);
    }
    set("x-forwarded-proto", "https");
    if let Some(peer) = parts.extensions.get::<SocketAddr>() {
        let before = parts.headers.get("x-forwarded-for").and_then(|list| list.to_str().ok());
        set(
            "x-forwarded-for",
            &before.map_or_else(|| peer.ip().to_string(), |list| format!("{list}, {}", peer.ip())),
        );
    }
}

/// Where a redirect of the other side leads for the client: below the proxy, if it stays on the same host.
fn rewritten(to: &str, authority: &str, prefix: &str) -> String {
    let path = match to.split_once("://") {
        Some((_, rest)) => {
            let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
            if host != authority {
                return to.to_owned();
            }
            path
        }
        None => to,
    };
    if !path.starts_with('/') || path.starts_with(prefix) {
        return path.to_owned();
    }
    format!("{prefix}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxied_name_may_have_a_scheme_and_a_port() {
        let rows = [
            ("web", Some("web")),
            ("web:80", Some("web")),
            ("web:", Some("web")),
            ("https:web:443", Some("web")),
            (":web:443", Some("web")),
            ("ftp:web:21", None),
            ("a:b:c:d", None),
            ("", None),
            (":80", None),
        ];
        for (text, want) in rows {
            assert_eq!(split_name(text).map(|(_, name, _)| name), want, "{text}");
        }
    }

    #[test]
    fn the_machine_itself_is_not_proxied_to() {
        let rows = [
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("fd00::1", true),
            ("localhost", false),
            ("node-1", true),
        ];
        for (host, want) in rows {
            assert_eq!(may_be_proxied_to(host).is_ok(), want, "{host}");
        }
    }

    #[test]
    fn redirects_stay_below_the_proxy() {
        let rows = [
            ("/login", "/p/proxy/login"),
            ("http://10.0.0.1:80/login", "/p/proxy/login"),
            ("http://other/login", "http://other/login"),
            ("login", "login"),
            ("/p/proxy/login", "/p/proxy/login"),
        ];
        for (to, want) in rows {
            assert_eq!(rewritten(to, "10.0.0.1:80", "/p/proxy"), want, "{to}");
        }
    }
}
