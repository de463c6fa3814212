//! What the fake does that others rely on.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::runtime::TerminalSize;

fn uid() -> PodUid {
    PodUid::new("u").unwrap()
}

async fn running(fake: &Fake, command: &[&str], log_directory: &std::path::Path) -> ContainerId {
    fake.start_sandbox(&sandbox_config(&uid(), "default", "p", log_directory)).await.unwrap();
    let id = ContainerId { pod: uid(), name: "c".into(), attempt: 0 };
    fake.create_container(&container_config(&id, command)).await.unwrap();
    fake.start_container(&id).await.unwrap();
    id
}

async fn state(fake: &Fake) -> State {
    fake.sandbox(&uid()).await.unwrap().unwrap().containers[0].state.clone()
}

async fn until_ended(fake: &Fake) -> State {
    let mut changes = fake.changes();
    loop {
        let state = state(fake).await;
        if matches!(state, State::Exited { .. }) {
            return state;
        }
        changes.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_container_runs_writes_its_log_and_ends() {
    let logs = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    running(&fake, &["echo", "hello", "log"], logs.path()).await;
    assert!(matches!(until_ended(&fake).await, State::Exited { code: 0, signal: 0, .. }));
    let log = std::fs::read_to_string(logs.path().join("c/0.log")).unwrap();
    assert!(log.ends_with("Z stdout F hello log\n"), "{log}");
}

#[tokio::test]
async fn a_command_talks_and_its_end_is_told() {
    let fake = Fake::default();
    let id = running(&fake, &["pause"], "".as_ref()).await;
    let all = Wanted { stdin: true, stdout: true, stderr: true };
    let cat = ExecConfig { command: vec!["cat".into()], terminal: false, wanted: all };
    let mut session = fake.exec(&id, &cat).await.unwrap();
    session.stdin.take().unwrap().write_all(b"ping").await.unwrap();
    let mut said = String::new();
    session.stdout.unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!((said.as_str(), session.exit.await.unwrap().unwrap()), ("ping", 0));
    let missing = ExecConfig { command: vec!["nothing".into()], ..cat };
    assert!(matches!(fake.exec(&id, &missing).await, Err(Error::Start { code: 127, .. })));
}

#[tokio::test]
async fn a_command_whose_session_is_dropped_is_killed() {
    let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let fake = Fake::default().program(
        "hang",
        programs::program(move |process| {
            let alive = alive.clone();
            async move {
                std::future::pending::<()>().await;
                drop((process, alive));
                0
            }
        }),
    );
    let id = running(&fake, &["pause"], "".as_ref()).await;
    let hang = ExecConfig { command: vec!["hang".into()], terminal: false, wanted: Wanted::default() };
    let session = fake.exec(&id, &hang).await.unwrap();
    drop(session);
    drop(fake.0.programs.lock().remove("hang"));
    assert!(gone.recv().await.is_none(), "the program was dropped with the last of its senders");
}

#[tokio::test]
async fn the_attached_hear_and_say() {
    let fake = Fake::default();
    fake.start_sandbox(&sandbox_config(&uid(), "default", "p", "".as_ref())).await.unwrap();
    let id = ContainerId { pod: uid(), name: "c".into(), attempt: 0 };
    let config = ContainerConfig { stdin: true, stdin_once: true, ..container_config(&id, &["cat"]) };
    fake.create_container(&config).await.unwrap();
    fake.start_container(&id).await.unwrap();
    let mut session = fake.attach(&id, Wanted { stdin: true, stdout: true, stderr: false }).await.unwrap();
    session.resize.send(TerminalSize { width: 1, height: 1 }).await.unwrap();
    session.stdin.as_mut().unwrap().write_all(b"echo").await.unwrap();
    let mut heard = [0; 4];
    let mut stdout = session.stdout.take().unwrap();
    stdout.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"echo");
    session.stdin = None;
    assert_eq!(session.exit.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn what_is_stopped_has_been_killed_and_can_be_removed() {
    let fake = Fake::default();
    let id = running(&fake, &["pause"], "".as_ref()).await;
    assert!(matches!(fake.remove_container(&id).await, Err(Error::Precondition(_))));
    fake.stop_container(&id, Duration::from_secs(30)).await.unwrap();
    assert!(matches!(state(&fake).await, State::Exited { code: 143, signal: 15, .. }));
    fake.remove_container(&id).await.unwrap();
    fake.remove_sandbox(&uid()).await.unwrap();
    assert_eq!(fake.sandboxes().await.unwrap(), Vec::new());
}
