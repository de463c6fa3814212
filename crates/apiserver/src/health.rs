//! `/healthz`, `/livez`, `/readyz`, with `?verbose`, `?exclude=` and single checks below their paths.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::server::Shared;

/// A check: its name, and whether all is well.
type Check = (&'static str, fn(&Shared) -> bool);

/// A check of a part that this crate knows nothing of; it stands below all three paths. Why something is not well is
/// told to the log only, since everybody may ask.
#[derive(Clone)]
pub struct HealthCheck {
    /// As in the verbose form, and below the paths.
    pub name: &'static str,
    /// What is wrong; must not wait.
    pub check: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl HealthCheck {
    fn is_well(&self) -> bool {
        let result = (self.check)();
        if let Err(error) = &result {
            tracing::info!(check = self.name, %error, "a health check failed");
        }
        result.is_ok()
    }
}

/// The server answers.
fn ping(_: &Shared) -> bool {
    true
}

/// The store works. (The name is the one that upstream's clients exclude and look for.)
fn storage(server: &Shared) -> bool {
    let health = server.registry.store().health();
    if let Err(error) = &health {
        tracing::info!(check = "etcd", %error, "a health check failed");
    }
    health.is_ok()
}

/// The server does not shut down.
fn not_shutting_down(server: &Shared) -> bool {
    !server.shutdown.is_cancelled()
}

const LIVE: [Check; 2] = [("ping", ping), ("etcd", storage)];
const READY: [Check; 3] = [("ping", ping), ("etcd", storage), ("shutdown", not_shutting_down)];

enum Ask<'a> {
    Own(fn(&Shared) -> bool),
    Other(&'a HealthCheck),
}

impl Ask<'_> {
    fn is_well(&self, server: &Shared) -> bool {
        match self {
            Ask::Own(check) => check(server),
            Ask::Other(check) => check.is_well(),
        }
    }
}

/// The answer to a path of one of the three, `None` for a check that does not exist.
pub(crate) fn answer(server: &Shared, path: &str, query: &Query) -> Option<Answer> {
    let (root, single) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
    let own: &[Check] = if root == "readyz" { &READY } else { &LIVE };
    let own = own.iter().map(|(name, check)| (*name, Ask::Own(*check)));
    let checks: Vec<_> =
        own.chain(server.health_checks.iter().map(|check| (check.name, Ask::Other(check)))).collect();
    if !single.is_empty() {
        let (name, check) = checks.iter().find(|(name, _)| *name == single)?;
        return Some(if check.is_well(server) {
            respond::text(200, "ok")
        } else {
            respond::text(500, format!("internal server error: {name} failed\n"))
        });
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut text = String::new();
    let mut failed = false;
    for (name, check) in &checks {
        let _ = if excluded.contains(name) {
            writeln!(text, "[+]{name} excluded: ok")
        } else if check.is_well(server) {
            writeln!(text, "[+]{name} ok")
        } else {
            failed = true;
            writeln!(text, "[-]{name} failed: reason withheld")
        };
    }
    for name in excluded.iter().filter(|e| checks.iter().all(|(name, _)| name != *e)) {
        let _ = writeln!(text, "warn: some health checks cannot be excluded: no matches for {name:?}");
    }
    if failed {
        let _ = writeln!(text, "{root} check failed");
        return Some(respond::text(500, text));
    }
    if !query.has("verbose") {
        return Some(respond::text(200, "ok"));
    }
    let _ = writeln!(text, "{root} check passed");
    Some(respond::text(200, text))
}
