//! Which secrets a pod may use: any, unless its account enforces its own list; a mirror pod none.

use sampan_apiserver::Verb;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::super::pods::{containers, uses_secrets};
use super::super::rule::Write;
use super::ENFORCE_SECRETS;

/// Refuses a pod that uses a secret which its account enforces not to.
pub(super) fn check(w: Write<'_>, pod: &Value, account: &Value) -> Result<(), Status> {
    let enforced = account.annotations().map_or("", |a| a.str(ENFORCE_SECRETS));
    if !matches!(enforced, "1" | "t" | "T" | "true" | "TRUE" | "True") {
        return Ok(());
    }
    match complaint(pod, account, w.verb == Verb::Update) {
        Some(why) => Err(w.forbidden(pod, why)),
        None => Ok(()),
    }
}

/// What of a mirror pod would need an account.
pub(super) fn forbidden_to_mirrors(pod: &Value) -> Option<&'static str> {
    let mut sources =
        pod.array_at(&["spec", "volumes"]).iter().flat_map(|v| v.array_at(&["projected", "sources"]));
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        Some("reference service accounts")
    } else if uses_secrets(pod) {
        Some("reference secrets")
    } else if sources.any(|s| s.get("serviceAccountToken").is_some()) {
        Some("use ServiceAccountToken volume projections")
    } else {
        None
    }
}

/// The first use of a secret that the account does not name. `ephemeral`: only ephemeral containers are new.
fn complaint(pod: &Value, account: &Value, ephemeral: bool) -> Option<String> {
    let who = account.name();
    let lists =
        |list: &str, name: &str| account.array_at(&[list]).iter().any(|s| s.str_at(&["name"]) == name);
    if !ephemeral {
        for volume in pod.array_at(&["spec", "volumes"]) {
            let Some(secret) = volume.get("secret").filter(|s| !s.is_null()) else { continue };
            let name = secret.str_at(&["secretName"]);
            if !lists("secrets", name) {
                return Some(format!(
                    "volume with secret.secretName=\"{name}\" is not allowed because service account {who} does not reference that secret"
                ));
            }
        }
    }
    for (list, _, container) in containers(pod) {
        let word = match list {
            "initContainers" => "init container",
            "containers" => "container",
            _ => "ephemeral container",
        };
        if ephemeral != (list == "ephemeralContainers") {
            continue;
        }
        let own = container.str_at(&["name"]);
        let from_env = container.array_at(&["env"]).iter().filter_map(|env| {
            let secret = env.at(&["valueFrom", "secretKeyRef"]).filter(|s| !s.is_null())?;
            Some((format!("with envVar {}", env.str_at(&["name"])), secret.str_at(&["name"])))
        });
        let from_all = container.array_at(&["envFrom"]).iter().filter_map(|env| {
            let secret = env.get("secretRef").filter(|s| !s.is_null())?;
            Some(("with envFrom".to_owned(), secret.str_at(&["name"])))
        });
        let foreign = from_env.chain(from_all).find(|(_, name)| !lists("secrets", name));
        if let Some((how, name)) = foreign {
            return Some(format!(
                "{word} {own} {how} referencing secret.secretName=\"{name}\" is not allowed because service account {who} does not reference that secret"
            ));
        }
    }
    let pull = pod.array_at(&["spec", "imagePullSecrets"]).iter().map(|s| s.str_at(&["name"])).enumerate();
    let foreign = pull.into_iter().find(|(_, name)| !ephemeral && !lists("imagePullSecrets", name));
    foreign.map(|(i, name)| {
        format!(
            "imagePullSecrets[{i}].name=\"{name}\" is not allowed because service account {who} does not reference that imagePullSecret"
        )
    })
}
