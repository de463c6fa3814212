//! Who may do what, as the command line has it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sampan_apiserver::admission::Plugins;
use sampan_auth::authorization::modes::{self, Authorization, Flags};
use sampan_auth::authorization::rbac::escalation::Escalation;
use sampan_store::Store;

use crate::cli;

/// What is asked when `--authorization-mode` does not say: what a production cluster has.
const DEFAULT: [&str; 2] = ["Node", "RBAC"];

/// The authorizers, in order.
pub(super) fn of(options: &cli::Authorization, store: &Arc<dyn Store>) -> Result<Authorization> {
    let order = match &options.config {
        Some(path) => modes::file::load(path)?,
        None => modes::of_flags(&Flags {
            modes: &names(&options.modes),
            webhook_file: options.webhook_file.clone(),
            authorized_ttl: options.authorized_ttl,
            unauthorized_ttl: options.unauthorized_ttl,
        })?,
    };
    modes::build(order, store, sampan_builtins::bootstrap::node_rules())
        .context("cannot set up authorization")
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
