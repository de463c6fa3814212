//! What a request asks for, read off its method and path (upstream's `RequestInfo`).

use http::Method;
use sampan_model::name::is_path_segment_name;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestInfo {
    /// The path, decoded.
    pub path: String,
    /// `get`, `list`, `watch`, `create` ... for resources; the method in lower case otherwise.
    pub verb: String,
    /// Whether it is about a resource; the fields below are empty otherwise.
    pub is_resource: bool,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace, empty at cluster scope.
    pub namespace: String,
    /// The plural.
    pub resource: String,
    /// What stands below the name.
    pub subresource: String,
    /// The name.
    pub name: String,
    /// What stands after the subresource (`proxy/a/b`).
    pub rest: String,
}

impl RequestInfo {
    /// Reads `method` and the decoded `path`. `watch` and `by_name` are what the query says: a watch is
    /// asked for, and the field selector picks one name.
    pub fn parse(method: &Method, path: &str, watch: bool, selected_name: Option<&str>) -> Self {
        let mut info = RequestInfo {
            path: path.to_owned(),
            verb: method.as_str().to_ascii_lowercase(),
            ..RequestInfo::default()
        };
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').filter(|p| !p.is_empty()).collect();
        if path.contains("//") {
            return info;
        }
        match parts.first() {
            Some(&"api") if parts.len() >= 3 => {
                info.version = parts[1].into();
                parts.drain(..2);
            }
            Some(&"apis") if parts.len() >= 4 => {
                info.group = parts[1].into();
                info.version = parts[2].into();
                parts.drain(..3);
            }
            _ => return info,
        }
        info.is_resource = true;
        let mut special = None;
        if let word @ ("watch" | "proxy") = parts[0]
            && parts.len() > 1
        {
            special = Some(word);
            parts.remove(0);
        }
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace = parts[1].into();
            if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
                parts.drain(..2);
            }
        }
        info.resource = parts[0].into();
        info.name = parts.get(1).copied().unwrap_or("").into();
        info.subresource = parts.get(2).copied().unwrap_or("").into();
        info.rest = parts.get(3..).unwrap_or(&[]).join("/");
        if info.resource == "namespaces" && info.group.is_empty() {
            info.namespace.clone_from(&info.name);
        }
        // The word before a resource is the verb, whatever the method is.
        if let Some(word) = special {
            info.verb = word.into();
            return info;
        }
        info.verb = match (method, info.name.is_empty()) {
            (&Method::GET | &Method::HEAD, true) if watch => "watch",
            (&Method::GET | &Method::HEAD, true) => "list",
            (&Method::GET | &Method::HEAD, false) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, true) => "deletecollection",
            (&Method::DELETE, false) => "delete",
            _ => "",
        }
        .into();
        if let (Some(name), "list" | "watch") = (selected_name, info.verb.as_str())
            && is_path_segment_name(name).is_empty()
        {
            info.name = name.into();
        }
        info
    }
}

/// Decodes `%xx` in a path; `None` when an escape is malformed. What is not UTF-8 is replaced: no path that is served
/// has any of it.
pub fn decode_path(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            out.push(high << 4 | low);
        } else {
            out.push(byte);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_upstream_reads_them() {
        let rows = [
            ("GET", "/api/v1/namespaces/a/pods/p/log", "get", "", "a", "pods", "p", "log"),
            ("GET", "/api/v1/namespaces/a", "get", "", "a", "namespaces", "a", ""),
            ("PUT", "/api/v1/namespaces/a/finalize", "update", "", "a", "namespaces", "a", "finalize"),
            ("GET", "/api/v1/namespaces/a/status/x", "get", "", "a", "namespaces", "a", "status"),
            ("GET", "/apis/apps/v1/deployments", "list", "apps", "", "deployments", "", ""),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/deployments",
                "deletecollection",
                "apps",
                "a",
                "deployments",
                "",
                "",
            ),
            ("GET", "/api/v1/watch/namespaces/a/pods", "watch", "", "a", "pods", "", ""),
            ("POST", "/api/v1/watch/namespaces/a/pods", "watch", "", "a", "pods", "", ""),
            ("DELETE", "/api/v1/watch/namespaces/a/pods/p", "watch", "", "a", "pods", "p", ""),
            ("GET", "/api/v1/proxy/namespaces/a/pods/p", "proxy", "", "a", "pods", "p", ""),
            ("POST", "/api/v1/namespaces/a/pods/p/binding", "create", "", "a", "pods", "p", "binding"),
        ];
        for (method, path, verb, group, namespace, resource, name, subresource) in rows {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let info = RequestInfo::parse(&method, path, false, None);
            assert!(info.is_resource, "{path}");
            assert_eq!(
                (
                    &*info.verb,
                    &*info.group,
                    &*info.namespace,
                    &*info.resource,
                    &*info.name,
                    &*info.subresource
                ),
                (verb, group, namespace, resource, name, subresource),
                "{path}"
            );
        }
        assert!(!RequestInfo::parse(&Method::GET, "/api/v1", false, None).is_resource);
        assert!(!RequestInfo::parse(&Method::GET, "/healthz", false, None).is_resource);
    }

    #[test]
    fn a_selected_name_is_the_name_of_what_is_read_only() {
        let rows = [
            ("a list", "GET", "/api/v1/pods", false, Some("p"), "p"),
            ("a watch", "GET", "/api/v1/pods", true, Some("p"), "p"),
            ("a deletion", "DELETE", "/api/v1/namespaces/a/pods", false, Some("p"), ""),
            ("a watch by its path", "GET", "/api/v1/watch/pods", false, Some("p"), ""),
            ("no name of a path", "GET", "/api/v1/pods", false, Some("a/b"), ""),
            ("no selector", "GET", "/api/v1/pods", false, None, ""),
        ];
        for (name, method, path, watch, selected, want) in rows {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(RequestInfo::parse(&method, path, watch, selected).name, want, "{name}");
        }
    }

    #[test]
    fn escapes_are_two_hexadecimal_digits() {
        let rows = [
            ("none", "/a", Some("/a")),
            ("one", "/a%2Fb", Some("/a/b")),
            ("a sign", "/%+f", None),
            ("too short", "/%a", None),
            ("no UTF-8", "/%ff", Some("/\u{fffd}")),
        ];
        for (name, path, want) in rows {
            assert_eq!(decode_path(path).as_deref(), want, "{name}");
        }
    }
}
