//! Against a runtime that says what a test tells it to.

use std::sync::Arc;

use futures::channel::mpsc;
use parking_lot::Mutex;
use prost::Message as _;

use super::*;
use crate::cri::fake::{FakeCri, Reply, message};
use crate::runtime::fake::{container_config, sandbox_config};
use sampan_testkit::eventually;

const UNIMPLEMENTED: u32 = 12;

fn uid() -> PodUid {
    PodUid::new("7d9c").unwrap()
}

fn id() -> ContainerId {
    ContainerId { pod: uid(), name: "main".into(), attempt: 0 }
}

/// What there is.
#[derive(Default)]
struct World {
    sandboxes: Vec<cri::PodSandbox>,
    containers: Vec<cri::Container>,
    log: std::path::PathBuf,
}

fn sandbox(id: &str, attempt: u32, state: cri::PodSandboxState) -> cri::PodSandbox {
    let config = sandbox_config(&uid(), "default", "web", "/nowhere".as_ref());
    let config = request::sandbox(&config, attempt);
    cri::PodSandbox {
        id: id.into(),
        metadata: config.metadata,
        state: state as i32,
        created_at: i64::from(attempt) + 1,
        labels: config.labels,
        annotations: config.annotations,
    }
}

fn container(state: cri::ContainerState) -> cri::Container {
    let config = request::container(&container_config(&id(), &["sh"]), &kept::Sandbox::default(), None);
    cri::Container {
        id: "c".into(),
        pod_sandbox_id: "s".into(),
        metadata: config.metadata,
        state: state as i32,
        labels: config.labels,
        annotations: config.annotations,
        ..Default::default()
    }
}

/// Answers from the world what lists ask for, and otherwise as `handler` says.
fn serve(
    world: &Arc<Mutex<World>>,
    mut handler: impl FnMut(&str) -> Option<Reply> + Send + 'static,
) -> FakeCri {
    let world = Arc::clone(world);
    FakeCri::start(move |method, request| {
        let world = world.lock();
        if let Some(reply) = handler(method) {
            return reply;
        }
        match method {
            "Version" => Reply::answer(&cri::VersionResponse {
                runtime_name: "fake".into(),
                runtime_version: "1.0".into(),
            }),
            "Status" => Reply::answer(&cri::StatusResponse {
                status: Some(cri::RuntimeStatus {
                    conditions: vec![
                        cri::RuntimeCondition {
                            r#type: "RuntimeReady".into(),
                            status: true,
                            ..Default::default()
                        },
                        cri::RuntimeCondition {
                            r#type: "NetworkReady".into(),
                            status: false,
                            reason: "NetworkPluginNotReady".into(),
                            message: "cni plugin not initialized".into(),
                        },
                    ],
                }),
                ..Default::default()
            }),
            "ListPodSandbox" => {
                Reply::answer(&cri::ListPodSandboxResponse { items: world.sandboxes.clone() })
            }
            "ListContainers" => {
                Reply::answer(&cri::ListContainersResponse { containers: world.containers.clone() })
            }
            "ContainerStatus" => {
                let asked = cri::ContainerStatusRequest::decode(request).unwrap().container_id;
                let Some(found) = world.containers.iter().find(|container| container.id == asked) else {
                    return Reply::Fail(5, "not found");
                };
                Reply::answer(&cri::ContainerStatusResponse {
                    status: Some(cri::ContainerStatus {
                        id: found.id.clone(),
                        metadata: found.metadata.clone(),
                        state: found.state,
                        labels: found.labels.clone(),
                        annotations: found.annotations.clone(),
                        log_path: world.log.to_string_lossy().into_owned(),
                        ..Default::default()
                    }),
                })
            }
            "GetContainerEvents" => Reply::Fail(UNIMPLEMENTED, "unknown method GetContainerEvents"),
            "ReopenContainerLog" | "StopContainer" | "StopPodSandbox" | "RemovePodSandbox" => {
                Reply::answer(&cri::Empty {})
            }
            _ => Reply::Fail(UNIMPLEMENTED, "unknown method"),
        }
    })
}

async fn open(server: &FakeCri) -> CriRuntime {
    let options = Options { log_file_bytes: 0, log_files: 5, limits: Resources::default() };
    // The machine of a test without root has no cgroups to be made.
    let client = server.client();
    CriRuntime::with(client, options, Layout::default()).await.unwrap()
}

#[tokio::test]
async fn a_runtime_says_who_it_is_and_what_it_lacks() {
    let server = serve(&Arc::default(), |_| None);
    let about = open(&server).await.about();
    assert_eq!((about.name.as_str(), about.version.as_str()), ("fake", "1.0"));
    assert_eq!(
        about.withheld,
        [
            "container runtime is not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized"
        ]
    );
}

#[tokio::test]
async fn a_runtime_without_events_is_asked_and_changes_are_told() {
    let world = Arc::<Mutex<World>>::default();
    let server = serve(&world, |_| None);
    let runtime = open(&server).await;
    let mut changes = runtime.changes();
    world.lock().sandboxes.push(sandbox("s", 0, cri::PodSandboxState::Ready));
    assert_eq!(changes.recv().await.unwrap(), uid());
    world.lock().containers.push(container(cri::ContainerState::Running));
    assert_eq!(changes.recv().await.unwrap(), uid());
    assert_eq!(server.methods().iter().filter(|method| *method == "GetContainerEvents").count(), 1);
    // One whose state is lost is ended.
    world.lock().containers[0].state = cri::ContainerState::Unknown as i32;
    assert_eq!(changes.recv().await.unwrap(), uid());
    let stopped = || async { server.asked::<cri::StopContainerRequest>().into_iter().next() };
    assert_eq!(eventually("it is stopped", stopped).await.timeout, 0);
}

