//! The admission plug-ins that the command line chooses, with the configuration that it names.

use std::sync::Arc;

use anyhow::Result;
use sampan_apiserver::admission::Plugins;
use sampan_apiserver::chain::authorization::Authorizer;
use sampan_builtins::admission::{Choice, Configuration, Deps, plugins as build};
use sampan_store::Store;

use crate::cli::Admission;

/// Puts them together.
pub(super) fn plugins(
    options: &Admission,
    authorizer: &Arc<dyn Authorizer>,
    store: &Arc<dyn Store>,
) -> Result<Plugins> {
    let choice = Choice {
        enable: options.enable_admission_plugins.clone(),
        disable: options.disable_admission_plugins.clone(),
    };
    let configuration = match &options.config_file {
        Some(path) => Configuration::read(path)?,
        None => Configuration::default(),
    };
    let deps = Deps { authorizer: Arc::clone(authorizer), store: Arc::clone(store) };
    Ok(build(&choice, &configuration, &deps)?)
}
