//! What a proxied path names: `[SCHEME:]NAME[:PORT]` of a node, a pod or a service, and where that is. Pure, but for the names of nodes,
//! which are looked up.

use std::net::{IpAddr, Ipv4Addr};

use sampan_apiserver::backend::{Location, Scheme};
use sampan_apiserver::subresource::Parent;
use sampan_model::{Status, Value};

use super::{node, service};
use crate::Nodes;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// As it stands in the path.
    text: &'a str,
    scheme: &'a str,
    /// The object.
    pub(super) name: &'a str,
    /// A number or the name of a port; may be empty.
    port: &'a str,
}

impl<'a> Asked<'a> {
    /// Upstream's `SplitSchemeNamePort`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match *parts.as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme @ ("" | "http" | "https"), name, port] => (scheme, name, port),
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { text, scheme, name, port })
    }

    fn at(&self, host: &str, port: u16) -> Location {
        let scheme = if self.scheme == "https" { Scheme::AnyHttps } else { Scheme::Http };
        location(scheme, host, port)
    }

    fn number(&self) -> Result<u16, Status> {
        self.port.parse().map_err(|_| {
            let port = self.port;
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            failed(if is_number {
                format!("dial tcp: address {port}: invalid port")
            } else {
                format!("dial tcp: lookup tcp/{port}: unknown port")
            })
        })
    }
}

fn location(scheme: Scheme, host: &str, port: u16) -> Location {
    Location { scheme, host: host.to_owned(), port, path: String::new(), query: String::new() }
}

/// 503, as upstream says it when there is nothing at the other end, or nothing that answers.
pub(super) fn failed(why: impl std::fmt::Display) -> Status {
    Status::service_unavailable(format!("error trying to reach service: {why}"))
}

/// A node's agent, or another port of it.
pub(super) async fn node(object: &Value, asked: &Asked<'_>, reach: &Nodes) -> Result<Location, Status> {
    let node = node::of(object, &reach.address_types)?;
    if asked.port.is_empty() || asked.port == node.port.to_string() {
        return Ok(location(Scheme::Node, &node.host, node.port));
    }
    let addresses = reach.backend.addresses(&node.host).await.map_err(Status::bad_request)?;
    addresses.iter().try_for_each(|address| may_be_proxied_to(*address))?;
    Ok(asked.at(&node.host, asked.number()?))
}

/// A port of a pod: the first that it tells, where none is asked for.
pub(super) fn pod(object: &Value, asked: &Asked<'_>) -> Result<Location, Status> {
    let first = object.array_at(&["status", "podIPs"]).first().map_or("", |ip| ip.str_at(&["ip"]));
    let text = if first.is_empty() { object.str_at(&["status", "podIP"]) } else { first };
    let address = text.parse().map_err(|_| not_allowed())?;
    may_be_proxied_to(address)?;
    let port = match (asked.port, first_port(object)) {
        ("", Some(port)) => port,
        ("", None) if asked.scheme == "https" => 443,
        ("", None) => 80,
        _ => asked.number()?,
    };
    Ok(asked.at(text, port))
}

fn first_port(pod: &Value) -> Option<u16> {
    let mut containers = pod.array_at(&["spec", "containers"]).iter();
    let port = containers.find_map(|c| c.array_at(&["ports"]).first())?;
    u16::try_from(port.get("containerPort")?.as_i64()?).ok()
}

/// A pod behind a service.
pub(super) fn service(parent: &dyn Parent, asked: &Asked<'_>) -> Result<Location, Status> {
    let (namespace, _) = parent.place();
    let (host, port) = service::endpoint(parent, namespace, asked.name, asked.port, asked.text)?;
    Ok(asked.at(&host, port))
}

fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}

/// The machine itself and its links are not proxied to (upstream's `IsProxyableIP`).
fn may_be_proxied_to(address: IpAddr) -> Result<(), Status> {
    let refused = match address.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip == Ipv4Addr::BROADCAST
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast()
        }
    };
    if refused { Err(not_allowed()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxied_name_may_have_a_scheme_and_a_port() {
        let rows = [
            ("web", Some(("", "web", ""))),
            ("web:80", Some(("", "web", "80"))),
            ("web:", Some(("", "web", ""))),
            ("https:web:443", Some(("https", "web", "443"))),
            (":web:443", Some(("", "web", "443"))),
            ("ftp:web:21", None),
            ("a:b:c:d", None),
            ("", None),
            (":80", None),
        ];
        for (text, want) in rows {
            let got = Asked::parse(text).map(|asked| (asked.scheme, asked.name, asked.port));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn a_pod_is_proxied_to_at_the_port_that_is_asked_for_or_its_first() {
        let told = r#"{"spec":{"containers":[{},{"ports":[{"containerPort":8080}]}]},"status":{"podIPs":[{"ip":"10.0.0.1"}]}}"#;
        let silent = r#"{"status":{"podIP":"fd00::1"}}"#;
        let rows = [
            (told, "p", Ok("http://10.0.0.1:8080")),
            (told, "https:p:1", Ok("https://10.0.0.1:1")),
            (silent, "p", Ok("http://[fd00::1]:80")),
            (silent, "https:p:", Ok("https://[fd00::1]:443")),
            (told, "p:web", Err("error trying to reach service: dial tcp: lookup tcp/web: unknown port")),
            (told, "p:70000", Err("error trying to reach service: dial tcp: address 70000: invalid port")),
            ("{}", "p", Err("address not allowed")),
            (r#"{"status":{"podIP":"127.0.0.1"}}"#, "p", Err("address not allowed")),
        ];
        for (object, text, want) in rows {
            let got = pod(&serde_json::from_str(object).unwrap(), &Asked::parse(text).unwrap());
            let url = |at: Location| {
                let scheme = if at.scheme == Scheme::Http { "http" } else { "https" };
                format!("{scheme}://{}", at.authority())
            };
            let got = got.map(url).map_err(|status| status.message().to_owned());
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{text} {object}");
        }
    }

    #[test]
    fn the_machine_itself_is_not_proxied_to() {
        let rows = [
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("224.0.0.1", false),
            ("239.1.1.1", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("fd00::1", true),
        ];
        for (host, want) in rows {
            assert_eq!(may_be_proxied_to(host.parse().unwrap()).is_ok(), want, "{host}");
        }
    }
}
