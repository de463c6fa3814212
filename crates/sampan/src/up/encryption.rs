//! Encryption at rest: from the command line to the store and the health checks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use sampan_apiserver::health::HealthCheck;
use sampan_encryption::{Encryption, Reloaded, Reloader};
use sampan_store::Store as _;
use sampan_store::embedded::Embedded;

use crate::cli::Up;

/// How often the file is read, as upstream does.
const INTERVAL: Duration = Duration::from_mins(1);
/// How often it is looked at whether it was written; then it is read at once.
const GLANCE: Duration = Duration::from_secs(1);

/// What the file says, or, without one, that everything is plain.
pub(super) fn load(options: &Up) -> Result<Arc<Encryption>> {
    let encryption = match &options.encryption_provider_config {
        None => Encryption::none(),
        Some(path) => Encryption::load(path, &server_id())
            .with_context(|| format!("cannot use --encryption-provider-config {}", path.display()))?,
    };
    Ok(Arc::new(encryption))
}

/// The server's identity as upstream derives it from the name of the machine; metrics show its hash.
fn server_id() -> String {
    use sha2::Digest as _;
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("apiserver-{}", base32(&sha2::Sha256::digest(machine.as_bytes())[..16]))
}

/// Base 32 in lower case, without padding (RFC 4648).
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |i: usize| bytes.get(i / 8).is_some_and(|byte| byte & (0x80 >> (i % 8)) != 0);
    let letter = |at: usize| (0..5).fold(0, |value, i| value << 1 | usize::from(bit(at * 5 + i)));
    (0..(bytes.len() * 8).div_ceil(5)).map(|at| char::from(LETTERS[letter(at)])).collect()
}

/// What changes when a file is written or replaced; `None` if it is not there.
fn trace(file: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
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
    let mut ticks = tokio::time::interval(GLANCE);
    let (mut seen, mut read_at) = (None, None::<Instant>);
    loop {
        ticks.tick().await;
        let now = trace(&file);
        if now == seen && read_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            continue;
        }
        (seen, read_at) = (now, Some(Instant::now()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_the_rfc() {
        let rows = [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ];
        for (text, want) in rows {
            assert_eq!(base32(text.as_bytes()), want);
        }
    }
}
