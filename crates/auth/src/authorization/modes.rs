//! The authorizers of a cluster, in the order in which they are asked: from `--authorization-mode`, or from a file.
//!
//! Whatever the order says, members of `system:masters` may do everything, and are looked at first (as upstream).

pub mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sampan_apiserver::chain::authorization::{AlwaysAllow, AlwaysDeny, Authorizer, Masters, Union};
use sampan_store::Store;

use super::node::Node;
use super::rbac::Rbac;
use super::rbac::rule::PolicyRule;
use super::webhook::{FailurePolicy, Settings, Webhook};
use crate::webhook_client::{Backoff, Kubeconfig, WebhookClient, kubeconfig};

/// Why authorizers cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of modes makes no sense.
    #[error("{0}")]
    Modes(String),
    /// The configuration file makes no sense.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The file that says where a webhook is.
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    /// The client of a webhook cannot be made.
    #[error("webhook {name}")]
    Client {
        /// Which webhook.
        name: String,
        /// Why.
        #[source]
        source: crate::https::Error,
    },
}

/// One authorizer of the order.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Everybody may do everything.
    AlwaysAllow,
    /// Nobody may do anything.
    AlwaysDeny,
    /// Nodes may what their pods need.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Another server decides.
    Webhook(WebhookMode),
}

/// A webhook of the order.
#[derive(Debug, Clone)]
pub struct WebhookMode {
    /// The kubeconfig that says where it is.
    pub kubeconfig: PathBuf,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How it is asked.
    pub settings: Settings,
}

/// What `--authorization-mode` and its companions say.
#[derive(Debug, Clone)]
pub struct Flags<'a> {
    /// The names of the modes.
    pub modes: &'a [String],
    /// `--authorization-webhook-config-file`.
    pub webhook_file: Option<PathBuf>,
    /// `--authorization-webhook-cache-authorized-ttl`.
    pub authorized_ttl: Duration,
    /// `--authorization-webhook-cache-unauthorized-ttl`.
    pub unauthorized_ttl: Duration,
}

/// How long the webhook of `--authorization-mode` may take.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// The order that the command line asks for.
pub fn of_flags(flags: &Flags<'_>) -> Result<Vec<Mode>, Error> {
    let wrong = |why: String| Err(Error::Modes(why));
    if flags.modes.is_empty() {
        return wrong("at least one authorization-mode must be passed".into());
    }
    let mut modes = Vec::new();
    for (i, name) in flags.modes.iter().enumerate() {
        if flags.modes[..i].contains(name) {
            return wrong(format!("authorization-mode {name:?} has mode specified more than once"));
        }
        modes.push(match name.as_str() {
            "AlwaysAllow" => Mode::AlwaysAllow,
            "AlwaysDeny" => Mode::AlwaysDeny,
            "Node" => Mode::Node,
            "RBAC" => Mode::Rbac,
            "Webhook" => {
                let Some(kubeconfig) = flags.webhook_file.clone() else {
                    return wrong("authorization-mode Webhook's authorization config file not passed".into());
                };
                let settings = Settings {
                    name: "default".into(),
                    authorized_ttl: flags.authorized_ttl,
                    unauthorized_ttl: flags.unauthorized_ttl,
                    on_failure: FailurePolicy::NoOpinion,
                };
                Mode::Webhook(WebhookMode { kubeconfig, timeout: WEBHOOK_TIMEOUT, settings })
            }
            other => {
                return wrong(format!(
                    "authorization-mode {other:?} is not a valid mode: use AlwaysAllow, AlwaysDeny, Node, RBAC or Webhook"
                ));
            }
        });
    }
    if flags.webhook_file.is_some() && !flags.modes.iter().any(|mode| mode == "Webhook") {
        return wrong(
            "cannot specify --authorization-webhook-config-file without mode Webhook in --authorization-mode"
                .into(),
        );
    }
    Ok(modes)
}

/// What there is once the order is put together.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// Who is asked about every request.
    pub authorizer: Arc<dyn Authorizer>,
    /// The roles and bindings, whether the order has RBAC or not: who writes them is checked in any case.
    pub rbac: Arc<Rbac>,
}

/// Puts the authorizers of an order together. `node_rules` are the rules of the cluster role `system:node`.
pub fn build(
    modes: Vec<Mode>,
    store: &Arc<dyn Store>,
    node_rules: Vec<PolicyRule>,
) -> Result<Authorization, Error> {
    let rbac = Arc::new(Rbac::new(Arc::clone(store)));
    let mut node_rules = Some(node_rules);
    let mut order: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Masters)];
    for mode in modes {
        order.push(match mode {
            Mode::AlwaysAllow => Arc::new(AlwaysAllow),
            Mode::AlwaysDeny => Arc::new(AlwaysDeny),
            Mode::Node => Arc::new(Node::new(Arc::clone(store), node_rules.take().unwrap_or_default())),
            Mode::Rbac => Arc::clone(&rbac) as Arc<dyn Authorizer>,
            Mode::Webhook(webhook) => {
                let config = Kubeconfig::load(&webhook.kubeconfig)?;
                let client = WebhookClient::new(config, webhook.timeout, Backoff::default())
                    .map_err(|source| Error::Client { name: webhook.settings.name.clone(), source })?;
                Arc::new(Webhook::new(client, webhook.settings))
            }
        });
    }
    Ok(Authorization { authorizer: Arc::new(Union(order)), rbac })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_makes_no_sense_is_refused() {
        let rows: [(&[&str], bool, &str); 7] = [
            (&["Node", "RBAC"], false, ""),
            (&["Webhook", "RBAC"], true, ""),
            (&[], false, "at least one authorization-mode must be passed"),
            (&["RBAC", "RBAC"], false, "authorization-mode \"RBAC\" has mode specified more than once"),
            (&["Rbac"], false, "authorization-mode \"Rbac\" is not a valid mode"),
            (&["Webhook"], false, "authorization-mode Webhook's authorization config file not passed"),
            (&["RBAC"], true, "cannot specify --authorization-webhook-config-file without mode Webhook"),
        ];
        for (modes, file, want) in rows {
            let modes: Vec<String> = modes.iter().map(|m| (*m).to_owned()).collect();
            let flags = Flags {
                modes: &modes,
                webhook_file: file.then(|| "f".into()),
                authorized_ttl: Duration::ZERO,
                unauthorized_ttl: Duration::ZERO,
            };
            let got = of_flags(&flags).map_or_else(|e| e.to_string(), |_| String::new());
            assert!(got.starts_with(want) && got.is_empty() == want.is_empty(), "{modes:?}: {got}");
        }
    }
}
