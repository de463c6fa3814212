//! `/containerLogs`: which log is meant, and its answer.

use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::Server;
use super::answer::{self, Answer};
use super::route::Of;
use crate::container::ContainerId;
use crate::logs::{self, Alive, Log, Options};
use crate::runtime::{Container, State};
use crate::words::in_words;

/// Answers with a log.
pub(super) async fn answer(server: &Server, of: &Of, query: &str) -> Answer {
    let options = match Options::parse(query, Timestamp::now()) {
        Ok(options) => options,
        Err(logs::Error::Decode) => {
            return answer::text(StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#);
        }
        Err(logs::Error::Invalid) => {
            return answer::text(StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#);
        }
    };
    let Some(found) = super::streams::find(server, of) else {
        return answer::text(StatusCode::NOT_FOUND, &format!("pod {:?} does not exist", of.pod));
    };
    if found.terminal_of(&of.container).is_none() {
        let text = format!("container {:?} not found in pod {:?}", of.container, of.pod);
        return answer::text(StatusCode::NOT_FOUND, &text);
    }
    let containers = match server.0.runtime.sandbox(&found.uid).await {
        Ok(sandbox) => sandbox.map_or_else(Vec::new, |sandbox| sandbox.containers),
        Err(error) => return answer::text(StatusCode::BAD_REQUEST, &in_words(&error)),
    };
    let status = status_of(&found.pod, &of.container);
    let id = match choose(&of.pod, &of.container, status, &containers, options.previous) {
        Ok(id) => id,
        Err(why) => return answer::text(StatusCode::BAD_REQUEST, &why),
    };
    let path = found.log_directory.join(&id.name).join(format!("{}.log", id.attempt));
    let shown = path.display().to_string();
    let log = Log { path, container: Alive { runtime: server.0.runtime.clone(), id } };
    match logs::read(log, options, &server.0.watcher).await {
        Ok(pieces) => answer::pieces(pieces),
        Err(error) => {
            let text = format!("failed to try resolving symlinks in path {shown:?}: {error}");
            answer::text(StatusCode::BAD_REQUEST, &text)
        }
    }
}

/// The status of a container of any kind.
fn status_of<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|container| container.name == name)
}

/// Which container's log is meant (the kubelet's `validateContainerLogStatus`).
fn choose(
    pod: &str,
    name: &str,
    status: Option<&ContainerStatus>,
    containers: &[Container],
    previous: bool,
) -> Result<ContainerId, String> {
    let ran =
        |container: &&Container| container.id.name == name && !matches!(container.state, State::Created);
    let mut attempts: Vec<&Container> = containers.iter().filter(ran).collect();
    attempts.sort_by_key(|container| std::cmp::Reverse(container.id.attempt));
    let waiting = status.and_then(|status| status.state.as_ref()?.waiting.as_ref());
    let runs = attempts.first().is_some_and(|newest| matches!(newest.state, State::Running { .. }));
    // While the next start is waited for, the one that ended last is the one before.
    let chosen = match (previous, waiting.is_some() && !runs) {
        (true, false) => attempts.get(1),
        _ => attempts.first(),
    };
    if let Some(container) = chosen {
        return Ok(container.id.clone());
    }
    if previous {
        return Err(format!("previous terminated container {name:?} in pod {pod:?} not found"));
    }
    let Some(status) = status else {
        return Err(format!("container {name:?} in pod {pod:?} is not available"));
    };
    let state = status.state.as_ref();
    if state.is_some_and(|state| state.terminated.is_some()) {
        return Err(format!("container {name:?} in pod {pod:?} is terminated"));
    }
    let why = match waiting.and_then(|waiting| waiting.reason.as_deref()) {
        Some("ErrImagePull") => ": image can't be pulled",
        Some("ImagePullBackOff") => ": trying and failing to pull image",
        Some(reason) => &format!(": {reason}"),
        None => " - no logs yet",
    };
    Err(format!("container {name:?} in pod {pod:?} is waiting to start{why}"))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    type Row<'a> = (&'a str, Option<serde_json::Value>, Vec<Container>, bool, Result<u32, &'a str>);
    use crate::container::{PodUid, Resources};

    fn container(attempt: u32, state: State) -> Container {
        let id = ContainerId { pod: PodUid::new("u").unwrap(), name: "c".into(), attempt };
        Container {
            runtime_id: id.to_string(),
            id,
            image: String::new(),
            image_id: String::new(),
            state,
            labels: std::collections::BTreeMap::new(),
            resources: Resources::default(),
        }
    }

    fn status(state: &serde_json::Value) -> ContainerStatus {
        let value = serde_json::json!({
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_log_that_is_meant_is_chosen() {
        let at = SystemTime::UNIX_EPOCH;
        let runs = |n| container(n, State::Running { started_at: at });
        let ended = |n| {
            let state = State::Exited {
                started_at: Some(at),
                finished_at: at,
                code: 1,
                signal: 0,
                out_of_memory: false,
                message: String::new(),
            };
            container(n, state)
        };
        let waiting = |reason: &str| serde_json::json!({"waiting": {"reason": reason}});
        let running = serde_json::json!({"running": {}});
        let done = serde_json::json!({"terminated": {"exitCode": 1}});
        let rows: Vec<Row<'_>> = vec![
            ("it runs", Some(running.clone()), vec![ended(0), runs(1)], false, Ok(1)),
            ("the one before", Some(running.clone()), vec![ended(0), runs(1)], true, Ok(0)),
            ("it has ended", Some(done.clone()), vec![ended(0)], false, Ok(0)),
            ("it crashes", Some(waiting("CrashLoopBackOff")), vec![ended(0), ended(1)], false, Ok(1)),
            ("the crash before", Some(waiting("CrashLoopBackOff")), vec![ended(0), ended(1)], true, Ok(1)),
            (
                "there was none before",
                Some(running),
                vec![runs(0)],
                true,
                Err("previous terminated container \"c\" in pod \"p\" not found"),
            ),
            (
                "it waits",
                Some(waiting("ContainerCreating")),
                vec![],
                false,
                Err("container \"c\" in pod \"p\" is waiting to start: ContainerCreating"),
            ),
            (
                "no image",
                Some(waiting("ImagePullBackOff")),
                vec![],
                false,
                Err("container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image"),
            ),
            (
                "no image at first",
                Some(waiting("ErrImagePull")),
                vec![container(0, State::Created)],
                false,
                Err("container \"c\" in pod \"p\" is waiting to start: image can't be pulled"),
            ),
            (
                "its containers are gone",
                Some(done),
                vec![],
                false,
                Err("container \"c\" in pod \"p\" is terminated"),
            ),
            (
                "nothing is known",
                Some(serde_json::json!({})),
                vec![],
                false,
                Err("container \"c\" in pod \"p\" is waiting to start - no logs yet"),
            ),
            ("no status", None, vec![], false, Err("container \"c\" in pod \"p\" is not available")),
        ];
        for (name, state, containers, previous, want) in rows {
            let status = state.map(|state| status(&state));
            let got = choose("p", "c", status.as_ref(), &containers, previous).map(|id| id.attempt);
            assert_eq!(got, want.map_err(str::to_owned), "{name}");
        }
    }
}
