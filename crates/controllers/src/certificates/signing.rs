//! certificatesigningrequest-signing-controller: makes the certificates of approved requests to the four signers of `kubernetes.io`, and says of those that
//! a signer does not give why (`Failed`, `SignerValidationFailure`).

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::PostParams;

use super::{Authority, Order, certificate, checks, condition, request, with_condition};
use crate::informer::{Informer, Informers};
use crate::manager::Context;
use crate::work_queue::WorkQueue;

const WORKERS: usize = 5;
/// By how much the clock of others may be behind.
const BACKDATE: Duration = Duration::from_mins(5);
/// The shortest life that can be asked for.
const SHORTEST: Duration = Duration::from_mins(10);
/// A life that is shorter than this is not made shorter still by the backdating.
const SHORT: Duration = Duration::from_hours(8);

/// What is to be done of a request.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    /// It says so, and why.
    Fail(String),
    Sign {
        request: Vec<u8>,
        usages: Vec<String>,
        expiration_seconds: Option<i32>,
    },
}

fn plan(csr: &CertificateSigningRequest) -> Result<Plan, String> {
    let decided = condition(csr, "Denied").or_else(|| condition(csr, "Failed")).is_some();
    if decided || certificate(csr).is_some() || condition(csr, "Approved").is_none() {
        return Ok(Plan::Nothing);
    }
    let spec = &csr.spec;
    let usages = spec.usages.clone().unwrap_or_default();
    // Whose signer is another's is not even read.
    if checks::check(&spec.signer_name, &request::Asked::default(), &usages).is_none() {
        return Ok(Plan::Nothing);
    }
    let asked = request::read(&spec.request.0)?;
    Ok(match checks::check(&spec.signer_name, &asked, &usages) {
        None => Plan::Nothing,
        Some(Err(why)) => Plan::Fail(why),
        Some(Ok(())) => {
            Plan::Sign { request: asked.der, usages, expiration_seconds: spec.expiration_seconds }
        }
    })
}

/// How long a certificate is to live.
fn lifetime(expiration_seconds: Option<i32>, limit: Duration) -> Duration {
    let Some(seconds) = expiration_seconds else { return limit };
    let wanted = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    if wanted > limit { limit } else { wanted.max(SHORTEST) }
}

/// From when until when it is good; `None` if the authority itself is not any more.
fn validity(lifetime: Duration, end: Timestamp, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let not_before = now.checked_sub(BACKDATE).ok()?;
    let from = if lifetime < SHORT { now } else { not_before };
    let not_after = from.checked_add(lifetime).unwrap_or(Timestamp::MAX).min(end);
    (now < end).then_some((not_before, not_after))
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let Some(authority) = context.settings.authority.clone() else {
        tracing::warn!(controller = context.name, "there is no authority to sign with");
        return std::future::pending().boxed();
    };
    let requests = informers.of::<CertificateSigningRequest>();
    async move { run(context, &*authority, requests).await }.boxed()
}

async fn run(context: Context, authority: &dyn Authority, requests: Informer<CertificateSigningRequest>) {
    let queue = WorkQueue::<String>::new(context.name, context.metrics());
    requests.names_to(&queue);
    requests.synced().await;
    let reconcile = async |name: String| {
        let Some(csr) = requests.get("", &name) else { return Ok(()) };
        let limit = context.settings.signing_duration;
        match signed(&csr, authority, limit, Timestamp::now()) {
            Ok(Some(changed)) => write(&context.client, "status", &changed).await,
            Ok(None) => Ok(()),
            Err(error) => {
                // A request does not change, so that another look would find the same.
                tracing::warn!(request = name, error, "a certificate cannot be signed");
                Ok(())
            }
        }
    };
    queue.run(WORKERS, reconcile).await;
}

/// The request with what has become of it, if anything has.
fn signed(
    csr: &CertificateSigningRequest,
    authority: &dyn Authority,
    limit: Duration,
    now: Timestamp,
) -> Result<Option<CertificateSigningRequest>, String> {
    match plan(csr)? {
        Plan::Nothing => Ok(None),
        Plan::Fail(why) => Ok(Some(with_condition(csr, "Failed", "SignerValidationFailure", &why))),
        Plan::Sign { request, usages, expiration_seconds } => {
            let validity = validity(lifetime(expiration_seconds, limit), authority.end(), now);
            let (not_before, not_after) = validity.ok_or("the authority's certificate has expired")?;
            let order = Order { request: &request, usages: &usages, not_before, not_after };
            let pem = authority.sign(&order).map_err(|error| error.to_string())?;
            let mut csr = csr.clone();
            csr.status.get_or_insert_default().certificate = Some(ByteString(pem.into_bytes()));
            Ok(Some(csr))
        }
    }
}