#[tokio::test]
async fn a_runtime_with_events_is_listened_to() {
    let world = Arc::<Mutex<World>>::default();
    let (events, mut following) = {
        let (sender, receiver) = mpsc::unbounded();
        (sender, Some(receiver))
    };
    let server = serve(&world, move |method| {
        (method == "GetContainerEvents")
            .then(|| following.take().map_or(Reply::Fail(14, "gone"), Reply::Follow))
    });
    let runtime = open(&server).await;
    let mut changes = runtime.changes();
    let metadata = cri::PodSandboxMetadata { uid: "7d9c".into(), ..Default::default() };
    let status = cri::PodSandboxStatus { metadata: Some(metadata), ..Default::default() };
    let event = cri::ContainerEventResponse { container_id: "c".into(), pod_sandbox_status: Some(status) };
    for _ in 0..3 {
        events.unbounded_send(message(&event)).unwrap();
        assert_eq!(changes.recv().await.unwrap(), uid());
    }
    // One that does not say whose it was.
    world.lock().sandboxes.push(sandbox("s", 0, cri::PodSandboxState::Ready));
    let event = cri::ContainerEventResponse { container_id: "d".into(), pod_sandbox_status: None };
    events.unbounded_send(message(&event)).unwrap();
    assert_eq!(changes.recv().await.unwrap(), uid());
    // When they end, the runtime is asked again.
    drop(events);
    world.lock().sandboxes.clear();
    assert_eq!(changes.recv().await.unwrap(), uid());
}

#[tokio::test]
async fn refusals_are_told_in_the_runtimes_words() {
    let world = Arc::new(Mutex::new(World {
        sandboxes: vec![sandbox("s", 0, cri::PodSandboxState::Ready)],
        ..World::default()
    }));
    let replies: Arc<Mutex<Option<(u32, &'static str)>>> = Arc::default();
    let told = Arc::clone(&replies);
    let server = serve(&world, move |method| {
        let (code, words) = (*told.lock())?;
        matches!(method, "CreateContainer" | "StartContainer").then_some(Reply::Fail(code, words))
    });
    let runtime = open(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let config = container_config(&id(), &["sh"]);
    let kept = kept::Sandbox { log_directory: directory.path().to_owned(), ..kept::Sandbox::default() };
    world.lock().sandboxes[0].annotations = BTreeMap::from([kept::write(&kept)]);
    let create = |code, words| {
        *replies.lock() = Some((code, words));
        runtime.create_container(&config)
    };
    let error = create(2, "failed to reserve container name").await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert_eq!(crate::words::in_words(&error), "failed to reserve container name");
    assert!(matches!(create(3, "bad").await, Err(Error::Config(words)) if words == "bad"));
    assert!(matches!(create(9, "not now").await, Err(Error::Precondition(words)) if words == "not now"));

    // What could not be started is kept as ended by the runtime, or is not.
    world.lock().containers.push(container(cri::ContainerState::Created));
    *replies.lock() = Some((2, "no such file"));
    let error = runtime.start_container(&id()).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    let missing = ContainerId { attempt: 9, ..id() };
    assert!(matches!(runtime.start_container(&missing).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn stopping_takes_whole_seconds_and_what_is_gone_is_stopped() {
    let world = Arc::new(Mutex::new(World {
        sandboxes: vec![sandbox("s", 0, cri::PodSandboxState::Ready)],
        containers: vec![container(cri::ContainerState::Running)],
        ..World::default()
    }));
    let server = serve(&world, |method| (method == "StopContainer").then_some(Reply::Fail(5, "not found")));
    let runtime = open(&server).await;
    for (grace, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
        runtime.stop_container(&id(), Duration::from_millis(grace)).await.unwrap();
        assert_eq!(server.asked::<cri::StopContainerRequest>().last().unwrap().timeout, seconds, "{grace}");
    }
}

#[tokio::test]
async fn of_several_sandboxes_the_newest_counts_and_all_are_removed() {
    let mut theirs = sandbox("theirs", 7, cri::PodSandboxState::Ready);
    theirs.annotations.clear();
    let world = Arc::new(Mutex::new(World {
        sandboxes: vec![
            sandbox("old", 0, cri::PodSandboxState::NotReady),
            sandbox("new", 1, cri::PodSandboxState::Ready),
            theirs,
        ],
        ..World::default()
    }));
    let server = serve(&world, |_| None);
    let runtime = open(&server).await;
    assert_eq!(sandboxes::newest(&runtime.0, &uid()).await.unwrap().id, "new");
    runtime.remove_sandbox(&uid()).await.unwrap();
    let removed: Vec<String> = server
        .asked::<cri::RemovePodSandboxRequest>()
        .into_iter()
        .map(|request| request.pod_sandbox_id)
        .collect();
    assert_eq!(removed, ["old", "new"]);
}

#[tokio::test]
async fn a_log_that_is_full_is_moved_aside_and_opened_anew() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("0.log");
    let world = Arc::new(Mutex::new(World {
        containers: vec![container(cri::ContainerState::Running)],
        log: log.clone(),
        ..World::default()
    }));
    let server = serve(&world, |_| None);
    let options = Options { log_file_bytes: 5, log_files: 3, limits: Resources::default() };
    let runtime = CriRuntime::with(server.client(), options, Layout::default()).await.unwrap();
    for (text, reopened) in [("short", 0), ("longer", 1)] {
        std::fs::write(&log, text).unwrap();
        logs::look(&runtime.0).await.unwrap();
        assert_eq!(server.asked::<cri::ReopenContainerLogRequest>().len(), reopened, "{text}");
        assert_eq!(log.exists(), reopened == 0, "{text}");
    }
}
