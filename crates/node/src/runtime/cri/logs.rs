//! Rotates the logs that the runtime writes, as the kubelet does: sizes are looked at every ten seconds, and the runtime opens the file anew.

use std::fs;
use std::sync::Weak;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::{Shared, containers, observed};
use crate::cri::messages as cri;
use crate::runtime::{Error, log_files};

/// The kubelet's `containerLogMonitorInterval`.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn rotate(shared: Weak<Shared>) {
    let mut alarm = tokio::time::interval(INTERVAL);
    alarm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        alarm.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        if let Err(error) = look(&shared).await {
            tracing::warn!(error = crate::words::in_words(&error), "logs cannot be rotated");
        }
    }
}

/// Looks at all of them once.
pub(super) async fn look(shared: &Shared) -> Result<(), Error> {
    let answer = shared.client.ask(cri::ListContainersRequest { filter: None }).await;
    let all = answer.map_err(super::failed("cannot list the containers"))?.containers;
    let ours = all.into_iter().filter(|container| {
        container.state == cri::ContainerState::Running as i32
            && container.annotations.contains_key(super::kept::ANNOTATION)
    });
    for container in ours {
        let Some(id) = observed::container_id(&container.labels, container.metadata.as_ref()) else {
            continue;
        };
        let path = containers::log_path(shared, container.id.clone()).await?;
        let Some(path) = path.filter(|path| {
            fs::metadata(path).is_ok_and(|metadata| metadata.len() > shared.options.log_file_bytes)
        }) else {
            continue;
        };
        if let Err(error) = log_files::rotate(&path, shared.options.log_files, Timestamp::now()) {
            tracing::warn!(container = %id, %error, "a log cannot be rotated");
        }
        // Also when it failed in the middle: what was moved aside must not be written any more.
        containers::reopen_log(shared, container.id).await?;
    }
    Ok(())
}
