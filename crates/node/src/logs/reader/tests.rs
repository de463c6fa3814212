//! Real files, and containers of the fake runtime.

use std::io::Write as _;

use tempfile::TempDir;

use super::*;
use crate::container::PodUid;
use crate::runtime::fake::{Fake, container_config, sandbox_config};

struct Case {
    dir: TempDir,
    fake: Fake,
    watcher: Watcher,
}

impl Case {
    /// A container that runs until it is stopped, and whose log the test writes.
    async fn new() -> Self {
        let case = Self {
            dir: tempfile::tempdir().unwrap(),
            fake: Fake::default(),
            watcher: Watcher::new().unwrap(),
        };
        let id = Self::id();
        case.fake.start_sandbox(&sandbox_config(&id.pod, "d", "p", "".as_ref())).await.unwrap();
        case.fake.create_container(&container_config(&id, &["pause"])).await.unwrap();
        case.fake.start_container(&id).await.unwrap();
        case
    }

    fn id() -> ContainerId {
        ContainerId { pod: PodUid::new("u").unwrap(), name: "c".into(), attempt: 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("0.log")
    }

    fn write(&self, text: &str) {
        let mut file = File::options().create(true).append(true).open(self.path()).unwrap();
        for line in text.split_inclusive('\n') {
            write!(file, "2026-01-01T00:00:00Z stdout F {line}").unwrap();
        }
    }

    async fn read(&self, options: Options) -> io::Result<mpsc::Receiver<Bytes>> {
        let container = Alive { runtime: Arc::new(self.fake.clone()), id: Self::id() };
        read(Log { path: self.path(), container }, options, &self.watcher).await
    }

    async fn stop(&self) {
        self.fake.stop_container(&Self::id(), std::time::Duration::ZERO).await.unwrap();
    }
}

const FOLLOW: Options = Options {
    follow: true,
    previous: false,
    timestamps: false,
    since: None,
    tail_lines: None,
    limit_bytes: None,
    stream: super::super::Stream::All,
};

async fn until(pieces: &mut mpsc::Receiver<Bytes>, want: &str) {
    let mut heard = Vec::new();
    while heard.len() < want.len() {
        heard.extend_from_slice(&pieces.recv().await.expect("more is to come"));
    }
    assert_eq!(String::from_utf8(heard).unwrap(), want);
}

async fn rest(mut pieces: mpsc::Receiver<Bytes>) -> String {
    let mut heard = Vec::new();
    while let Some(piece) = pieces.recv().await {
        heard.extend_from_slice(&piece);
    }
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn what_is_there_is_read_to_its_end() {
    let case = Case::new().await;
    assert_eq!(case.read(Options::default()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    case.write("one\ntwo\nthree\nno end");
    assert_eq!(rest(case.read(Options::default()).await.unwrap()).await, "one\ntwo\nthree\nno end\n");
    let last = Options { tail_lines: Some(2), ..Options::default() };
    assert_eq!(rest(case.read(last).await.unwrap()).await, "two\nthree\nno end\n");
    let limited = Options { limit_bytes: Some(5), ..Options::default() };
    assert_eq!(rest(case.read(limited).await.unwrap()).await, "one\nt");
}

#[tokio::test]
async fn a_log_is_followed_over_rotations_until_its_container_ends() {
    let case = Case::new().await;
    case.write("one\n");
    let mut pieces = case.read(FOLLOW).await.unwrap();
    until(&mut pieces, "one\n").await;
    case.write("two\n");
    until(&mut pieces, "two\n").await;
    case.write("just before\n");
    std::fs::rename(case.path(), case.dir.path().join("0.log.1")).unwrap();
    case.write("after\n");
    until(&mut pieces, "just before\nafter\n").await;
    case.write("last words\n");
    case.stop().await;
    assert_eq!(rest(pieces).await, "last words\n");
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_is_waited_for() {
    let case = Case::new().await;
    let mut pieces = case.read(FOLLOW).await.unwrap();
    case.write("first\n");
    until(&mut pieces, "first\n").await;
}

#[tokio::test]
async fn a_limit_ends_what_is_followed() {
    let case = Case::new().await;
    let pieces = case.read(Options { limit_bytes: Some(3), ..FOLLOW }).await.unwrap();
    case.write("abcdef\n");
    assert_eq!(rest(pieces).await, "abc");
}

#[tokio::test]
async fn the_log_of_what_has_ended_is_not_waited_for() {
    let case = Case::new().await;
    case.write("all\n");
    case.stop().await;
    assert_eq!(rest(case.read(FOLLOW).await.unwrap()).await, "all\n");
}

#[tokio::test]
async fn who_goes_away_leaves_nothing_behind() {
    let case = Case::new().await;
    case.write("one\n");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut pieces = case.read(FOLLOW).await.unwrap();
    until(&mut pieces, "one\n").await;
    assert_eq!(tasks(), before + 1);
    drop(pieces);
    while tasks() > before {
        tokio::task::yield_now().await;
    }
}
