//! Connections by way of an object: logs, exec, attach, port-forward, proxies.
//!
//! Where each leads is found here, in upstream's order and words; [`sampan_apiserver::backend`] connects. Without one (a server that
//! reaches no nodes) the answer is 501.

mod log;
mod node;
mod proxy;
mod service;
mod target;
mod way;

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::backend::{Location, Scheme};
use sampan_apiserver::http_io::respond::Answer;
use sampan_apiserver::subresource::{Connect, Connection, Parent};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::connect_options;
use crate::Nodes;
pub(super) use log::Log;
pub(super) use proxy::Proxy;

/// How nodes are reached, if they are.
pub(super) type Reach = Option<Arc<Nodes>>;

fn names(pod: &Value, field: &str) -> Vec<String> {
    pod.array_at(&["spec", field]).iter().map(|c| c.str_at(&["name"]).to_owned()).collect()
}

/// The container that is asked for: it must be there, and be named when there are several.
fn container_of(pod: &Value, asked: &str) -> Result<String, Status> {
    let (mut containers, init) = (names(pod, "containers"), names(pod, "initContainers"));
    let name = pod.name();
    if !asked.is_empty() {
        let ephemeral = names(pod, "ephemeralContainers");
        if [&containers, &init, &ephemeral].into_iter().any(|list| list.iter().any(|c| c == asked)) {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    let choice = match (containers.len(), init.len()) {
        (1, _) => return Ok(containers.remove(0)),
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
    /// What the kubelet calls it.
    path: &'static str,
    of_container: bool,
    reach: Reach,
}

impl Stream {
    /// The subresource of that name.
    pub(super) fn named(name: &str, reach: Reach) -> Self {
        let (kind, path, of_container) = match name {
            "attach" => ("PodAttachOptions", "attach", true),
            "portforward" => ("PodPortForwardOptions", "portForward", false),
            _ => ("PodExecOptions", "exec", true),
        };
        Self { name: name.to_owned(), kind, path, of_container, reach }
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
        let mut path = format!("/{}/{}/{}", self.path, pod.namespace(), pod.name());
        if self.of_container {
            path.push('/');
            path.push_str(&container_of(&pod, connection.options.str_at(&["container"]))?);
        }
        let node = pod.str_at(&["spec", "nodeName"]);
        if node.is_empty() {
            return Err(Status::bad_request(format!("pod {} does not have a host assigned", pod.name())));
        }
        let Some(reach) = &self.reach else { return Err(unreachable(&self.name)) };
        let node = node::named(parent, node, &reach.address_types)?;
        let query = stream_query(&connection.options);
        let location = Location { scheme: Scheme::Node, host: node.host, port: node.port, path, query };
        reach.backend.upgrade(&location, connection.parts).await
    }
}

/// The options of a stream as the kubelet reads them.
fn stream_query(options: &Value) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (field, name) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if options.get(field).and_then(Value::as_bool).unwrap_or(false) {
            query.append_pair(name, "1");
        }
    }
    for word in options.array_at(&["command"]) {
        query.append_pair("command", word.as_str().unwrap_or_default());
    }
    for port in options.array_at(&["ports"]) {
        query.append_pair("port", &port.as_i64().unwrap_or_default().to_string());
    }
    query.finish()
}

fn unreachable(name: &str) -> Status {
    Status::not_implemented(format!("{name} needs a connection to nodes, which this server does not have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_of_one_container() {
        let pod = |spec: &str| {
            serde_json::from_str(&format!(r#"{{"metadata":{{"name":"p"}},"spec":{spec}}}"#)).unwrap()
        };
        let one = r#"{"containers":[{"name":"a"}]}"#;
        let two = r#"{"containers":[{"name":"a"},{"name":"b"}],"initContainers":[{"name":"i"}]}"#;
        let rows = [
            (one, "", "ok: a"),
            (two, "i", "ok: i"),
            (one, "x", "container x is not valid for pod p"),
            (
                two,
                "",
                "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]",
            ),
        ];
        for (spec, asked, want) in rows {
            let got = container_of(&pod(spec), asked)
                .map_or_else(|e| e.message().to_owned(), |name| format!("ok: {name}"));
            assert_eq!(got, want);
        }
    }

    #[test]
    fn options_are_told_as_the_kubelet_reads_them() {
        let rows = [
            (
                r#"{"stdin":true,"stdout":true,"command":["sh","-c","a b&c"]}"#,
                "input=1&output=1&command=sh&command=-c&command=a+b%26c",
            ),
            (r#"{"stderr":true,"tty":true,"command":null}"#, "error=1&tty=1"),
            (r#"{"ports":[80,443]}"#, "port=80&port=443"),
        ];
        for (options, want) in rows {
            assert_eq!(stream_query(&serde_json::from_str(options).unwrap()), want);
        }
    }
}
