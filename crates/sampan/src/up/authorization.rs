//! Who may do what, as the command line has it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sampan_apiserver::admission::Plugins;
use sampan_auth::authorization::modes::{self, Authorization, Flags, Named, Parts, Reloadable};
use sampan_auth::authorization::rbac::escalation::Escalation;
use sampan_auth::authorization::webhook::Version;
use sampan_auth::metrics::Metrics;
use sampan_auth::reload::Follower;
use sampan_store::Store;

use crate::cli;

/// What is asked when `--authorization-mode` does not say: what a production cluster has.
const DEFAULT: [&str; 2] = ["Node", "RBAC"];

/// The authorizers, in order. A file that says so is followed.
pub(super) fn of(
    options: &cli::Authorization,
    store: &Arc<dyn Store>,
    metrics: &Metrics,
) -> Result<Authorization> {
    let build = |order: Vec<Named>| {
        let policies = options.policy_file.as_deref();
        let rules = sampan_builtins::bootstrap::node_rules();
        let parts = Parts::new(&order, store, rules, policies, metrics.clone())?;
        let rbac = Arc::clone(parts.rbac());
        Ok::<_, modes::Error>((Arc::new(Reloadable::new(order, parts)?), rbac))
    };
    let context = "cannot set up authorization";
    if let Some(path) = &options.config {
        let text = modes::file::read(path)?;
        let (authorizer, rbac) = build(modes::file::parse(path, &text)?).context(context)?;
        let follower = Follower::new(path.clone(), text.into_bytes(), metrics.authorization_config.clone());
        tokio::spawn(follow(follower, path.clone(), Arc::clone(&authorizer)));
        return Ok(Authorization { authorizer, rbac });
    }
    let order = modes::of_flags(&Flags {
        modes: &names(&options.modes),
        policy_file: options.policy_file.clone(),
        webhook_file: options.webhook_file.clone(),
        webhook_version: Version::parse(&options.webhook_version).unwrap_or_default(),
        authorized_ttl: options.authorized_ttl,
        unauthorized_ttl: options.unauthorized_ttl,
    })?;
    let (authorizer, rbac) = build(order).context(context)?;
    Ok(Authorization { authorizer, rbac })
}

async fn follow(follower: Follower, path: PathBuf, authorizer: Arc<Reloadable>) {
    let (path, authorizer) = (&path, &authorizer);
    follower.follow(|text| async move { authorizer.reload(path, &text) }).await;
}

fn names(given: &[String]) -> Vec<String> {
    if given.is_empty() { DEFAULT.map(str::to_owned).to_vec() } else { given.to_vec() }
}

/// The plug-ins, with the checks that nobody grants what they do not have, and that only who may allocates devices: they are no
/// choice, in any mode.
pub(super) fn checked(plugins: Plugins, authorization: &Authorization) -> Plugins {
    let authorizer = Arc::clone(&authorization.authorizer);
    let claims = sampan_builtins::admission::claim_status(Arc::clone(&authorizer));
    plugins.and(claims).and(Arc::new(Escalation::new(Arc::clone(&authorization.rbac), authorizer)))
}
