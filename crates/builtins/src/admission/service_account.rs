//! ServiceAccount: every pod runs as a service account, and has its token, the cluster's CA and its
//! namespace mounted unless it says otherwise.

mod secrets;

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Status, Value};

use super::pods::is_mirror;
use super::rule::{Rule, Write};
use super::{core, is};

#[derive(Debug)]
pub(super) struct ServiceAccount;

/// Where the token is mounted.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How the names of the volumes begin that carry it.
const VOLUME_PREFIX: &str = "kube-api-access-";
/// An hour and seven seconds: clients that cannot reload a token are told apart by it (KEP-1205).
const TOKEN_SECONDS: i64 = 3607;
/// rw-r--r--
const FILE_MODE: i64 = 0o644;
/// On an account: its pods may use only the secrets that it names.
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

impl ServiceAccount {
    fn account(w: Write<'_>, pod: &Value) -> Result<Value, Status> {
        let (namespace, name) = (w.cx.namespace, pod.str_at(&["spec", "serviceAccountName"]));
        let found = w.cx.lookup.get(&core("serviceaccounts"), namespace, name);
        let why = || {
            format!(
                "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
            )
        };
        found.ok_or_else(|| w.forbidden(pod, why()))
    }
}

impl Rule for ServiceAccount {
    const NAME: &'static str = "ServiceAccount";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        match verb {
            Verb::Create => is(cx, "", "pods"),
            Verb::Update => {
                cx.subresource == "ephemeralcontainers"
                    && cx.resource.gvr.group.is_empty()
                    && cx.resource.gvr.resource == "pods"
            }
            _ => false,
        }
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        if w.verb != Verb::Create {
            return Ok(());
        }
        // The node knows a mirror pod as it is in its file, and would not know a changed one again.
        if is_mirror(object) {
            return self.validate(w, object);
        }
        if let Value::Object(pod) = &mut *object {
            let spec = pod.object_mut("spec");
            let name = match spec.str("serviceAccountName") {
                "" => "default".to_owned(),
                name => name.to_owned(),
            };
            spec.insert("serviceAccountName", name.as_str());
            spec.insert("serviceAccount", name.as_str());
        }
        let account = Self::account(w, object)?;
        if let Value::Object(pod) = &mut *object {
            let spec = pod.object_mut("spec");
            let automount = |v: Option<&Value>| v.and_then(Value::as_bool);
            let wanted = automount(spec.get("automountServiceAccountToken"))
                .or_else(|| automount(account.get("automountServiceAccountToken")))
                .unwrap_or(true);
            if wanted {
                mount_token(spec);
            }
            let secrets = account.array_at(&["imagePullSecrets"]);
            if spec.get("imagePullSecrets").is_none_or(Value::is_empty) && !secrets.is_empty() {
                spec.insert("imagePullSecrets", Value::Array(secrets.to_vec()));
            }
        }
        secrets::check(w, object, &account)
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        if w.verb == Verb::Create && is_mirror(object) {
            return match secrets::forbidden_to_mirrors(object) {
                Some(what) => Err(w.forbidden(object, format_args!("a mirror pod may not {what}"))),
                None => Ok(()),
            };
        }
        if object.str_at(&["spec", "serviceAccountName"]).is_empty() {
            let (namespace, name) = (w.cx.namespace, object.name());
            let why = format!("no service account specified for pod {namespace}/{name}");
            return Err(w.forbidden(object, why));
        }
        secrets::check(w, object, &Self::account(w, object)?)
    }
}

fn mount_token(spec: &mut Map) {
    let volumes = spec.get("volumes").and_then(Value::as_array).unwrap_or(&[]);
    let existing = volumes.iter().map(|v| v.str_at(&["name"])).find(|name| name.starts_with(VOLUME_PREFIX));
    let there = existing.is_some();
    let name = existing.map_or_else(|| format!("{VOLUME_PREFIX}{}", random_suffix()), str::to_owned);
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(Value::Array(containers)) = spec.get_mut(list) else { continue };
        for container in containers {
            let Value::Object(container) = container else { continue };
            let mounts = container.get("volumeMounts").and_then(Value::as_array).unwrap_or(&[]);
            if mounts.iter().any(|m| m.str_at(&["mountPath"]) == MOUNT_PATH) {
                continue;
            }
            let mount: Map = [
                ("name", Value::from(name.as_str())),
                ("readOnly", true.into()),
                ("mountPath", MOUNT_PATH.into()),
            ]
            .into_iter()
            .collect();
            if let Value::Array(mounts) =
                container.get_or_insert_with("volumeMounts", || Value::Array(Vec::new()))
            {
                mounts.push(mount.into());
            }
            mounted = true;
        }
    }
    if mounted
        && !there
        && let Value::Array(volumes) = spec.get_or_insert_with("volumes", || Value::Array(Vec::new()))
    {
        volumes.push(token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    let volume = serde_json::json!({
        "name": name,
        "projected": {
            "defaultMode": FILE_MODE,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    });
    volume.into()
}

/// Five letters of the alphabet of generated names.
fn random_suffix() -> String {
    sampan_apiserver::registry::random_name_letters(5)
}
