//! certificatesigningrequest-cleaner-controller: removes requests that are over: an hour after their decision, after a day without one, and when their certificate has ended.
//!
//! Upstream looks once an hour; here each has its own hour.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use super::{certificate, condition};
use crate::informer::{Informer, Informers};
use crate::manager::Context;
use crate::work_queue::WorkQueue;

const WORKERS: usize = 1;
const AFTER_DECISION: Duration = Duration::from_hours(1);
const WITHOUT_DECISION: Duration = Duration::from_hours(24);

/// When a request may go; `None`: not as it is now.
fn due(csr: &CertificateSigningRequest) -> Option<Timestamp> {
    let conditions = csr.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    if conditions.is_empty() {
        return csr.metadata.creation_timestamp.as_ref()?.0.checked_add(WITHOUT_DECISION).ok();
    }
    let after =
        |kind: &str| condition(csr, kind)?.last_update_time.as_ref()?.0.checked_add(AFTER_DECISION).ok();
    // One that was approved and has no certificate yet waits for its signer.
    let issued = certificate(csr).filter(|_| condition(csr, "Approved").is_some());
    let times =
        [issued.and_then(|_| after("Approved")), issued.and_then(end), after("Denied"), after("Failed")];
    times.into_iter().flatten().min()
}

/// When a certificate (PEM) ends.
fn end(pem: &[u8]) -> Option<Timestamp> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let certificate = block.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let requests = informers.of::<CertificateSigningRequest>();
    run(context, requests).boxed()
}

async fn run(context: Context, requests: Informer<CertificateSigningRequest>) {
    let queue = WorkQueue::<String>::new(context.name, context.metrics());
    requests.names_to(&queue);
    requests.synced().await;
    let later = queue.clone();
    let reconcile = async |name: String| {
        let Some(csr) = requests.get("", &name) else { return Ok(()) };
        let Some(due) = due(&csr) else { return Ok(()) };
        match Duration::try_from(due.duration_since(Timestamp::now())) {
            Ok(left) if !left.is_zero() => {
                later.add_after(name, left);
                Ok(())
            }
            _ => remove(&context.client, &csr).await,
        }
    };
    queue.run(WORKERS, reconcile).await;
}

async fn remove(client: &kube::Client, csr: &CertificateSigningRequest) -> Result<(), kube::Error> {
    let name = csr.metadata.name.as_deref().unwrap_or_default();
    let seen = Preconditions { uid: csr.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(seen), ..DeleteParams::default() };
    match Api::<CertificateSigningRequest>::all(client.clone()).delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{TestServer, eventually};
    use serde_json::{Value, json};

    use super::super::testing::{REQUESTS, certificate_until, node_request, object};
    use super::*;
    use crate::testing;

    const SIGNER: &str = "example.com/signer";
    const MADE: &str = "2026-01-01T00:00:00Z";

    fn decided(kind: &str, at: &str) -> Value {
        json!({"type": kind, "status": "True", "reason": "r", "lastUpdateTime": at})
    }

    #[test]
    fn each_request_has_its_time() {
        let at = "2026-01-02T00:00:00Z";
        let pem =
            |end: &str| k8s_openapi::ByteString(certificate_until(end.parse().expect("a time")).into_bytes());
        let (long, short) = (pem("2027-01-01T00:00:00Z"), pem("2026-01-02T00:20:00Z"));
        let rows = [
            ("nobody has decided", json!({}), Some("2026-01-02T00:00:00Z")),
            ("denied", json!({"conditions": [decided("Denied", at)]}), Some("2026-01-02T01:00:00Z")),
            ("approved, not signed", json!({"conditions": [decided("Approved", at)]}), None),
            (
                "approved and failed",
                json!({"conditions": [decided("Approved", at), decided("Failed", "2026-01-02T00:10:00Z")]}),
                Some("2026-01-02T01:10:00Z"),
            ),
            (
                "signed",
                json!({"conditions": [decided("Approved", at)], "certificate": long}),
                Some("2026-01-02T01:00:00Z"),
            ),
            (
                "signed for minutes",
                json!({"conditions": [decided("Approved", at)], "certificate": short}),
                Some("2026-01-02T00:20:00Z"),
            ),
        ];
        for (name, status, expected) in rows {
            let mut csr = object("r", SIGNER, "x", &["any"]);
            csr["metadata"]["creationTimestamp"] = MADE.into();
            csr["status"] = status;
            let csr = serde_json::from_value(csr).expect("a request");
            assert_eq!(due(&csr), expected.map(|time| time.parse().expect("a time")), "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_over_goes_and_the_rest_stays() {
        let server = TestServer::start().await;
        let request = node_request("n1");
        for name in ["old", "new"] {
            server.create(REQUESTS, &object(name, SIGNER, &request, &["client auth"])).await.ok();
        }
        let denied = json!({"status": {"conditions": [decided("Denied", MADE)]}});
        server.patch(&format!("{REQUESTS}/old/approval"), "merge-patch", &denied).await.ok();
        let _running = testing::run(&server, "csrcleaner", |_| {});
        eventually("the old one goes", || async {
            (server.get(&format!("{REQUESTS}/old")).await.code == 404).then_some(())
        })
        .await;
        assert_eq!(server.get(&format!("{REQUESTS}/new")).await.code, 200);
    }
}
