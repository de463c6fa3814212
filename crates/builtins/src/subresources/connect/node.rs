//! Where a node's agent is reached: from its object, pure.

use sampan_apiserver::subresource::Parent;
use sampan_model::{GroupResource, Reason, Status, Value};

/// The port of a kubelet that does not say its own.
const KUBELET_PORT: u16 = 10250;

/// Where a node's agent is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The node of that name, or why it cannot be reached.
pub(super) fn named(parent: &dyn Parent, name: &str, types: &[String]) -> Result<Node, Status> {
    let nodes = GroupResource::new("", "nodes");
    of(&parent.find(&nodes, "", name).ok_or_else(|| Status::not_found(&nodes, name))?, types)
}

/// The same of its object.
pub(super) fn of(node: &Value, types: &[String]) -> Result<Node, Status> {
    read(node, types).map_err(|why| Status::failure(500, Reason::Unknown, why))
}

fn read(node: &Value, types: &[String]) -> Result<Node, String> {
    let addresses = node.array_at(&["status", "addresses"]);
    let of_type = |wanted: &String| {
        addresses
            .iter()
            .find(|address| address.str_at(&["type"]) == wanted)
            .map(|address| address.str_at(&["address"]).to_owned())
    };
    let host = types.iter().find_map(of_type).filter(|host| !host.is_empty()).ok_or_else(|| {
        let known: Vec<String> = addresses
            .iter()
            .map(|a| format!("{{{} {}}}", a.str_at(&["type"]), a.str_at(&["address"])))
            .collect();
        format!("no preferred addresses found; known addresses: [{}]", known.join(" "))
    })?;
    let told = node.at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
    let port =
        told.and_then(Value::as_i64).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    Ok(Node { host, port: port.unwrap_or(KUBELET_PORT) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_address_is_taken() {
        let types = ["InternalIP".to_owned(), "Hostname".to_owned()];
        let rows = [
            (
                r#"{"status":{"addresses":[{"type":"Hostname","address":"n"},{"type":"InternalIP","address":"10.0.0.1"}]}}"#,
                Ok(("10.0.0.1", 10250)),
            ),
            (
                r#"{"status":{"addresses":[{"type":"Hostname","address":"n"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":1234}}}}"#,
                Ok(("n", 1234)),
            ),
            (
                r#"{"status":{"addresses":[{"type":"ExternalIP","address":"8.8.8.8"}]}}"#,
                Err("no preferred addresses found; known addresses: [{ExternalIP 8.8.8.8}]"),
            ),
            ("{}", Err("no preferred addresses found; known addresses: []")),
        ];
        for (node, want) in rows {
            let got = read(&serde_json::from_str(node).unwrap(), &types);
            let want = want.map(|(host, port)| Node { host: host.into(), port }).map_err(str::to_owned);
            assert_eq!(got, want, "{node}");
        }
    }
}
