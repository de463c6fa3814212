//! root-ca-certificate-publisher-controller: every active namespace has the ConfigMap `kube-root-ca.crt`, by which its pods know the API server; repaired when somebody changes it.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use crate::informer::{Informer, Informers};
use crate::manager::Context;
use crate::service_account::is_moot;
use crate::work_queue::WorkQueue;

const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const DESCRIPTION_KEY: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
const WORKERS: usize = 1;

/// What is to be written.
#[derive(Debug, PartialEq)]
enum Write {
    Create(ConfigMap),
    /// With the resource version of what was seen.
    Update(ConfigMap),
}

/// Whether objects may be made in a namespace.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_none()
        && namespace.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Terminating")
}

/// What is to be written of the ConfigMap of a namespace. Any description will do, but there must be one.
fn plan(namespace: &str, active: bool, there: Option<&ConfigMap>, root_ca: &str) -> Option<Write> {
    if !active {
        return None;
    }
    let data = Some(BTreeMap::from([(KEY.to_owned(), root_ca.to_owned())]));
    let Some(there) = there else {
        let annotations = BTreeMap::from([(DESCRIPTION_KEY.to_owned(), DESCRIPTION.to_owned())]);
        let metadata = ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        return Some(Write::Create(ConfigMap { metadata, data, ..ConfigMap::default() }));
    };
    let description = there.metadata.annotations.as_ref().and_then(|a| a.get(DESCRIPTION_KEY));
    if there.data == data && description.is_some_and(|text| !text.is_empty()) {
        return None;
    }
    let mut wanted = ConfigMap { data, ..there.clone() };
    wanted.metadata.annotations.get_or_insert_default().insert(DESCRIPTION_KEY.into(), DESCRIPTION.into());
    Some(Write::Update(wanted))
}

pub(crate) fn start(context: Context, informers: &mut Informers) -> BoxFuture<'static, ()> {
    let Some(root_ca) = context.settings.root_ca.clone() else {
        tracing::warn!(controller = context.name, "there is no root certificate to publish");
        return std::future::pending().boxed();
    };
    let namespaces = informers.of::<Namespace>();
    let maps = informers.with_fields::<ConfigMap>("metadata.name=kube-root-ca.crt");
    run(context, root_ca, namespaces, maps).boxed()
}

async fn run(context: Context, root_ca: String, namespaces: Informer<Namespace>, maps: Informer<ConfigMap>) {
    let queue = WorkQueue::<String>::new(context.name, context.metrics());
    namespaces.names_to(&queue);
    let sink = queue.clone();
    maps.on_change(move |before, now| {
        if let Some(before) = before
            && now.is_none_or(|now| {
                now.data != before.data || now.metadata.annotations != before.metadata.annotations
            })
        {
            sink.add(before.metadata.namespace.clone().unwrap_or_default());
        }
    });
    namespaces.synced().await;
    maps.synced().await;
    let reconcile = async |namespace: String| {
        let active = namespaces.get("", &namespace).is_some_and(|namespace| is_active(&namespace));
        let there = maps.get(&namespace, NAME);
        match plan(&namespace, active, there.as_deref(), &root_ca) {
            Some(write) => carry_out(&context.client, &namespace, write).await,
            None => Ok(()),
        }
    };
    queue.run(WORKERS, reconcile).await;
}

async fn carry_out(client: &kube::Client, namespace: &str, write: Write) -> Result<(), kube::Error> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    let written = match &write {
        Write::Create(map) => api.create(&params, map).await,
        Write::Update(map) => api.replace(NAME, &params, map).await,
    };
    match written {
        Ok(_) => Ok(()),
        // What is there now will be told, and looked at again.
        Err(error) if is_moot(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use sampan_testkit::{TestServer, eventually, fixtures};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    #[test]
    fn the_config_map_is_made_and_repaired() {
        let made = |data: Value, annotations: Value| -> ConfigMap {
            let meta =
                json!({"name": NAME, "namespace": "n", "resourceVersion": "5", "annotations": annotations});
            serde_json::from_value(json!({"metadata": meta, "data": data})).expect("a config map")
        };
        let right = json!({KEY: "PEM"});
        let described = json!({DESCRIPTION_KEY: "mine", "other": "x"});
        let rows = [
            ("the namespace goes", false, None, "nothing"),
            ("missing", true, None, "create"),
            ("right", true, Some(made(right.clone(), described.clone())), "nothing"),
            ("other certificates", true, Some(made(json!({KEY: "OLD"}), described.clone())), "update"),
            (
                "something else beside them",
                true,
                Some(made(json!({KEY: "PEM", "x": "y"}), described.clone())),
                "update",
            ),
            ("no description", true, Some(made(right.clone(), json!({}))), "update"),
            ("wrong, but the namespace goes", false, Some(made(json!({}), json!({}))), "nothing"),
        ];
        for (name, active, there, expected) in rows {
            let write = plan("n", active, there.as_ref(), "PEM");
            let what = match &write {
                None => "nothing",
                Some(Write::Create(_)) => "create",
                Some(Write::Update(map)) => {
                    assert_eq!(map.metadata.resource_version.as_deref(), Some("5"), "{name}");
                    "update"
                }
            };
            assert_eq!(what, expected, "{name}");
            if let Some(Write::Create(map) | Write::Update(map)) = write {
                assert_eq!(
                    plan("n", true, Some(&map), "PEM"),
                    None,
                    "{name}: then there is nothing left to do"
                );
            }
        }
    }

    #[tokio::test]
    async fn every_namespace_is_told_the_root_certificate_whatever_is_done_to_it() {
        let server = TestServer::start().await;
        let _running = testing::run(&server, "root-ca-certificate-publisher-controller", |settings| {
            settings.root_ca = Some("PEM".into());
        });
        server.create("/api/v1/namespaces", &fixtures::namespace("team")).await;
        let path = format!("/api/v1/namespaces/team/configmaps/{NAME}");
        let is_right = || async {
            let map: ConfigMap = serde_json::from_slice(&server.get(&path).await.body).ok()?;
            plan("team", true, Some(&map), "PEM").is_none().then_some(())
        };
        eventually("it is there", is_right).await;
        server.patch(&path, "merge-patch", &json!({"data": {KEY: "EVIL"}})).await;
        eventually("it is repaired", is_right).await;
        server.patch(&path, "merge-patch", &json!({"metadata": {"annotations": null}})).await;
        eventually("its description is repaired", is_right).await;
        server.delete(&path).await;
        eventually("it is there again", is_right).await;
    }
}
