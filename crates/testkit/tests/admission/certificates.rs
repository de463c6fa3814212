//! CertificateApproval, CertificateSigning, ClusterTrustBundleAttest, CertificateSubjectRestriction, and what of requests
//! NodeRestriction checks.

use sampan_testkit::{Admitting, TestServer, user};
use serde_json::{Value, json};

use crate::{Says, expect};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// `O=system:nodes, CN=system:node:n1`
const OF_NODE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHdk1HTUNBUUF3TURFVk1CTUdBMVVFQ2d3TWMzbHpkR1Z0T201dlpHVnpNUmN3RlFZRFZRUUREQTV6ZVhOMApaVzA2Ym05a1pUcHVNVEFxTUFVR0F5dGxjQU1oQUR4RHM4SzhNSzd1SnRaNXV3UXFnUGF2OUtkQ0VrbzFQdUMwCk5IRzhqMFVUb0FBd0JRWURLMlZ3QTBFQXgyM1BCMzVUL1RtSTNBZVpKZTdLLzBsRm9hUi9mQVFpZEFEOFgyNFIKSkI2dVhUSjJtY3ZEQXI5Ly9LWE1ya1BGS0wzMENiL3p1OGNIaVlUak5odktCQT09Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";
/// `O=system:masters, CN=x`
const OF_MASTERS: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHa01GZ0NBUUF3SlRFWE1CVUdBMVVFQ2d3T2MzbHpkR1Z0T20xaGMzUmxjbk14Q2pBSUJnTlZCQU1NQVhndwpLakFGQmdNclpYQURJUUFsS3k3Vlg1OWZRcTczaUtTVmxoUXYxeWVJY2JOdjlRV2V6Y2lNamhYWDc2QUFNQVVHCkF5dGxjQU5CQUN1WDJPNVc5QmhSTjFRbEJVbEhxM1NmSjMzb2pJU3gvUUhleUR4R2doaWtKU0Zha1BIamlNTFEKODE4NnFCdjJXWUMwSnNJb3VQaGxIeEFwU2hPUTh3Yz0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";
/// `O=team, CN=x`
const OF_TEAM: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHYU1FNENBUUF3R3pFTk1Bc0dBMVVFQ2d3RWRHVmhiVEVLTUFnR0ExVUVBd3dCZURBcU1BVUdBeXRsY0FNaApBTW5lOXdXWHRUR0JzaHB2NmgzRXpjbW1nOUVMa3hRMUlYUEpDSUxFdEVHdm9BQXdCUVlESzJWd0EwRUFFOUl2ClZnOWNvK3lFTUU4NVIrNjdzTVNuZU5RKzJlb2tIYkNldStKNzRNQnIzZFNUUnFSOU5OY1VkQkJ5MlB2TzNIUTAKeER4ZG96Z0JDN3VteGtoTkRRPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";

fn request(name: &str, signer: &str, pem: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"signerName": signer, "request": pem, "usages": ["client auth"]}})
}

/// A server on which `jane` may speak for `example.com/one` and for all signers of `all.example.com`.
async fn server() -> (TestServer, TestServer) {
    let authorizer = Says(|a| {
        let may = ["example.com/one", "all.example.com/*"].contains(&a.info.name.as_str());
        a.info.resource != "signers"
            || (may && a.info.group == "certificates.k8s.io" && a.info.version == "*")
    });
    let server = Admitting::default().authorized_by(authorizer).start().await;
    for (name, signer) in
        [("one", "example.com/one"), ("two", "example.com/two"), ("all", "all.example.com/any")]
    {
        server.create(REQUESTS, &request(name, signer, OF_TEAM)).await.ok();
    }
    let jane = server.asked_by(user("jane", &["system:authenticated"]));
    (server, jane)
}

fn approved() -> Value {
    json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}})
}

#[tokio::test]
async fn who_approves_must_be_allowed_to_by_signer_or_by_its_domain() {
    let (_, jane) = server().await;
    let message = "certificatesigningrequests.certificates.k8s.io \"two\" is forbidden: user not permitted to approve requests with signerName \"example.com/two\"";
    for (name, refusal) in [("one", None), ("all", None), ("two", Some(message))] {
        let reply = jane.patch(&format!("{REQUESTS}/{name}/approval"), "merge-patch", &approved()).await;
        expect(name, &reply, refusal);
    }
}

#[tokio::test]
async fn who_signs_must_be_allowed_to_and_who_changes_nothing_need_not() {
    let (_, jane) = server().await;
    let failed = json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "r", "message": "m"}]}});
    let message = "certificatesigningrequests.certificates.k8s.io \"two\" is forbidden: user not permitted to sign requests with signerName \"example.com/two\"";
    let rows = [
        ("one", &failed, None),
        ("two", &failed, Some(message)),
        ("two", &json!({"metadata": {"labels": {"a": "b"}}}), None),
    ];
    for (name, change, refusal) in rows {
        let reply = jane.patch(&format!("{REQUESTS}/{name}/status"), "merge-patch", change).await;
        expect(name, &reply, refusal);
    }
}

#[tokio::test]
async fn nobody_gets_a_client_certificate_of_the_masters() {
    let (server, _) = server().await;
    let message = "certificatesigningrequests.certificates.k8s.io \"m\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    let rows = [
        (request("m", CLIENT, OF_MASTERS), Some(message)),
        (request("t", CLIENT, OF_TEAM), None),
        (request("o", "example.com/other", OF_MASTERS), None),
    ];
    for (request, refusal) in rows {
        expect(&request["metadata"]["name"].to_string(), &server.create(REQUESTS, &request).await, refusal);
    }
}

#[tokio::test]
async fn a_node_asks_for_certificates_in_its_own_name() {
    let (server, _) = server().await;
    let node = |name: &str| server.asked_by(user(&format!("system:node:{name}"), &["system:nodes"]));
    let message = "certificatesigningrequests.certificates.k8s.io \"a\" is forbidden: can only create a node CSR with CN=system:node:n2";
    expect("another", &node("n2").create(REQUESTS, &request("a", KUBELET, OF_NODE)).await, Some(message));
    let other = request("b", "example.com/other", OF_NODE);
    expect("another signer", &node("n2").create(REQUESTS, &other).await, None);
    let reply = node("n1").create(REQUESTS, &request("a", KUBELET, OF_NODE)).await;
    assert_ne!(reply.code, 403, "{}", reply.text());
}
