//! The authorizers of a cluster, in the order in which they are asked: from `--authorization-mode`, or from a file.
//!
//! Whatever the order says, members of `system:masters` may do everything, and are looked at first (as upstream).

pub mod file;
mod reloadable;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use sampan_apiserver::User;
use sampan_apiserver::chain::authorization::{
    AlwaysAllow, AlwaysDeny, Attributes, Authorizer, Decision, Masters, Rules, Union, Verdict,
};
use sampan_store::Store;

use super::abac::{self, Abac};
use super::node::Node;
use super::rbac::Rbac;
use super::rbac::rule::PolicyRule;
use super::webhook::{FailurePolicy, Settings, Version, Webhook};
use crate::metrics::Metrics;
use crate::webhook_client::{Backoff, Kubeconfig, WebhookClient, kubeconfig};

pub use self::reloadable::Reloadable;

/// Why authorizers cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of modes makes no sense.
    #[error("{0}")]
    Modes(String),
    /// The configuration file makes no sense.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The file of policies of the mode ABAC.
    #[error(transparent)]
    Policies(#[from] abac::Error),
    /// A mode that is new in a changed file.
    #[error("authorizer type {0} is not allowed if it was not enabled at initial server startup")]
    NotEnabled(&'static str),
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
    /// A file of policies.
    Abac,
    /// Another server decides.
    Webhook(WebhookMode),
}

impl Mode {
    /// As `--authorization-mode` has it.
    fn name(&self) -> &'static str {
        match self {
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Abac => "ABAC",
            Self::Webhook(_) => "Webhook",
        }
    }
}

/// An authorizer of the order, with the name that metrics show.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The authorizer.
    pub mode: Mode,
}

impl From<Mode> for Named {
    /// Named as those of `--authorization-mode` are.
    fn from(mode: Mode) -> Self {
        let name = match &mode {
            Mode::Webhook(webhook) => webhook.settings.name.clone(),
            other => other.name().to_lowercase(),
        };
        Self { name, mode }
    }
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
    /// `--authorization-policy-file`.
    pub policy_file: Option<PathBuf>,
    /// `--authorization-webhook-config-file`.
    pub webhook_file: Option<PathBuf>,
    /// `--authorization-webhook-version`.
    pub webhook_version: Version,
    /// `--authorization-webhook-cache-authorized-ttl`.
    pub authorized_ttl: Duration,
    /// `--authorization-webhook-cache-unauthorized-ttl`.
    pub unauthorized_ttl: Duration,
}

/// How long the webhook of `--authorization-mode` may take.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// The order that the command line asks for.
pub fn of_flags(flags: &Flags<'_>) -> Result<Vec<Named>, Error> {
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
            "ABAC" if flags.policy_file.is_none() => {
                return wrong("authorization-mode ABAC's authorization policy file not passed".into());
            }
            "ABAC" => Mode::Abac,
            "Webhook" => {
                let Some(kubeconfig) = flags.webhook_file.clone() else {
                    return wrong("authorization-mode Webhook's authorization config file not passed".into());
                };
                let settings = Settings {
                    name: "default".into(),
                    authorized_ttl: flags.authorized_ttl,
                    unauthorized_ttl: flags.unauthorized_ttl,
                    on_failure: FailurePolicy::NoOpinion,
                    version: flags.webhook_version,
                    conditions: Arc::default(),
                };
                Mode::Webhook(WebhookMode { kubeconfig, timeout: WEBHOOK_TIMEOUT, settings })
            }
            other => {
                return wrong(format!(
                    "authorization-mode {other:?} is not a valid mode: use ABAC, AlwaysAllow, AlwaysDeny, Node, RBAC or Webhook"
                ));
            }
        });
    }
    if flags.policy_file.is_some() && !flags.modes.iter().any(|mode| mode == "ABAC") {
        return wrong("cannot specify --authorization-policy-file without mode ABAC".into());
    }
    if flags.webhook_file.is_some() && !flags.modes.iter().any(|mode| mode == "Webhook") {
        return wrong(
            "cannot specify --authorization-webhook-config-file without mode Webhook in --authorization-mode"
                .into(),
        );
    }
    Ok(modes.into_iter().map(Named::from).collect())
}

/// What there is once the order is put together.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// Who is asked about every request.
    pub authorizer: Arc<dyn Authorizer>,
    /// The roles and bindings, whether the order has RBAC or not: who writes them is checked in any case.
    pub rbac: Arc<Rbac>,
}

