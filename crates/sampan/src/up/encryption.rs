//! Encryption at rest: from the command line to the store and the health checks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sampan_apiserver::health::HealthCheck;
use sampan_encryption::{Encryption, Reloaded, Reloader};
use sampan_store::Store as _;
use sampan_store::embedded::Embedded;

use crate::cli::Up;

/// How often the file is looked at, as upstream does.
const INTERVAL: Duration = Duration::from_mins(1);

/// What the file says, or, without one, that everything is plain.
pub(super) fn load(options: &Up) -> Result<Arc<Encryption>> {
    let encryption = match &options.encryption_provider_config {
        None => Encryption::none(),
        Some(path) => Encryption::load(path)
            .with_context(|| format!("cannot use --encryption-provider-config {}", path.display()))?,
    };
    Ok(Arc::new(encryption))
}

/// `kms-providers`: with plugins, and always where the file may bring some.
pub(super) fn health_checks(options: &Up, encryption: &Arc<Encryption>) -> Vec<HealthCheck> {
    if !encryption.has_plugins() && !options.encryption_provider_config_automatic_reload {
        return Vec::new();
    }
    let encryption = Arc::clone(encryption);
    vec![HealthCheck { name: "kms-providers", check: Arc::new(move || encryption.health()) }]
}

/// Takes over each change of the file that can be used, and says of every other one why it cannot.
pub(super) async fn follow(encryption: Arc<Encryption>, file: PathBuf, store: Arc<Embedded>) {
    let mut reloader = Reloader::new(encryption, &file);
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let store = Arc::clone(&store);
        // Plugins are waited for, but not by a thread that serves.
        let looked = tokio::task::spawn_blocking(move || {
            let result = reloader.look(|| store.snapshot());
            (reloader, result)
        });
        let Ok((back, result)) = looked.await else { return };
        reloader = back;
        match result {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Changed) => {
                tracing::info!(file = %file.display(), "the changed encryption configuration is in force");
            }
            Err(error) => tracing::warn!(
                file = %file.display(),
                error = &error as &dyn std::error::Error,
                "the changed encryption configuration is not used, the old one stays"
            ),
        }
    }
}