/// Writes a part of a request. One that is gone by now needs none.
pub(super) async fn write(
    client: &kube::Client,
    part: &str,
    csr: &CertificateSigningRequest,
) -> Result<(), kube::Error> {
    let api = Api::<CertificateSigningRequest>::all(client.clone());
    let name = csr.metadata.name.as_deref().unwrap_or_default();
    match api.replace_subresource(part, name, &PostParams::default(), csr).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::type_complexity, reason = "a table has many columns")]
mod tests {
    use std::sync::Arc;

    use sampan_testkit::{TestServer, eventually};
    use serde_json::json;

    use super::super::testing::{REQUESTS, Signs, node_request, object};
    use super::*;
    use crate::testing;

    const DAY: u64 = 86_400;

    #[test]
    fn a_certificate_lives_as_long_as_is_asked_but_not_longer_than_it_may() {
        let year = Duration::from_secs(365 * DAY);
        // Seconds from now.
        let rows: [(&str, Option<i32>, i64, Option<(i64, i64)>); 6] = [
            ("a year", None, 10_000 * 86_400, Some((-300, 365 * 86_400 - 300))),
            ("a day", Some(86_400), 10_000 * 86_400, Some((-300, 86_400 - 300))),
            ("an hour, which is not made shorter", Some(3_600), 10_000 * 86_400, Some((-300, 3_600))),
            ("a second", Some(1), 10_000 * 86_400, Some((-300, 600))),
            ("more than may be", Some(i32::MAX), 10_000 * 86_400, Some((-300, 365 * 86_400 - 300))),
            ("longer than the authority", None, 60, Some((-300, 60))),
        ];
        let now = Timestamp::from_second(2_000_000_000).expect("a time");
        let at = |seconds: i64| Timestamp::from_second(2_000_000_000 + seconds).expect("a time");
        for (name, asked, end, expected) in rows {
            let found = validity(lifetime(asked, year), at(end), now);
            assert_eq!(found, expected.map(|(from, to)| (at(from), at(to))), "{name}");
        }
        assert_eq!(validity(year, at(0), now), None, "the authority has ended");
    }

    #[test]
    fn only_approved_requests_to_the_clusters_signers_are_signed() {
        let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        let usages = ["digital signature", "client auth"];
        let rows = [
            ("approved", checks::KUBELET_CLIENT, approved.clone(), "sign"),
            ("of another signer", "example.com/x", approved.clone(), "nothing"),
            ("not approved", checks::KUBELET_CLIENT, json!({}), "nothing"),
            ("not given", checks::KUBELET_SERVING, approved.clone(), "fail"),
            (
                "failed",
                checks::KUBELET_SERVING,
                json!({"conditions": [{"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}]}),
                "nothing",
            ),
            (
                "signed",
                checks::KUBELET_CLIENT,
                json!({"certificate": "QQ==", "conditions": [{"type": "Approved", "status": "True"}]}),
                "nothing",
            ),
        ];
        for (name, signer, status, expected) in rows {
            let mut csr = object("r", signer, &node_request("n1"), &usages);
            csr["status"] = status;
            let plan = plan(&serde_json::from_value(csr).expect("a request")).expect("it can be read");
            let what = match plan {
                Plan::Nothing => "nothing",
                Plan::Fail(_) => "fail",
                Plan::Sign { .. } => "sign",
            };
            assert_eq!(what, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn an_approved_request_is_signed_and_one_that_the_signer_does_not_give_says_why() {
        let server = TestServer::start().await;
        let running = testing::run(&server, "csrsigning", |settings| {
            settings.authority = Some(Arc::new(Signs));
        });
        let request = node_request("n1");
        let usages = ["digital signature", "client auth"];
        let conditions =
            json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r"}]}});
        for (name, signer) in
            [("good", checks::KUBELET_CLIENT), ("bad", checks::KUBELET_SERVING), ("late", checks::API_CLIENT)]
        {
            server.create(REQUESTS, &object(name, signer, &request, &usages)).await.ok();
            if name != "late" {
                server.patch(&format!("{REQUESTS}/{name}/approval"), "merge-patch", &conditions).await.ok();
            }
        }
        let read = async |name: &str| -> CertificateSigningRequest {
            serde_json::from_slice(&server.get(&format!("{REQUESTS}/{name}")).await.body).expect("a request")
        };
        let pem =
            eventually("it is signed", || async { certificate(&read("good").await).map(<[u8]>::to_vec) });
        let pem = String::from_utf8(pem.await).expect("text");
        assert!(pem.contains("-----BEGIN CERTIFICATE-----"), "{pem}");
        let failed =
            eventually("it has failed", || async { condition(&read("bad").await, "Failed").cloned() });
        let failed = failed.await;
        assert_eq!(failed.reason.as_deref(), Some("SignerValidationFailure"));
        assert_eq!(failed.message.as_deref(), Some("DNS or IP subjectAltName is required"));
        assert!(certificate(&read("late").await).is_none(), "nobody has approved it");
        assert!(running.metrics.reconciles("certificatesigningrequest-signing-controller") <= 10);
    }
}
