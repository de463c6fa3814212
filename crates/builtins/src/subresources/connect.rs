//! Connections to nodes: logs, exec, attach, port-forward, proxies. What the API server itself can answer is
//! answered here, in upstream's order; 501 is what the layer that reaches nodes will answer instead.

use async_trait::async_trait;
use sampan_apiserver::http_io::respond::{self, Answer};
use sampan_apiserver::subresource::{Connect, Connection, Parent};
use sampan_model::field_error::go_quote;
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::connect_options;

/// `pods/log`.
#[derive(Debug)]
pub(super) struct Log;

#[async_trait]
impl Connect for Log {
    fn options(&self, query: &str, _path: &str) -> Result<Value, Status> {
        connect_options::read("PodLogOptions", query, None)
    }

    fn is_admitted(&self) -> bool {
        false
    }

    async fn connect(&self, parent: &dyn Parent, connection: Connection<'_>) -> Result<Answer, Status> {
        let pod = parent.get().await?;
        check_container(&pod, connection.options.str_at(&["container"]))?;
        if pod.str_at(&["spec", "nodeName"]).is_empty() {
            return Ok(respond::bytes(204, "text/plain", ""));
        }
        Err(Status::not_implemented("logs need a connection to nodes, which this server does not have yet"))
    }
}

fn names(pod: &Value, field: &str) -> Vec<String> {
    pod.array_at(&["spec", field]).iter().map(|c| c.str_at(&["name"]).to_owned()).collect()
}

/// The container whose log is asked for must be there, and be named when there are several.
fn check_container(pod: &Value, asked: &str) -> Result<(), Status> {
    let (containers, init) = (names(pod, "containers"), names(pod, "initContainers"));
    let name = pod.name();
    if !asked.is_empty() {
        let ephemeral = names(pod, "ephemeralContainers");
        if [&containers, &init, &ephemeral].into_iter().any(|list| list.iter().any(|c| c == asked)) {
            return Ok(());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    let choice = match (containers.len(), init.len()) {
        (1, _) => return Ok(()),
        (0, _) => String::new(),
        (_, 0) => format!(", choose one of: [{}]", containers.join(" ")),
        _ => format!(
            ", choose one of: [{}] or one of the init containers: [{}]",
            containers.join(" "),
            init.join(" ")
        ),
    };
    Err(Status::bad_request(format!("a container name must be specified for pod {name}{choice}")))
}

/// `pods/exec`, `pods/attach`, `pods/portforward`.
#[derive(Debug)]
pub(super) struct Stream {
    name: String,
    kind: &'static str,
    of_container: bool,
}

impl Stream {
    /// The subresource of that name.
    pub(super) fn named(name: &str) -> Self {
        let (kind, of_container) = match name {
            "attach" => ("PodAttachOptions", true),
            "portforward" => ("PodPortForwardOptions", false),
            _ => ("PodExecOptions", true),
        };
        Self { name: name.to_owned(), kind, of_container }
    }
}

#[async_trait]
impl Connect for Stream {
    fn options(&self, query: &str, _path: &str) -> Result<Value, Status> {
        connect_options::read(self.kind, query, None)
    }

    fn needs_create(&self) -> bool {
        true
    }

    async fn connect(&self, parent: &dyn Parent, connection: Connection<'_>) -> Result<Answer, Status> {
        let pod = parent.get().await?;
        if self.of_container {
            check_container(&pod, connection.options.str_at(&["container"]))?;
        }
        if pod.str_at(&["spec", "nodeName"]).is_empty() {
            return Err(Status::bad_request(format!("pod {} does not have a host assigned", pod.name())));
        }
        Err(unreachable(&self.name))
    }
}

/// `nodes/proxy`, `pods/proxy`, `services/proxy`.
#[derive(Debug)]
pub(super) struct Proxy {
    resource: String,
    kind: &'static str,
}

impl Proxy {
    /// That of a resource.
    pub(super) fn of(resource: &str) -> Self {
        let kind = match resource {
            "nodes" => "NodeProxyOptions",
            "services" => "ServiceProxyOptions",
            _ => "PodProxyOptions",
        };
        Self { resource: resource.to_owned(), kind }
    }
}

/// The name in `scheme:name:port`, `name:port` or `name` (upstream's `SplitSchemeNamePort`).
fn name_in(text: &str) -> Option<&str> {
    let parts: Vec<&str> = text.split(':').collect();
    let name = match parts.as_slice() {
        [name] | [name, _] => name,
        ["" | "http" | "https", name, _] => name,
        _ => return None,
    };
    (!name.is_empty()).then_some(name)
}

#[async_trait]
impl Connect for Proxy {
    fn options(&self, query: &str, path: &str) -> Result<Value, Status> {
        connect_options::read(self.kind, query, Some(path))
    }

    fn takes_path(&self) -> bool {
        true
    }

    async fn connect(&self, parent: &dyn Parent, _connection: Connection<'_>) -> Result<Answer, Status> {
        let (namespace, asked) = parent.place();
        let Some(name) = name_in(asked) else {
            let kind = self.resource.trim_end_matches('s');
            return Err(Status::bad_request(format!("invalid {kind} request {}", go_quote(asked))));
        };
        let resource = GroupResource::new("", self.resource.as_str());
        if parent.find(&resource, namespace, name).is_none() {
            return Err(Status::not_found(&resource, name));
        }
        Err(unreachable("proxy"))
    }
}

fn unreachable(name: &str) -> Status {
    Status::not_implemented(format!(
        "{name} needs a connection to nodes, which this server does not have yet"
    ))
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
            assert_eq!(name_in(text), want, "{text}");
        }
    }

    #[test]
    fn a_log_is_of_one_container() {
        let pod = |spec: &str| {
            serde_json::from_str(&format!(r#"{{"metadata":{{"name":"p"}},"spec":{spec}}}"#)).unwrap()
        };
        let one = r#"{"containers":[{"name":"a"}]}"#;
        let two = r#"{"containers":[{"name":"a"},{"name":"b"}],"initContainers":[{"name":"i"}]}"#;
        let rows = [
            (one, "", "ok"),
            (two, "i", "ok"),
            (one, "x", "container x is not valid for pod p"),
            (
                two,
                "",
                "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]",
            ),
        ];
        for (spec, asked, want) in rows {
            let got =
                check_container(&pod(spec), asked).map_or_else(|e| e.message().to_owned(), |()| "ok".into());
            assert_eq!(got, want);
        }
    }
}
