//! What a path means: pure.

use std::borrow::Cow;

use http::{Method, StatusCode};

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) namespace: String,
    pub(super) pod: String,
    /// If the request names it.
    pub(super) uid: Option<String>,
    /// Empty where only a pod is named.
    pub(super) container: String,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Pods,
    Config,
    Metrics,
    ResourceMetrics,
    Summary,
    SystemLogs,
    Logs(Of),
    Exec(Of),
    Attach(Of),
    Run(Of),
    PortForward(Of),
}

/// The path without its percent encoding.
pub(super) fn decoded(path: &str) -> Option<String> {
    percent_encoding::percent_decode_str(path).decode_utf8().ok().map(Cow::into_owned)
}

/// What a request asks for; the code of the refusal when there is nothing of the kind.
pub(super) fn parse(method: &Method, path: &str) -> Result<Route, StatusCode> {
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let of = |words: &[&str], with_container: bool| {
        let (names, container) = match (words, with_container) {
            ([names @ .., container], true) => (names, (*container).to_owned()),
            (names, false) => (names, String::new()),
            _ => return None,
        };
        let (namespace, pod, uid) = match names {
            [namespace, pod] => (namespace, pod, None),
            [namespace, pod, uid] => (namespace, pod, Some((*uid).to_owned())),
            _ => return None,
        };
        let full = !namespace.is_empty() && !pod.is_empty() && (!with_container || !container.is_empty());
        full.then(|| Of { namespace: (*namespace).to_owned(), pod: (*pod).to_owned(), uid, container })
    };
    let (route, methods): (Option<Route>, &[Method]) = match words.as_slice() {
        ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => {
            (Some(Route::Health), &[Method::GET, Method::HEAD])
        }
        ["pods"] => (Some(Route::Pods), &[Method::GET]),
        ["configz"] => (Some(Route::Config), &[Method::GET]),
        ["metrics"] => (Some(Route::Metrics), &[Method::GET]),
        ["metrics", "resource"] => (Some(Route::ResourceMetrics), &[Method::GET]),
        ["stats", "summary"] => (Some(Route::Summary), &[Method::GET, Method::POST]),
        ["logs", ..] => (Some(Route::SystemLogs), &[Method::GET, Method::HEAD]),
        ["containerLogs", rest @ ..] if rest.len() == 3 => (of(rest, true).map(Route::Logs), &[Method::GET]),
        ["exec", rest @ ..] => (of(rest, true).map(Route::Exec), &[Method::GET, Method::POST]),
        ["attach", rest @ ..] => (of(rest, true).map(Route::Attach), &[Method::GET, Method::POST]),
        ["run", rest @ ..] => (of(rest, true).map(Route::Run), &[Method::POST]),
        ["portForward", rest @ ..] => (of(rest, false).map(Route::PortForward), &[Method::GET, Method::POST]),
        _ => (None, &[]),
    };
    match route {
        None => Err(StatusCode::NOT_FOUND),
        Some(_) if !methods.contains(method) => Err(StatusCode::METHOD_NOT_ALLOWED),
        Some(route) => Ok(route),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_the_kubelets_mean() {
        let of = |uid: Option<&str>, container: &str| Of {
            namespace: "ns".into(),
            pod: "p".into(),
            uid: uid.map(str::to_owned),
            container: container.into(),
        };
        let rows = [
            (Method::GET, "/healthz", Ok(Route::Health)),
            (Method::GET, "/pods", Ok(Route::Pods)),
            (Method::GET, "/stats/summary", Ok(Route::Summary)),
            (Method::GET, "/metrics/resource", Ok(Route::ResourceMetrics)),
            (Method::GET, "/metrics/other", Err(StatusCode::NOT_FOUND)),
            (Method::GET, "/containerLogs/ns/p/c", Ok(Route::Logs(of(None, "c")))),
            (Method::GET, "/containerLogs/ns/p", Err(StatusCode::NOT_FOUND)),
            (Method::POST, "/containerLogs/ns/p/c", Err(StatusCode::METHOD_NOT_ALLOWED)),
            (Method::GET, "/exec/ns/p/c", Ok(Route::Exec(of(None, "c")))),
            (Method::POST, "/exec/ns/p/uid/c", Ok(Route::Exec(of(Some("uid"), "c")))),
            (Method::PUT, "/exec/ns/p/c", Err(StatusCode::METHOD_NOT_ALLOWED)),
            (Method::POST, "/exec/ns/p/", Err(StatusCode::NOT_FOUND)),
            (Method::POST, "/attach/ns/p/c", Ok(Route::Attach(of(None, "c")))),
            (Method::POST, "/run/ns/p/c", Ok(Route::Run(of(None, "c")))),
            (Method::GET, "/run/ns/p/c", Err(StatusCode::METHOD_NOT_ALLOWED)),
            (Method::POST, "/portForward/ns/p", Ok(Route::PortForward(of(None, "")))),
            (Method::POST, "/portForward/ns/p/uid", Ok(Route::PortForward(of(Some("uid"), "")))),
            (Method::GET, "/portForward/ns/p/uid/more", Err(StatusCode::NOT_FOUND)),
            (Method::GET, "/", Err(StatusCode::NOT_FOUND)),
        ];
        for (method, path, want) in rows {
            assert_eq!(parse(&method, path), want, "{method} {path}");
        }
    }
}
