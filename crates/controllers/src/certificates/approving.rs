//! certificatesigningrequest-approving-controller: approves client certificates of nodes for those who may have them: `create` of
//! `certificatesigningrequests/nodeclient` (any node's) or `/selfnodeclient` (their own). It asks the API server whether they may.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::PostParams;

use super::checks::{KUBELET_CLIENT, kubelet_client};
use super::{certificate, condition, request, with_condition};
use crate::informer::{Informer, Informers};
use crate::manager::Context;
use crate::work_queue::WorkQueue;

const WORKERS: usize = 5;
/// Who may not today may tomorrow: that is looked at again after a pause that grows with the request, between these.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1000);

/// A right, and what is said when it is the reason.
#[derive(Debug, PartialEq, Eq)]
struct Right {
    subresource: &'static str,
    message: &'static str,
}

const OWN: Right = Right {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
const ANY: Right = Right {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

/// By which rights the request may be approved, the first one first. Pure.
fn rights(csr: &CertificateSigningRequest) -> Result<Vec<Right>, String> {
    let spec = &csr.spec;
    let decided = condition(csr, "Approved").or_else(|| condition(csr, "Denied")).is_some();
    if decided || certificate(csr).is_some() || spec.signer_name != KUBELET_CLIENT {
        return Ok(Vec::new());
    }
    let asked = request::read(&spec.request.0)?;
    if kubelet_client(&asked, spec.usages.as_deref().unwrap_or_default()).is_err() {
        return Ok(Vec::new());
    }
    let own = spec.username.as_deref() == Some(asked.common_name.as_str());
    Ok(own.then_some(OWN).into_iter().chain([ANY]).collect())
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let requests = informers.of::<CertificateSigningRequest>();
    run(context, requests).boxed()
}

async fn run(context: Context, requests: Informer<CertificateSigningRequest>) {
    let queue = WorkQueue::<String>::new(context.name, context.metrics());
    requests.names_to(&queue);
    requests.synced().await;
    let again = queue.clone();
    let reconcile = async |name: String| {
        let Some(csr) = requests.get("", &name) else { return Ok(()) };
        let rights = match rights(&csr) {
            Ok(rights) => rights,
            Err(error) => {
                // It does not change any more.
                tracing::warn!(request = name, error, "a request for a certificate cannot be read");
                return Ok(());
            }
        };
        for right in &rights {
            if may(&context.client, &csr, right).await? {
                return approve(&context.client, &csr, right).await;
            }
        }
        if !rights.is_empty() {
            let tried: Vec<_> = rights.iter().map(|right| right.subresource).collect();
            tracing::debug!(
                request = name,
                ?tried,
                "recognized, but the subject access review was not approved"
            );
            again.add_after(name, pause(&csr, Timestamp::now()));
        }
        Ok(())
    };
    queue.run(WORKERS, reconcile).await;
}

/// As long as it has waited already.
fn pause(csr: &CertificateSigningRequest, now: Timestamp) -> Duration {
    let made = csr.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let age = Duration::try_from(now.duration_since(made)).unwrap_or_default();
    age.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Whether who asks has this right.
async fn may(
    client: &kube::Client,
    csr: &CertificateSigningRequest,
    right: &Right,
) -> Result<bool, kube::Error> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: csr.spec.username.clone(),
            uid: csr.spec.uid.clone(),
            groups: csr.spec.groups.clone(),
            extra: csr.spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some("certificates.k8s.io".into()),
                resource: Some("certificatesigningrequests".into()),
                subresource: Some(right.subresource.into()),
                verb: Some("create".into()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

async fn approve(
    client: &kube::Client,
    csr: &CertificateSigningRequest,
    right: &Right,
) -> Result<(), kube::Error> {
    let approved = with_condition(csr, "Approved", "AutoApproved", right.message);
    super::signing::write(client, "approval", &approved).await
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{TestServer, eventually, user};
    use serde_json::json;

    use super::super::testing::{REQUESTS, node_request, object};
    use super::*;
    use crate::testing;

    #[test]
    fn only_client_certificates_of_nodes_are_approved() {
        let rows = [
            ("a bootstrap token", "system:bootstrap:abcdef", KUBELET_CLIENT, json!({}), vec![ANY]),
            ("the node itself", "system:node:n1", KUBELET_CLIENT, json!({}), vec![OWN, ANY]),
            ("another signer", "system:node:n1", "kubernetes.io/kubelet-serving", json!({}), vec![]),
            (
                "denied",
                "system:node:n1",
                KUBELET_CLIENT,
                json!({"conditions": [{"type": "Denied", "status": "True"}]}),
                vec![],
            ),
            (
                "approved",
                "system:node:n1",
                KUBELET_CLIENT,
                json!({"conditions": [{"type": "Approved", "status": "True"}]}),
                vec![],
            ),
            ("signed", "system:node:n1", KUBELET_CLIENT, json!({"certificate": "QQ=="}), vec![]),
        ];
        for (name, who, signer, status, expected) in rows {
            let mut csr = object("r", signer, &node_request("n1"), &["digital signature", "client auth"]);
            csr["spec"]["username"] = who.into();
            csr["status"] = status;
            let csr = serde_json::from_value(csr).expect("a request");
            assert_eq!(rights(&csr), Ok(expected), "{name}");
        }
        let usages = object("r", KUBELET_CLIENT, &node_request("n1"), &["client auth"]);
        assert_eq!(rights(&serde_json::from_value(usages).expect("a request")), Ok(vec![]), "other usages");
        let broken = object("r", KUBELET_CLIENT, "x", &["client auth"]);
        assert!(rights(&serde_json::from_value(broken).expect("a request")).is_err());
    }

    #[test]
    fn a_request_is_looked_at_again_after_as_long_as_it_has_waited() {
        for (age, pause_ms) in [(-5, 200), (0, 200), (3, 3_000), (86_400, 1_000_000)] {
            let mut csr: CertificateSigningRequest =
                serde_json::from_value(object("r", KUBELET_CLIENT, "x", &["any"])).expect("a request");
            let now = Timestamp::from_second(1_000_000).expect("a time");
            let made = Timestamp::from_second(1_000_000 - age).expect("a time");
            csr.metadata.creation_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(made));
            assert_eq!(pause(&csr, now), Duration::from_millis(pause_ms), "{age}");
        }
    }

    #[tokio::test]
    async fn who_may_have_a_nodes_certificate_has_it_approved_as_soon_as_he_may() {
        let server = TestServer::start().await;
        let _running = testing::run(&server, "csrapproving", |_| {});
        let newcomer = server
            .asked_by(user("system:bootstrap:abcdef", &["system:bootstrappers", "system:authenticated"]));
        let bind = |name: &str, role: &str, group: &str| {
            json!({"metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]})
        };
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        let may_ask = bind("ask", "system:node-bootstrapper", "system:bootstrappers");
        server.create(bindings, &may_ask).await.ok();
        let asked = object("r", KUBELET_CLIENT, &node_request("n1"), &["digital signature", "client auth"]);
        newcomer.create(REQUESTS, &asked).await.ok();
        let role = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
        server.create(bindings, &bind("may", role, "system:bootstrappers")).await.ok();
        let path = format!("{REQUESTS}/r");
        let approved = || async {
            let csr: CertificateSigningRequest =
                serde_json::from_slice(&server.get(&path).await.body).ok()?;
            condition(&csr, "Approved").cloned()
        };
        let condition = eventually("it is approved", approved).await;
        assert_eq!(condition.reason.as_deref(), Some("AutoApproved"));
        assert_eq!(condition.message.as_deref(), Some(ANY.message));
        assert!(condition.last_update_time.is_some());
    }
}
