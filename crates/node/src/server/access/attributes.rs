//! What a request to the kubelet's API needs the right to, in the API's terms (upstream's `NodeAuthorizerAttributesGetter`, with
//! `KubeletFineGrainedAuthz`): pure.

use http::Method;

/// A right to a subresource of the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// The verb.
    pub verb: &'static str,
    /// The subresource of `nodes`.
    pub subresource: &'static str,
    /// The node.
    pub node: String,
}

/// The rights of which one suffices; the most special one first.
pub fn of(method: &Method, path: &str, node: &str) -> Vec<Attributes> {
    let verb = match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    };
    // A path that only looks as if it were below another one must not be taken for it.
    let below =
        |base: &str| path == base || path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    let is_plain = !path.split('/').any(|word| word == "." || word == "..");
    let table: [(&str, &[&'static str]); 9] = [
        ("/stats", &["stats"]),
        ("/metrics", &["metrics"]),
        ("/logs", &["log"]),
        ("/checkpoint", &["checkpoint"]),
        ("/statusz", &["statusz"]),
        ("/flagz", &["flagz"]),
        ("/pods", &["pods", "proxy"]),
        ("/healthz", &["healthz", "proxy"]),
        ("/configz", &["configz", "proxy"]),
    ];
    let found =
        table.iter().find(|(base, _)| is_plain && below(base)).map_or(&["proxy"][..], |(_, list)| list);
    found.iter().map(|subresource| Attributes { verb, subresource, node: node.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_need_the_rights_that_the_kubelet_asks_for() {
        let rows = [
            (Method::GET, "/stats/summary", "get", vec!["stats"]),
            (Method::GET, "/metrics", "get", vec!["metrics"]),
            (Method::GET, "/metrics/resource", "get", vec!["metrics"]),
            (Method::GET, "/logs/", "get", vec!["log"]),
            (Method::GET, "/pods", "get", vec!["pods", "proxy"]),
            (Method::GET, "/healthz/ping", "get", vec!["healthz", "proxy"]),
            (Method::GET, "/configz", "get", vec!["configz", "proxy"]),
            (Method::GET, "/containerLogs/ns/p/c", "get", vec!["proxy"]),
            (Method::POST, "/exec/ns/p/c", "create", vec!["proxy"]),
            (Method::GET, "/metricsandmore", "get", vec!["proxy"]),
            (Method::GET, "/stats/../exec/ns/p/c", "get", vec!["proxy"]),
            (Method::HEAD, "/pods", "", vec!["pods", "proxy"]),
        ];
        for (method, path, verb, subresources) in rows {
            let got = of(&method, path, "n");
            assert!(got.iter().all(|a| a.verb == verb && a.node == "n"), "{method} {path}");
            assert_eq!(
                got.iter().map(|a| a.subresource).collect::<Vec<_>>(),
                subresources,
                "{method} {path}"
            );
        }
    }
}
