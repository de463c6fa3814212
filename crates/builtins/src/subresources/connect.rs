//! Connections to nodes: logs, exec, attach, port-forward, proxies. What the API server itself can answer is
//! answered here; the rest waits for the layer that reaches nodes.

use async_trait::async_trait;
use sampan_apiserver::subresource::{Connect, Parent};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

/// `pods/log`.
#[derive(Debug)]
pub(super) struct Log;

#[async_trait]
impl Connect for Log {
    async fn get(&self, parent: &dyn Parent, query: &str) -> Result<(u16, &'static str, String), Status> {
        let pod = parent.get().await?;
        let container = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "container");
        check_container(&pod, container.as_ref().map_or("", |(_, value)| value))?;
        if pod.str_at(&["spec", "nodeName"]).is_empty() {
            return Ok((204, "text/plain", String::new()));
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

/// Everything that needs a stream.
#[derive(Debug)]
pub(super) struct Unavailable {
    name: String,
}

impl Unavailable {
    /// The connection of that name.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

#[async_trait]
impl Connect for Unavailable {
    async fn get(&self, parent: &dyn Parent, _query: &str) -> Result<(u16, &'static str, String), Status> {
        parent.get().await?;
        let name = &self.name;
        Err(Status::not_implemented(format!(
            "{name} needs a connection to nodes, which this server does not have yet"
        )))
    }
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