/// What authorizers are made of, kept for the order of a changed file.
#[derive(Debug)]
pub struct Parts {
    rbac: Arc<Rbac>,
    is_rbac_on: bool,
    node: Option<Arc<Node>>,
    abac: Option<Arc<Abac>>,
    metrics: Metrics,
}

impl Parts {
    /// What the modes of an order need. `node_rules` are the rules of the cluster role `system:node`, `policies` the file of
    /// the mode ABAC.
    pub fn new(
        order: &[Named],
        store: &Arc<dyn Store>,
        node_rules: Vec<PolicyRule>,
        policies: Option<&std::path::Path>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let has = |name: &str| order.iter().any(|named| named.mode.name() == name);
        let abac = policies.filter(|_| has("ABAC")).map(Abac::load).transpose()?.map(Arc::new);
        Ok(Self {
            rbac: Arc::new(Rbac::new(Arc::clone(store))),
            is_rbac_on: has("RBAC"),
            node: has("Node").then(|| Arc::new(Node::new(Arc::clone(store), node_rules))),
            abac,
            metrics,
        })
    }

    /// The roles and bindings, whether the order has RBAC or not: who writes them is checked in any case.
    pub fn rbac(&self) -> &Arc<Rbac> {
        &self.rbac
    }

    /// Puts the authorizers of an order together.
    pub fn order(&self, order: Vec<Named>) -> Result<Union, Error> {
        let mut authorizers: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Masters)];
        for Named { name, mode } in order {
            let of_type = mode.name();
            let missing = || Error::NotEnabled(of_type);
            let inner: Arc<dyn Authorizer> = match mode {
                Mode::AlwaysAllow => Arc::new(AlwaysAllow),
                Mode::AlwaysDeny => Arc::new(AlwaysDeny),
                Mode::Node => Arc::clone(self.node.as_ref().ok_or_else(missing)?) as _,
                Mode::Abac => Arc::clone(self.abac.as_ref().ok_or_else(missing)?) as _,
                Mode::Rbac if !self.is_rbac_on => return Err(missing()),
                Mode::Rbac => Arc::clone(&self.rbac) as _,
                Mode::Webhook(webhook) => {
                    let config = Kubeconfig::load(&webhook.kubeconfig)?;
                    let client = WebhookClient::new(config, webhook.timeout, Backoff::default())
                        .map_err(|source| Error::Client { name: webhook.settings.name.clone(), source })?;
                    Arc::new(Webhook::new(client, webhook.settings, self.metrics.clone()))
                }
            };
            let [allowed, denied] = self.metrics.decisions(of_type, &name);
            authorizers.push(Arc::new(Counted { inner, allowed, denied }));
        }
        Ok(Union(authorizers))
    }
}

/// Puts the authorizers of an order that does not change together. `node_rules` are the rules of the cluster role `system:node`.
pub fn build(
    modes: Vec<Mode>,
    store: &Arc<dyn Store>,
    node_rules: Vec<PolicyRule>,
) -> Result<Authorization, Error> {
    let order: Vec<Named> = modes.into_iter().map(Named::from).collect();
    let parts = Parts::new(&order, store, node_rules, None, Metrics::default())?;
    Ok(Authorization { authorizer: Arc::new(parts.order(order)?), rbac: Arc::clone(parts.rbac()) })
}

/// An authorizer whose yes and no are counted (`apiserver_authorization_decisions_total`).
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn Authorizer>,
    allowed: Counter,
    denied: Counter,
}

#[async_trait]
impl Authorizer for Counted {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let verdict = self.inner.authorize(a).await;
        match verdict.decision {
            Decision::Allow => {
                self.allowed.inc();
            }
            Decision::Deny => {
                self.denied.inc();
            }
            Decision::NoOpinion => {}
        }
        verdict
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        self.inner.rules(user, namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_makes_no_sense_is_refused() {
        let rows: [(&[&str], bool, &str); 8] = [
            (&["ABAC"], false, "authorization-mode ABAC's authorization policy file not passed"),
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
                policy_file: None,
                webhook_version: Version::V1,
                webhook_file: file.then(|| "f".into()),
                authorized_ttl: Duration::ZERO,
                unauthorized_ttl: Duration::ZERO,
            };
            let got = of_flags(&flags).map_or_else(|e| e.to_string(), |_| String::new());
            assert!(got.starts_with(want) && got.is_empty() == want.is_empty(), "{modes:?}: {got}");
        }
    }
}
