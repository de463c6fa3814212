//! serviceaccount-controller: every active namespace has a service account `default`, made again when somebody deletes it.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use crate::informer::{Informer, Informers};
use crate::manager::Context;
use crate::root_ca_publisher::is_active;
use crate::work_queue::WorkQueue;

const NAME: &str = "default";
const WORKERS: usize = 1;

/// What is there of one namespace.
struct Seen {
    active: bool,
    has_account: bool,
}

/// Whether the account is to be made.
fn lacks_account(seen: &Seen) -> bool {
    seen.active && !seen.has_account
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let namespaces = informers.of::<Namespace>();
    let accounts = informers.with_fields::<ServiceAccount>("metadata.name=default");
    run(context, namespaces, accounts).boxed()
}

async fn run(context: Context, namespaces: Informer<Namespace>, accounts: Informer<ServiceAccount>) {
    let queue = WorkQueue::<String>::new(context.name, context.metrics());
    namespaces.names_to(&queue);
    let sink = queue.clone();
    accounts.on_change(move |before, now| {
        if let (Some(gone), None) = (before, now) {
            sink.add(gone.metadata.namespace.clone().unwrap_or_default());
        }
    });
    namespaces.synced().await;
    accounts.synced().await;
    let reconcile = async |namespace: String| {
        let seen = Seen {
            active: namespaces.get("", &namespace).is_some_and(|namespace| is_active(&namespace)),
            has_account: accounts.get(&namespace, NAME).is_some(),
        };
        if lacks_account(&seen) { create(&context.client, &namespace).await } else { Ok(()) }
    };
    queue.run(WORKERS, reconcile).await;
}

async fn create(client: &kube::Client, namespace: &str) -> Result<(), kube::Error> {
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    match api.create(&PostParams::default(), &account).await {
        Ok(_) => Ok(()),
        Err(error) if is_moot(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether what was to be created is there by now, or its namespace goes or is gone.
pub(crate) fn is_moot(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.as_ref().map(|d| d.causes.as_slice()).unwrap_or_default();
    let terminating = causes.iter().any(|cause| cause.reason == "NamespaceTerminating");
    status.code == 409 || status.code == 404 || (status.code == 403 && terminating)
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{TestServer, eventually, fixtures};

    use super::*;
    use crate::testing;

    #[test]
    fn an_active_namespace_without_an_account_lacks_one() {
        for (active, has_account, lacks) in
            [(true, false, true), (true, true, false), (false, false, false), (false, true, false)]
        {
            assert_eq!(lacks_account(&Seen { active, has_account }), lacks, "{active} {has_account}");
        }
    }

    #[tokio::test]
    async fn every_namespace_has_a_default_account_also_when_it_is_deleted() {
        let server = TestServer::start().await;
        let running = testing::run(&server, "serviceaccount-controller", |_| {});
        server.create("/api/v1/namespaces", &fixtures::namespace("team")).await;
        let path = "/api/v1/namespaces/team/serviceaccounts/default";
        let uid = || async {
            let reply = server.get(path).await;
            let object: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
            object["metadata"]["uid"].as_str().map(str::to_owned)
        };
        let first = eventually("the account is there", uid).await;
        server.delete(path).await;
        let again = eventually("the account is there again", uid).await;
        assert_ne!(first, again);
        // Two for the namespace (it came, its status changed), one for the deletion; the first namespaces one each; some to spare.
        assert!(running.metrics.reconciles("serviceaccount-controller") < 15);
    }
}
