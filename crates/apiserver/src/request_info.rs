//! What a request asks for, read off its method and path (upstream's `RequestInfo`).

use http::Method;

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
        let mut special = "";
        if matches!(parts[0], "watch" | "proxy") && parts.len() > 1 {
            special = if parts[0] == "watch" { "watch" } else { "proxy" };
            parts.remove(0);
        }
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace = parts[1].into();
            if parts.len() > 2 && !(parts.len() == 3 && matches!(parts[2], "status" | "finalize")) {
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
        info.verb = match (method, info.name.is_empty()) {
            (&Method::GET | &Method::HEAD, _) if special == "watch" => "watch",
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
        if let (Some(name), "list" | "watch" | "deletecollection") = (selected_name, info.verb.as_str())
            && info.name.is_empty()
        {
            info.name = name.into();
        }
        info
    }
}

/// Decodes `%xx` in a path; `None` when what comes out is not UTF-8 or an escape is malformed.
pub fn decode_path(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let text = std::str::from_utf8(&digits).ok()?;
            out.push(u8::from_str_radix(text, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
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
            ("GET", "/api/v1/namespaces/a/status/x", "get", "", "a", "status", "x", ""),
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
}
