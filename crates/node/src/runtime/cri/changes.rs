//! Tells of changes: from the runtime's events where it has any, else from a list once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Shared, containers, observed, sandboxes};
use crate::container::PodUid;
use crate::cri::{Status, messages as cri};

/// How often a runtime without events is asked, and how long one that does not answer is left alone (the kubelet's relist period).
const INTERVAL: Duration = Duration::from_secs(1);

/// What the sandboxes and containers of each pod do.
type Seen = BTreeMap<PodUid, BTreeSet<(String, i32)>>;

/// Follows the runtime until nobody has it any more.
pub(super) async fn follow(shared: Weak<Shared>, end: CancellationToken) {
    let mut alarm = tokio::time::interval(INTERVAL);
    alarm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::new();
    let mut is_well = true;
    // Whether the runtime has events is not known until it was asked.
    let mut has_events = true;
    loop {
        alarm.tick().await;
        let mut events = None;
        if has_events {
            let Some(client) = shared.upgrade().map(|shared| shared.client.clone()) else { return };
            match client.follow(cri::GetEventsRequest {}).await {
                Ok(answers) => events = Some(answers),
                Err(status) if sandboxes::is_unknown(&status) => has_events = false,
                Err(_) => {}
            }
        }
        // After the events have begun: what came before them is in the list.
        {
            let Some(shared) = shared.upgrade() else { return };
            let looked = look(&shared, &mut seen).await;
            if looked.is_ok() != is_well {
                is_well = looked.is_ok();
                match looked {
                    Ok(()) => tracing::info!("the container runtime answers again"),
                    Err(status) => tracing::warn!(%status, "the container runtime does not answer"),
                }
            }
        }
        let Some(mut events) = events else { continue };
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = end.cancelled() => return,
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(status) if sandboxes::is_unknown(&status) => {
                    has_events = false;
                    break;
                }
                Err(_) => break,
            };
            let Some(shared) = shared.upgrade() else { return };
            let metadata = event.pod_sandbox_status.and_then(|status| status.metadata);
            match metadata.and_then(|metadata| PodUid::new(&metadata.uid)) {
                Some(uid) => shared.changed(&uid),
                // It is gone, and the runtime does not say whose it was.
                None => {
                    if let Err(status) = look(&shared, &mut seen).await {
                        tracing::debug!(%status, container = event.container_id, "an event is not understood");
                    }
                }
            }
        }
    }
}

/// Lists everything, and tells of each pod of which something is otherwise than it was.
async fn look(shared: &Shared, seen: &mut Seen) -> Result<(), Status> {
    let sandboxes = shared.client.ask(cri::ListPodSandboxRequest { filter: None }).await?.items;
    let all = shared.client.ask(cri::ListContainersRequest { filter: None }).await?.containers;
    let now = summary(&sandboxes, &all);
    for uid in changed(seen, &now) {
        shared.changed(uid);
    }
    *seen = now;
    for container in all {
        let is_ours = container.annotations.contains_key(super::kept::ANNOTATION);
        if is_ours && container.state == cri::ContainerState::Unknown as i32 {
            tracing::warn!(
                container = container.id,
                "the container runtime has lost the state of a container; it is ended"
            );
            containers::stop_by_id(shared, container.id, Duration::ZERO).await?;
        }
    }
    Ok(())
}

/// What there is of ours.
fn summary(sandboxes: &[cri::PodSandbox], containers: &[cri::Container]) -> Seen {
    let mut seen = Seen::new();
    for sandbox in sandboxes {
        if let Some(uid) = observed::owner(sandbox) {
            seen.entry(uid).or_default().insert((sandbox.id.clone(), sandbox.state));
        }
    }
    for container in containers {
        // Those of others' sandboxes are others'.
        let id = observed::container_id(&container.labels, container.metadata.as_ref());
        if let Some(states) = id.and_then(|id| seen.get_mut(&id.pod)) {
            states.insert((container.id.clone(), container.state));
        }
    }
    seen
}

/// The pods of which something is otherwise.
fn changed<'a>(before: &'a Seen, now: &'a Seen) -> BTreeSet<&'a PodUid> {
    let all: BTreeSet<&PodUid> = before.keys().chain(now.keys()).collect();
    all.into_iter().filter(|uid| before.get(uid) != now.get(uid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> PodUid {
        PodUid::new(text).unwrap()
    }

    #[test]
    fn a_pod_is_told_of_when_something_of_it_is_otherwise() {
        let seen = |pods: &[(&str, &[(&str, i32)])]| -> Seen {
            pods.iter()
                .map(|(pod, states)| {
                    (uid(pod), states.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect())
                })
                .collect()
        };
        let one = seen(&[("a", &[("s", 0), ("c", 1)]), ("b", &[("t", 0)])]);
        for (name, now, told) in [
            ("nothing", one.clone(), vec![]),
            ("an exit", seen(&[("a", &[("s", 0), ("c", 2)]), ("b", &[("t", 0)])]), vec!["a"]),
            ("a removal", seen(&[("a", &[("s", 0), ("c", 1)])]), vec!["b"]),
            ("all", seen(&[("c", &[("u", 0)])]), vec!["a", "b", "c"]),
        ] {
            let told: Vec<PodUid> = told.into_iter().map(uid).collect();
            assert_eq!(changed(&one, &now).into_iter().cloned().collect::<Vec<_>>(), told, "{name}");
        }
    }

    #[test]
    fn what_others_made_is_not_ours() {
        let kept = BTreeMap::from([super::super::kept::write(&super::super::kept::Sandbox::default())]);
        let sandbox = |uid: &str, annotations| cri::PodSandbox {
            id: format!("s-{uid}"),
            metadata: Some(cri::PodSandboxMetadata { uid: uid.to_owned(), ..Default::default() }),
            annotations,
            ..Default::default()
        };
        let container = |uid: &str| cri::Container {
            id: format!("c-{uid}"),
            metadata: Some(cri::ContainerMetadata { name: "main".to_owned(), attempt: 0 }),
            labels: BTreeMap::from([("io.kubernetes.pod.uid".to_owned(), uid.to_owned())]),
            state: 1,
            ..Default::default()
        };
        let found = summary(
            &[sandbox("ours", kept), sandbox("theirs", BTreeMap::new())],
            &[container("ours"), container("theirs")],
        );
        let states = BTreeSet::from([("s-ours".to_owned(), 0), ("c-ours".to_owned(), 1)]);
        assert_eq!(found, Seen::from([(uid("ours"), states)]));
    }
}
