//! What a probe or hook asks: host, port, path and headers, from what the API says. Pure.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::http::{Request, Url};

/// The port that is meant: a number, or the name of a port of the container.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let name = match port {
        IntOrString::Int(port) => return number(i64::from(*port)),
        IntOrString::String(name) => name,
    };
    let named = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name));
    match named {
        Some(port) => number(i64::from(port.container_port)),
        // A number that was written as a string.
        None => match name.parse::<i64>() {
            Ok(port) => number(port),
            Err(_) => Err(format!("strconv.Atoi: parsing {name:?}: invalid syntax")),
        },
    }
}

/// A port by its number.
pub(crate) fn number(port: i64) -> Result<u16, String> {
    u16::try_from(port)
        .ok()
        .filter(|port| (1..u16::MAX).contains(port))
        .ok_or_else(|| format!("invalid port number: {port}"))
}

/// The request of an `httpGet`. A header `Accept` or `User-Agent` with no value leaves out what would be sent.
pub(crate) fn http_request(
    action: &HTTPGetAction,
    container: &Container,
    pod_ip: &str,
    user_agent: &str,
) -> Result<Request, String> {
    let port = port(&action.port, container)?;
    let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(pod_ip);
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let path = action.path.as_deref().unwrap_or_default();
    let url = Url { https: scheme == "https", host: host.to_owned(), port, path: target(path) };
    let given = action.http_headers.iter().flatten();
    let mut headers: Vec<_> = given.map(|h| (h.name.clone(), h.value.clone())).collect();
    for (name, value) in [("User-Agent", user_agent), ("Accept", "*/*")] {
        match headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, value)) if value.is_empty() => {
                headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            }
            Some(_) => {}
            None => headers.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(Request { url, headers })
}

/// A path with its query, as it stands in a request: it begins with a slash, has no fragment, and what may not stand there is escaped.
fn target(path: &str) -> String {
    use std::fmt::Write as _;
    let path = path.split('#').next().unwrap_or_default();
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        {
            target.push(char::from(byte));
        } else {
            write!(target, "%{byte:02X}").expect("a string can be written to");
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container() -> Container {
        serde_json::from_value(json!({"name": "main", "ports": [
            {"name": "web", "containerPort": 8080}, {"name": "bad", "containerPort": 70000}]}))
        .expect("a container")
    }

    #[test]
    fn a_port_is_a_number_or_a_name() {
        for (given, expected) in [
            (json!(80), Ok(80)),
            (json!("web"), Ok(8080)),
            (json!("81"), Ok(81)),
            (json!("no"), Err("strconv.Atoi: parsing \"no\": invalid syntax")),
            (json!("bad"), Err("invalid port number: 70000")),
            (json!(0), Err("invalid port number: 0")),
            (json!(65535), Err("invalid port number: 65535")),
        ] {
            let given: IntOrString = serde_json::from_value(given).expect("a port");
            assert_eq!(port(&given, &container()), expected.map_err(str::to_owned), "{given:?}");
        }
    }

    #[test]
    fn a_request_has_the_headers_and_the_url_that_the_action_says() {
        let agent = ("User-Agent", "kube-probe/1.36");
        let accept = ("Accept", "*/*");
        for (action, url, headers) in [
            (json!({"port": 80}), "http://10.0.0.1:80/", vec![agent, accept]),
            (
                json!({"port": "web", "path": "healthz?a=b c#d"}),
                "http://10.0.0.1:8080/healthz?a=b%20c",
                vec![agent, accept],
            ),
            (
                json!({"port": 443, "scheme": "HTTPS", "host": "::1", "path": "/", "httpHeaders": [
                    {"name": "Host", "value": "x.org"}, {"name": "accept", "value": ""}, {"name": "user-agent", "value": "me"}]}),
                "https://[::1]:443/",
                vec![("Host", "x.org"), ("user-agent", "me")],
            ),
        ] {
            let action: HTTPGetAction = serde_json::from_value(action).expect("an action");
            let request = http_request(&action, &container(), "10.0.0.1", agent.1).expect("a request");
            assert_eq!(request.url.to_string(), url);
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            assert_eq!(request.headers, headers.into_iter().map(owned).collect::<Vec<_>>(), "{url}");
        }
    }
}
