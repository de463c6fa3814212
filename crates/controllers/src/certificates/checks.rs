//! What the cluster's own signers give, and to whom. Pure; the rules and the sentences are upstream's (`pkg/apis/certificates/helpers.go`).

use std::collections::BTreeSet;

use super::request::Asked;

pub(super) const API_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

const SIGNATURE: &str = "digital signature";
const ENCIPHERMENT: &str = "key encipherment";
const CLIENT: &str = "client auth";
const SERVER: &str = "server auth";

/// Whether a signer gives this. `None`: the signer is not the cluster's.
pub(super) fn check(signer: &str, asked: &Asked, usages: &[String]) -> Option<Result<(), String>> {
    match signer {
        API_CLIENT => Some(api_client(usages)),
        KUBELET_CLIENT => Some(kubelet_client(asked, usages)),
        KUBELET_SERVING => Some(kubelet_serving(asked, usages)),
        LEGACY => Some(Ok(())),
        _ => None,
    }
}

fn api_client(usages: &[String]) -> Result<(), String> {
    let allowed = |usage: &&String| [SIGNATURE, ENCIPHERMENT, CLIENT].contains(&usage.as_str());
    if let Some(other) = usages.iter().find(|usage| !allowed(usage)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if !usages.iter().any(|usage| usage == CLIENT) {
        return Err(format!("missing required usage for client certificate: {CLIENT}"));
    }
    Ok(())
}

/// Whether this is a node's client certificate.
pub(super) fn kubelet_client(asked: &Asked, usages: &[String]) -> Result<(), String> {
    is_of_nodes(asked)?;
    for (names, kind) in
        [(asked.dns_names, "DNS"), (asked.emails, "Email"), (asked.addresses, "IP"), (asked.uris, "URI")]
    {
        if names > 0 {
            return Err(format!("{kind} subjectAltNames are not allowed"));
        }
    }
    is_node(asked)?;
    are_usages(usages, CLIENT)
}

fn kubelet_serving(asked: &Asked, usages: &[String]) -> Result<(), String> {
    is_of_nodes(asked)?;
    if asked.dns_names == 0 && asked.addresses == 0 {
        return Err("DNS or IP subjectAltName is required".into());
    }
    for (names, kind) in [(asked.emails, "Email"), (asked.uris, "URI")] {
        if names > 0 {
            return Err(format!("{kind} subjectAltNames are not allowed"));
        }
    }
    are_usages(usages, SERVER)?;
    is_node(asked)
}

fn is_of_nodes(asked: &Asked) -> Result<(), String> {
    let right = asked.organizations == ["system:nodes"];
    if right { Ok(()) } else { Err("subject organization is not system:nodes".into()) }
}

fn is_node(asked: &Asked) -> Result<(), String> {
    let right = asked.common_name.starts_with("system:node:");
    if right { Ok(()) } else { Err("subject common name does not begin with system:node:".into()) }
}

/// These, where those of a key that cannot encipher (any but RSA) may be without that.
fn are_usages(usages: &[String], purpose: &str) -> Result<(), String> {
    let usages: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let without = BTreeSet::from([SIGNATURE, purpose]);
    let mut with = without.clone();
    with.insert(ENCIPHERMENT);
    if usages == with || usages == without {
        return Ok(());
    }
    let wanted: Vec<&str> = with.into_iter().collect();
    Err(format!("usages did not match [{}]", wanted.join(" ")))
}

#[cfg(test)]
#[allow(clippy::type_complexity, reason = "a table has many columns")]
mod tests {
    use super::*;

    fn node() -> Asked {
        Asked {
            common_name: "system:node:n1".into(),
            organizations: vec!["system:nodes".into()],
            ..Asked::default()
        }
    }

    fn serving() -> Asked {
        Asked { dns_names: 1, addresses: 2, ..node() }
    }

    #[test]
    fn each_signer_gives_what_upstreams_gives() {
        let jane = Asked { common_name: "jane".into(), ..Asked::default() };
        let of_masters = Asked { organizations: vec!["system:nodes".into(), "x".into()], ..node() };
        let client: &[&str] = &[SIGNATURE, CLIENT];
        let client_rsa: &[&str] = &[CLIENT, ENCIPHERMENT, SIGNATURE];
        let server: &[&str] = &[SIGNATURE, SERVER];
        let wanted_client = "usages did not match [client auth digital signature key encipherment]";
        let wanted_server = "usages did not match [digital signature key encipherment server auth]";
        let rows: [(&str, &str, Asked, &[&str], Option<&str>); 20] = [
            ("a client", API_CLIENT, jane.clone(), client, None),
            ("a client without a signature", API_CLIENT, jane.clone(), &[CLIENT], None),
            (
                "a client that serves",
                API_CLIENT,
                jane.clone(),
                &[CLIENT, SERVER],
                Some("invalid usage for client certificate: server auth"),
            ),
            (
                "no client",
                API_CLIENT,
                jane.clone(),
                &[SIGNATURE],
                Some("missing required usage for client certificate: client auth"),
            ),
            ("a node", KUBELET_CLIENT, node(), client, None),
            ("a node with an RSA key", KUBELET_CLIENT, node(), client_rsa, None),
            (
                "no node",
                KUBELET_CLIENT,
                jane.clone(),
                client,
                Some("subject organization is not system:nodes"),
            ),
            (
                "a node of more",
                KUBELET_CLIENT,
                of_masters,
                client,
                Some("subject organization is not system:nodes"),
            ),
            (
                "a node by another name",
                KUBELET_CLIENT,
                Asked { common_name: "n1".into(), ..node() },
                client,
                Some("subject common name does not begin with system:node:"),
            ),
            ("with DNS", KUBELET_CLIENT, serving(), client, Some("DNS subjectAltNames are not allowed")),
            (
                "with an address",
                KUBELET_CLIENT,
                Asked { addresses: 1, ..node() },
                client,
                Some("IP subjectAltNames are not allowed"),
            ),
            (
                "with mail",
                KUBELET_CLIENT,
                Asked { emails: 1, ..node() },
                client,
                Some("Email subjectAltNames are not allowed"),
            ),
            (
                "with a URI",
                KUBELET_CLIENT,
                Asked { uris: 1, ..node() },
                client,
                Some("URI subjectAltNames are not allowed"),
            ),
            ("a node that serves", KUBELET_CLIENT, node(), server, Some(wanted_client)),
            ("a server", KUBELET_SERVING, serving(), server, None),
            (
                "a server without names",
                KUBELET_SERVING,
                node(),
                server,
                Some("DNS or IP subjectAltName is required"),
            ),
            (
                "a server with mail",
                KUBELET_SERVING,
                Asked { emails: 1, ..serving() },
                server,
                Some("Email subjectAltNames are not allowed"),
            ),
            ("a server that is a client", KUBELET_SERVING, serving(), client, Some(wanted_server)),
            (
                "a server by another name",
                KUBELET_SERVING,
                Asked { common_name: "n1".into(), ..serving() },
                server,
                Some("subject common name does not begin with system:node:"),
            ),
            ("whatever was before signers", LEGACY, jane, &["any"], None),
        ];
        for (name, signer, asked, usages, refusal) in rows {
            let usages: Vec<String> = usages.iter().map(|usage| (*usage).to_owned()).collect();
            let said = check(signer, &asked, &usages).expect("one of the cluster's");
            assert_eq!(said.err().as_deref(), refusal, "{name}");
        }
        assert_eq!(check("example.com/one", &node(), &[]), None);
    }
}
